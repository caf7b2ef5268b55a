"""What was asked of the models, for those who may know.

People see their own use, admins everybody's. A fine-grained token sees its own alone: the models that other tokens used
may be ones that it was not given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import TypeVar

import msgspec

from seedstock.accounts.service import Accounts
from seedstock.core.clock import Clock
from seedstock.core.errors import Forbidden, Invalid, Unauthenticated
from seedstock.core.limits import Limits, read_limits
from seedstock.core.viewer import Viewer
from seedstock.db import accounts as rows
from seedstock.db.accounts import AccountRow, TokenRow
from seedstock.db.engine import Database
from seedstock.db.usage import UsageRow, UsageSums, usage_between
from seedstock.usage.limits import RateLimits, Standing
from seedstock.usage.metrics import Metrics
from seedstock.usage.recorder import UsageRecorder
from seedstock.usage.rules import Caller
from seedstock.usage.settings import LimitSettings, only_token

Key = TypeVar("Key")
MOST_DAYS = 366
_EPOCH = date(1970, 1, 1).toordinal()


class TokenUse(msgspec.Struct, frozen=True):
    """An access token, its limits and where it stands."""

    id: int
    name: str
    hint: str
    limits: Limits
    own_limits: Limits
    standings: tuple[Standing, ...]


class UsageReport(msgspec.Struct, frozen=True):
    """The use of some days."""

    first: date
    last: date
    account: str | None
    """None: everybody."""
    rows: list[UsageRow]
    tokens: list[TokenUse]
    """Of the account, unless it is everybody."""
    standings: tuple[Standing, ...]
    """Of the account as a whole."""

    @property
    def totals(self) -> UsageSums:
        """All of it."""
        return self.sums_by(lambda _row: "").get("", UsageSums())

    def sums_by(self, key: Callable[[UsageRow], Key]) -> dict[Key, UsageSums]:
        """Sums by something of a row, in the order of their first rows."""
        found: dict[Key, UsageSums] = {}
        for row in self.rows:
            found.setdefault(key(row), UsageSums()).add(row)
        return found


class Usage:
    """Use and limits of one hub; what counts and lets in is reached through it."""

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        limits: RateLimits,
        recorder: UsageRecorder,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.limits = limits
        self.recorder = recorder
        self.metrics = metrics
        self._database = database
        self._accounts = accounts
        self._clock = clock
        self.settings = LimitSettings(database, accounts, clock)

    def close(self) -> None:
        """Write what is still counted in memory."""
        self.recorder.close()
        self.limits.close()

    def today(self) -> date:
        """The day that is counted now."""
        return datetime.fromtimestamp(self._clock() / 1000, UTC).date()

    def report(
        self, viewer: Viewer, first: date, last: date, *, account: str | None = None, everyone: bool = False
    ) -> UsageReport:
        """The use from one day to another, of the viewer unless they ask for another's. What was asked in the last
        seconds may be missing.

        Raises Unauthenticated, Forbidden, NotFound (the account) and Invalid (the days).
        """
        if viewer.account_id is None:
            raise Unauthenticated("Sign in or send a token to see what you used")
        if last < first or (last - first).days >= MOST_DAYS:
            raise Invalid(f"The days go from an earlier to a later one, at most {MOST_DAYS} of them")
        if (everyone or account not in {None, viewer.name}) and not viewer.is_admin:
            raise Forbidden("The use of others is for administrators")
        days = day_number(first), day_number(last)
        if everyone:
            with self._database.read() as connection:
                return UsageReport(first, last, None, usage_between(connection, *days), [], ())
        whose = self._accounts.get(account or viewer.name)
        only = only_token(viewer)
        with self._database.read() as connection:
            found = usage_between(connection, *days, account_id=whose.id, token_id=only)
            tokens = [
                token for token in rows.tokens_of(connection, whose.id) if only is None or token.id == only
            ]
        callers = [Caller(whose.id, read_limits(whose.limits)), *(_caller(whose, token) for token in tokens)]
        standings = self.limits.standings(whose.id, callers)
        return UsageReport(
            first,
            last,
            whose.name,
            found,
            [_token_use(token, standings) for token in tokens],
            tuple(one for one in standings if one.rule.token_id is None),
        )


def day_number(day: date) -> int:
    """Days since 1970."""
    return day.toordinal() - _EPOCH


def day_of(number: int) -> date:
    """The date of a number of days since 1970."""
    return date.fromordinal(_EPOCH + number)


def _caller(account: AccountRow, token: TokenRow) -> Caller:
    return Caller(
        account.id,
        read_limits(account.limits),
        token.id,
        read_limits(token.limits),
        read_limits(token.own_limits),
    )


def _token_use(token: TokenRow, standings: Sequence[Standing]) -> TokenUse:
    return TokenUse(
        token.id,
        token.name,
        token.hint,
        read_limits(token.limits),
        read_limits(token.own_limits),
        tuple(one for one in standings if one.rule.token_id == token.id),
    )
