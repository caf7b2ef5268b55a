"""Queries about users, organisations, tokens, sessions and the audit log."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.core.viewer import Membership, OrgRole
from seedstock.db.schema import accounts, audit, memberships, sessions, tokens


class AccountRow(msgspec.Struct, frozen=True):
    """A user or organisation as stored."""

    id: int
    kind: str
    name: str
    name_key: str
    full_name: str
    email: str | None
    password_hash: str | None
    is_admin: bool
    details: str
    private_by_default: bool
    disabled: bool
    created_at: int
    limits: dict[str, int] | None = None


class TokenRow(msgspec.Struct, frozen=True):
    """A token as stored: never the secret, only its hash and last characters."""

    id: int
    account_id: int
    name: str
    role: str
    scopes: list[dict[str, Any]] | None
    hint: str
    created_at: int
    last_used_at: int | None
    expires_at: int | None
    limits: dict[str, int] | None = None
    own_limits: dict[str, int] | None = None


_TOKEN_COLUMNS = [tokens.c[name] for name in TokenRow.__struct_fields__]
# Statements of every request are built once: building one takes longer than running it.
_FIND_TOKEN = (
    sa.select(accounts, *_TOKEN_COLUMNS)
    .join(tokens, tokens.c.account_id == accounts.c.id)
    .where(tokens.c.hash == sa.bindparam("token_hash"))
)
_FIND_SESSION = (
    sa.select(accounts, sessions.c.created_at.label("session_created_at"))
    .join(sessions, sessions.c.account_id == accounts.c.id)
    .where(sessions.c.hash == sa.bindparam("session_hash"), sessions.c.expires_at > sa.bindparam("at"))
)
_MEMBERSHIPS = (
    sa.select(memberships.c.org_id, accounts.c.name, accounts.c.full_name, memberships.c.role)
    .join(accounts, accounts.c.id == memberships.c.org_id)
    .where(memberships.c.user_id == sa.bindparam("user_id"))
    .order_by(accounts.c.name_key)
)


def find_account(connection: sa.Connection, name: str) -> AccountRow | None:
    """The account of that name in any spelling, or None."""
    row = connection.execute(sa.select(accounts).where(accounts.c.name_key == name.lower())).first()
    return AccountRow(*row) if row else None


def names_of(connection: sa.Connection, account_ids: Collection[int]) -> dict[int, str]:
    """Names by account."""
    rows = connection.execute(
        sa.select(accounts.c.id, accounts.c.name).where(accounts.c.id.in_(sorted(account_ids)))
    )
    return {row.id: row.name for row in rows}


def insert_account(connection: sa.Connection, **values: Any) -> int:
    """Add an account; raises sqlalchemy IntegrityError if the name is taken."""
    result = connection.execute(sa.insert(accounts).values(**values).returning(accounts.c.id))
    return int(result.scalar_one())


def update_account(connection: sa.Connection, account_id: int, **values: Any) -> None:
    """Change columns of an account."""
    connection.execute(sa.update(accounts).where(accounts.c.id == account_id).values(**values))


def memberships_of(connection: sa.Connection, user_id: int) -> tuple[Membership, ...]:
    """The organisations of a user, by name."""
    rows = connection.execute(_MEMBERSHIPS, {"user_id": user_id})
    return tuple(Membership(r.org_id, r.name, r.full_name, OrgRole(r.role)) for r in rows)


def members_of(connection: sa.Connection, org_id: int) -> list[tuple[AccountRow, str]]:
    """The members of an organisation with their roles, by name."""
    rows = connection.execute(
        sa.select(accounts, memberships.c.role)
        .join(memberships, accounts.c.id == memberships.c.user_id)
        .where(memberships.c.org_id == org_id)
        .order_by(accounts.c.name_key)
    )
    return [(AccountRow(*row[:-1]), row[-1]) for row in rows]


def set_membership(connection: sa.Connection, org_id: int, user_id: int, role: str) -> None:
    """Add a member or change the role of one."""
    remove_membership(connection, org_id, user_id)
    connection.execute(sa.insert(memberships).values(org_id=org_id, user_id=user_id, role=role))


def remove_membership(connection: sa.Connection, org_id: int, user_id: int) -> None:
    """Take a member out of an organisation; silent if there is none."""
    connection.execute(
        sa.delete(memberships).where(memberships.c.org_id == org_id, memberships.c.user_id == user_id)
    )


def insert_token(connection: sa.Connection, **values: Any) -> int:
    """Store a token by its hash."""
    return int(connection.execute(sa.insert(tokens).values(**values).returning(tokens.c.id)).scalar_one())


def find_token(connection: sa.Connection, hash: str) -> tuple[AccountRow, TokenRow] | None:
    """The token of that hash and its owner, or None."""
    row = connection.execute(_FIND_TOKEN, {"token_hash": hash}).first()
    if row is None:
        return None
    split = len(AccountRow.__struct_fields__)
    return AccountRow(*row[:split]), TokenRow(*row[split:])


def tokens_of(connection: sa.Connection, account_id: int) -> list[TokenRow]:
    """A user's tokens, newest first."""
    rows = connection.execute(
        sa.select(*_TOKEN_COLUMNS).where(tokens.c.account_id == account_id).order_by(tokens.c.id.desc())
    )
    return [TokenRow(*row) for row in rows]


def delete_token(connection: sa.Connection, account_id: int, token_id: int) -> bool:
    """Revoke a token of that owner; False if there is none."""
    result = connection.execute(
        sa.delete(tokens).where(tokens.c.id == token_id, tokens.c.account_id == account_id)
    )
    return result.rowcount > 0


def set_token_limits(
    connection: sa.Connection, account_id: int, token_id: int, **values: dict[str, int] | None
) -> bool:
    """Change `limits` or `own_limits` of a token of that account; False if there is none."""
    result = connection.execute(
        sa.update(tokens).where(tokens.c.id == token_id, tokens.c.account_id == account_id).values(**values)
    )
    return result.rowcount > 0


def touch_token(connection: sa.Connection, token_id: int, at: int) -> None:
    """Note when a token was last used."""
    connection.execute(sa.update(tokens).where(tokens.c.id == token_id).values(last_used_at=at))


def insert_session(connection: sa.Connection, hash: str, account_id: int, at: int, expires_at: int) -> None:
    """Open a browser session, and drop the ones that have expired."""
    connection.execute(sa.delete(sessions).where(sessions.c.expires_at < at))
    connection.execute(
        sa.insert(sessions).values(hash=hash, account_id=account_id, created_at=at, expires_at=expires_at)
    )


def find_session(connection: sa.Connection, hash: str, at: int) -> tuple[AccountRow, int] | None:
    """The owner of a live session and when it began, or None."""
    row = connection.execute(_FIND_SESSION, {"session_hash": hash, "at": at}).first()
    return (AccountRow(*row[:-1]), row[-1]) if row else None


def delete_session(connection: sa.Connection, hash: str) -> None:
    """End a browser session."""
    connection.execute(sa.delete(sessions).where(sessions.c.hash == hash))


def insert_audit(
    connection: sa.Connection,
    at: int,
    actor_id: int | None,
    actor: str,
    action: str,
    target: str,
    detail: Any,
) -> None:
    """Append to the audit log, inside the transaction of the act itself."""
    connection.execute(
        sa.insert(audit).values(
            at=at, actor_id=actor_id, actor=actor, action=action, target=target[:250], detail=detail
        )
    )
