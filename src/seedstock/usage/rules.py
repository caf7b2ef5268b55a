"""Which limits hold for a caller."""

from __future__ import annotations

import msgspec

from seedstock.core.limits import INHERITED, LimitKind, Limits
from seedstock.core.viewer import Viewer


class Rule(msgspec.Struct, frozen=True):
    """A limit, and whose use counts against it."""

    subject: str
    """`account:<id>` or `token:<id>`."""
    kind: LimitKind
    limit: int

    @property
    def key(self) -> tuple[str, str]:
        """Of its row."""
        return self.subject, self.kind.value

    @property
    def token_id(self) -> int | None:
        """The token whose use counts; None: the account's."""
        kind, _, number = self.subject.partition(":")
        return int(number) if kind == "token" else None


class Caller(msgspec.Struct, frozen=True):
    """As much of a caller as limits depend on."""

    account_id: int
    limits: Limits = INHERITED
    token_id: int | None = None
    token_limits: Limits = INHERITED
    own_limits: Limits = INHERITED


def caller_of(viewer: Viewer) -> Caller | None:
    """The caller; None for an anonymous one, whom nothing is answered."""
    if viewer.account_id is None:
        return None
    credential = viewer.credential
    if credential is None:
        return Caller(viewer.account_id, viewer.limits)
    return Caller(
        viewer.account_id, viewer.limits, credential.token_id, credential.limits, credential.own_limits
    )


def rules_of(caller: Caller, defaults: Limits) -> tuple[Rule, ...]:
    """The limits that a request has to keep to, all of them.

    What an admin sets for a token holds in place of its account's limit: its use does not count against that. What its
    owner sets comes on top, and so can only lower it.
    """
    rules = []
    for kind in LimitKind:
        of_account = caller.limits.of(kind)
        of_account = defaults.of(kind) if of_account is None else of_account
        of_token, own = caller.token_limits.of(kind), caller.own_limits.of(kind)
        if of_token is None and of_account:
            rules.append(Rule(f"account:{caller.account_id}", kind, of_account))
        if caller.token_id is not None and (of_token or own):
            least = min(limit for limit in (of_token, own) if limit)
            rules.append(Rule(f"token:{caller.token_id}", kind, least))
    return tuple(rules)
