"""Who may set which limits."""

from __future__ import annotations

from collections.abc import Sequence

from seedstock.accounts.permissions import check_may_change
from seedstock.accounts.service import Accounts
from seedstock.core.clock import Clock
from seedstock.core.errors import Forbidden, Invalid, NotFound, Unauthenticated
from seedstock.core.limits import Limits, read_limits, stored_limits
from seedstock.core.viewer import TokenRole, Viewer
from seedstock.db import accounts as rows
from seedstock.db.accounts import TokenRow
from seedstock.db.engine import Database


class LimitSettings:
    """The limits of accounts and tokens, as they are set."""

    def __init__(self, database: Database, accounts: Accounts, clock: Clock) -> None:
        self._database = database
        self._accounts = accounts
        self._clock = clock

    def set_limits(self, account: str, limits: Limits, token: str | None = None, *, actor: str) -> None:
        """Set what an account, or one of its tokens (by name or id), may ask, in place of what else would hold.

        For administrators, who are asked by whoever calls. Raises NotFound and Invalid.
        """
        whose = self._accounts.get(account)
        if whose.kind != "user":
            raise Invalid(f"{whose.name} is an organisation; users have limits")
        stored = stored_limits(limits.check())
        with self._database.write() as connection:
            target = whose.name
            if token is None:
                rows.update_account(connection, whose.id, limits=stored)
            else:
                found = _named(rows.tokens_of(connection, whose.id), token, whose.name)
                rows.set_token_limits(connection, whose.id, found.id, limits=stored)
                target = f"{whose.name}/{found.name}"
            rows.insert_audit(connection, self._clock(), None, actor, "limits.set", target, stored)

    def limits_of(self, account: str, token: str | None = None) -> Limits:
        """What an admin set. Raises NotFound."""
        whose = self._accounts.get(account)
        if token is None:
            return read_limits(whose.limits)
        return read_limits(_named(self._accounts.tokens(whose.id), token, whose.name).limits)

    def set_own_limits(self, viewer: Viewer, token_id: int, limits: Limits) -> None:
        """Limit one of the viewer's own tokens, beside whatever else holds. Raises Forbidden, NotFound and Invalid."""
        if viewer.account_id is None:
            raise Unauthenticated("Sign in or send a token to limit your tokens")
        check_may_change(viewer)
        if only_token(viewer) is not None:
            raise Forbidden("A fine-grained token changes no token", hint="use one with the write role")
        stored = stored_limits(limits.check())
        with self._database.write() as connection:
            if not rows.set_token_limits(connection, viewer.account_id, token_id, own_limits=stored):
                raise NotFound("No such token")
            rows.insert_audit(
                connection,
                self._clock(),
                viewer.account_id,
                viewer.name,
                "token.limit",
                str(token_id),
                stored,
            )


def only_token(viewer: Viewer) -> int | None:
    """The token whose use alone a fine-grained one may see; None: the whole account's."""
    credential = viewer.credential
    fine = credential is not None and credential.role is TokenRole.FINE_GRAINED
    return credential.token_id if credential is not None and fine else None


def _named(tokens: Sequence[TokenRow], wanted: str, account: str) -> TokenRow:
    """The token of that name or id; of several of a name, none."""
    found = [token for token in tokens if wanted in {token.name, str(token.id)}]
    if not found:
        raise NotFound(f"{account} has no token {wanted!r}")
    if len(found) > 1:
        ids = ", ".join(str(token.id) for token in found)
        raise Invalid(
            f"{account} has {len(found)} tokens called {wanted!r}", hint=f"name one by its id: {ids}"
        )
    return found[0]
