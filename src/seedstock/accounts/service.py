"""Users, organisations and their credentials."""

from __future__ import annotations

from typing import Any

import sqlalchemy.exc

from seedstock.accounts import secrets
from seedstock.accounts.attempts import Attempts
from seedstock.core.clock import DAY_MS, Clock
from seedstock.core.errors import Forbidden, Invalid, InvalidToken, NameTaken, NotFound
from seedstock.core.limits import read_limits
from seedstock.core.names import check_account_name
from seedstock.core.viewer import Credential, OrgRole, TokenRole, Viewer
from seedstock.db import accounts as rows
from seedstock.db.accounts import AccountRow, TokenRow
from seedstock.db.engine import Database
from seedstock.db.usage import fold_token

SESSION_MS = 30 * DAY_MS
_TOUCH_MS = 600_000  # last-used is kept to ten minutes, so that reads stay reads


class Accounts:
    """The account book."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._attempts = Attempts(clock)

    def create_user(
        self,
        name: str,
        *,
        full_name: str = "",
        email: str | None = None,
        admin: bool = False,
        password: str | None = None,
        actor: str = "admin",
    ) -> AccountRow:
        """Add a user. Raises BadName, NameTaken or Invalid (password)."""
        return self._create(
            "user",
            name,
            actor,
            full_name=full_name,
            email=email,
            is_admin=admin,
            private_by_default=False,
            password_hash=secrets.hash_password(password) if password is not None else None,
        )

    def create_org(
        self,
        name: str,
        *,
        full_name: str = "",
        private_by_default: bool = False,
        actor: str = "admin",
        members: tuple[tuple[str, OrgRole], ...] = (),
    ) -> AccountRow:
        """Add an organisation with its first members. Raises BadName, NameTaken or NotFound (a member)."""
        users = [(self.get(user), role) for user, role in members]
        for member, _ in users:
            if member.kind != "user":
                raise Invalid(f"{member.name} is an organisation; members are users")
        org = self._create(
            "org",
            name,
            actor,
            full_name=full_name,
            email=None,
            is_admin=False,
            private_by_default=private_by_default,
            password_hash=None,
        )
        with self._database.write() as connection:
            for user, role in users:
                rows.set_membership(connection, org.id, user.id, role)
        return org

    def _create(self, kind: str, name: str, actor: str, **values: Any) -> AccountRow:
        check_account_name(name)
        at = self._clock()
        values["full_name"] = values["full_name"] or name
        try:
            with self._database.write() as connection:
                rows.insert_account(
                    connection,
                    kind=kind,
                    name=name,
                    name_key=name.lower(),
                    details="",
                    disabled=False,
                    created_at=at,
                    **values,
                )
                rows.insert_audit(connection, at, None, actor, f"{kind}.create", name, None)
        except sqlalchemy.exc.IntegrityError:
            raise NameTaken(f"The name {name!r} is taken", hint="choose another name") from None
        return self.get(name)

    def set_membership(self, org: str, user: str, role: OrgRole | None) -> None:
        """Give a user a role in an organisation, or take it away (None). Raises NotFound."""
        org_row, user_row = self.get(org), self.get(user)
        if org_row.kind != "org" or user_row.kind != "user":
            raise Invalid("Members are users, and belong to organisations")
        with self._database.write() as connection:
            if role is None:
                rows.remove_membership(connection, org_row.id, user_row.id)
            else:
                rows.set_membership(connection, org_row.id, user_row.id, role)
            rows.insert_audit(
                connection,
                self._clock(),
                None,
                "admin",
                "org.member",
                org_row.name,
                {"user": user, "role": role},
            )

    def get(self, name: str) -> AccountRow:
        """The account of that name. Raises NotFound."""
        with self._database.read() as connection:
            account = rows.find_account(connection, name)
        if account is None:
            raise NotFound(f"No user or organisation is called {name!r}")
        return account

    def members(self, org_id: int) -> list[tuple[AccountRow, str]]:
        """The members of an organisation with their roles."""
        with self._database.read() as connection:
            return rows.members_of(connection, org_id)

    def organisations(self, user_id: int) -> list[str]:
        """Names of the organisations a user belongs to."""
        with self._database.read() as connection:
            return [membership.name for membership in rows.memberships_of(connection, user_id)]

    def create_token(
        self,
        user: str,
        *,
        role: TokenRole = TokenRole.READ,
        name: str = "token",
        scopes: list[dict[str, Any]] | None = None,
        expires_at: int | None = None,
    ) -> str:
        """Mint a token for a user and return it; only its hash is kept. Raises NotFound, Invalid."""
        account = self.get(user)
        if account.kind != "user":
            raise Invalid(f"{account.name} is an organisation; tokens belong to users")
        token, at = secrets.new_token(), self._clock()
        with self._database.write() as connection:
            rows.insert_token(
                connection,
                account_id=account.id,
                name=name[:120],
                role=role,
                scopes=scopes,
                hash=secrets.hash_secret(token),
                hint=token[-4:],
                created_at=at,
                last_used_at=None,
                expires_at=expires_at,
            )
            rows.insert_audit(connection, at, account.id, account.name, "token.create", name, {"role": role})
        return token

    def tokens(self, account_id: int) -> list[TokenRow]:
        """A user's tokens, newest first, without their secrets."""
        with self._database.read() as connection:
            return rows.tokens_of(connection, account_id)

    def revoke_token(self, viewer: Viewer, token_id: int) -> None:
        """Revoke one of the viewer's own tokens. Raises NotFound."""
        if viewer.account_id is None:
            raise InvalidToken
        with self._database.write() as connection:
            if not rows.delete_token(connection, viewer.account_id, token_id):
                raise NotFound("No such token")
            fold_token(connection, viewer.account_id, token_id)
            rows.insert_audit(
                connection, self._clock(), viewer.account_id, viewer.name, "token.revoke", str(token_id), None
            )

    def viewer_for_token(self, token: str) -> Viewer:
        """Who a bearer token stands for. Raises InvalidToken."""
        at = self._clock()
        with self._database.read() as connection:
            found = rows.find_token(connection, secrets.hash_secret(token))
            if found is None or found[0].disabled or (found[1].expires_at or at) < at:
                raise InvalidToken
            account, row = found
            viewer = self._viewer(
                connection,
                account,
                Credential(
                    TokenRole(row.role),
                    row.name,
                    row.created_at,
                    scopes=tuple(row.scopes or ()),
                    token_id=row.id,
                    limits=read_limits(row.limits),
                    own_limits=read_limits(row.own_limits),
                ),
            )
        if at - (row.last_used_at or 0) > _TOUCH_MS:
            with self._database.write() as connection:
                rows.touch_token(connection, row.id, at)
        return viewer

    def sign_in(self, name: str, password: str, address: str = "") -> str:
        """Open a browser session and return its id.

        Raises Invalid on a wrong name or password, LimitExceeded when that failed too often from `address`.
        """
        at = self._clock()
        self._attempts.check(name, address)
        with self._database.read() as connection:
            account = rows.find_account(connection, name)
        usable = account is not None and not account.disabled and account.kind == "user"
        if not secrets.check_password(account.password_hash if account and usable else None, password):
            self._attempts.failed(name, address)
            raise Invalid("Wrong user name or password")
        self._attempts.succeeded(name, address)
        assert account is not None
        session = secrets.new_session_id()
        with self._database.write() as connection:
            rows.insert_session(connection, secrets.hash_secret(session), account.id, at, at + SESSION_MS)
            rows.insert_audit(connection, at, account.id, account.name, "session.open", account.name, None)
        return session

    def sign_out(self, session: str) -> None:
        """End a browser session."""
        with self._database.write() as connection:
            rows.delete_session(connection, secrets.hash_secret(session))

    def viewer_for_session(self, session: str) -> Viewer | None:
        """Who a session cookie stands for; None when it is unknown or over."""
        hash = secrets.hash_secret(session)
        with self._database.read() as connection:
            found = rows.find_session(connection, hash, self._clock())
            if found is None or found[0].disabled:
                return None
            account, created_at = found
            credential = Credential(TokenRole.WRITE, "browser session", created_at, session=hash)
            return self._viewer(connection, account, credential)

    def viewer_for_job(self, name: str) -> Viewer:
        """Who asked for a job, with the rights that they have by now. Raises Forbidden if they may no longer sign in."""
        with self._database.read() as connection:
            account = rows.find_account(connection, name)
            if account is None or account.disabled:
                raise Forbidden(f"{name} asked for this, and is no longer a user of this hub")
            credential = Credential(TokenRole.WRITE, "background job", account.created_at)
            return self._viewer(connection, account, credential)

    def _viewer(self, connection: Any, account: AccountRow, credential: Credential) -> Viewer:
        return Viewer(
            account.id,
            account.name,
            account.full_name,
            account.email,
            account.is_admin,
            account.created_at,
            rows.memberships_of(connection, account.id),
            credential,
            read_limits(account.limits),
        )
