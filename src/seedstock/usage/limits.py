"""Lets requests in or refuses them, by limits that all web workers share.

Requests are counted when they are let in, exactly: a transaction each, and none for a caller without limits. Tokens are
charged when an answer has ended, so that answers under way when the last token is spent are finished and come on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import msgspec
import sqlalchemy as sa

from seedstock.core.clock import DAY_MS, Clock
from seedstock.core.errors import RateLimited
from seedstock.core.limits import LimitKind, Limits
from seedstock.db import accounts
from seedstock.db.allowances import (
    Allowance,
    drop_allowances,
    lock_allowances,
    open_allowances,
    read_allowances,
    write_allowances,
)
from seedstock.db.engine import Database
from seedstock.db.usage import tokens_on
from seedstock.usage.buckets import MOST_OWED, Bucket, Rate, full_in_us, left, spend, wait_us
from seedstock.usage.rules import Caller, Rule, rules_of

_DAY = LimitKind.TOKENS_PER_DAY
_REQUESTS = LimitKind.REQUESTS_PER_MINUTE
_DAY_US = DAY_MS * 1000


class Standing(msgspec.Struct, frozen=True):
    """A limit, what is left of it, and when all of it is there again."""

    rule: Rule
    left: int
    reset_at_ms: int


class Admission(msgspec.Struct, frozen=True):
    """Where a request's caller stands, and the refusal if it is not let in."""

    standings: tuple[Standing, ...] = ()
    refusal: RateLimited | None = None


class RateLimits:
    """The limits of one hub, on a clock that may be set."""

    def __init__(self, database: Database, folder: Path, defaults: Limits, clock: Clock) -> None:
        """`folder` holds the file of a hub on SQLite, made when the first limited request comes."""
        self.defaults = defaults
        self._database = database
        self._folder = folder
        self._clock = clock
        self._allowances: Database | None = None
        self._opening = Lock()
        self._pruned_day = 0

    def admit(self, caller: Caller) -> Admission:
        """Count a request against all limits of its caller, or against none if one of them is used up."""
        rules = rules_of(caller, self.defaults)
        if not rules:
            return Admission()
        now_us = self._clock() * 1000
        self._prune(now_us)
        with self._open().write() as connection:
            rows = self._locked(connection, rules, caller.account_id, now_us)
            waits = [(_wait_us(rule, rows[rule.key], now_us), rule) for rule in rules]
            longest_us, rule = max(waits, key=lambda found: found[0])
            for one in rules:
                amount = 1 if one.kind is _REQUESTS and not longest_us else 0
                rows[one.key] = _spent(one, rows[one.key], amount, now_us)
            write_allowances(connection, list(rows.values()))
        standings = tuple(_standing(one, rows[one.key], now_us) for one in rules)
        return Admission(standings, _refusal(rule, longest_us) if longest_us else None)

    def charges(self, caller: Caller) -> bool:
        """Whether tokens of the caller are counted against a limit."""
        return any(rule.kind is not _REQUESTS for rule in rules_of(caller, self.defaults))

    def charge(self, caller: Caller, tokens: int) -> None:
        """Count the tokens of an answer that has ended."""
        rules = [rule for rule in rules_of(caller, self.defaults) if rule.kind is not _REQUESTS]
        if not rules or not tokens:
            return
        now_us = self._clock() * 1000
        with self._open().write() as connection:
            rows = self._locked(connection, rules, caller.account_id, now_us)
            write_allowances(connection, [_spent(rule, rows[rule.key], tokens, now_us) for rule in rules])

    def standings(self, account_id: int, callers: Sequence[Caller]) -> tuple[Standing, ...]:
        """Where callers of one account stand now."""
        rules = tuple({rule: None for caller in callers for rule in rules_of(caller, self.defaults)})
        if not rules:
            return ()
        now_us = self._clock() * 1000
        with self._open().read() as connection:
            found = read_allowances(connection, sorted({rule.subject for rule in rules}))
        rows = {rule.key: found.get(rule.key, Allowance(*rule.key, 0, 0)) for rule in rules}
        with self._database.read() as connection:
            rows |= self._seeds(connection, rules, rows, account_id, now_us)
        return tuple(_standing(rule, rows[rule.key], now_us) for rule in rules)

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._allowances is not None and self._allowances is not self._database:
            self._allowances.close()

    def _open(self) -> Database:
        with self._opening:
            if self._allowances is None:
                self._allowances = open_allowances(self._database, self._folder)
            return self._allowances

    def _locked(
        self, connection: sa.Connection, rules: Sequence[Rule], account_id: int, now_us: int
    ) -> dict[tuple[str, str], Allowance]:
        rows = lock_allowances(connection, [rule.key for rule in rules])
        if all(rule.kind is not _DAY or rows[rule.key].mark == now_us // _DAY_US for rule in rules):
            return rows
        if self._allowances is self._database:  # a second connection could be waited for in vain
            return rows | self._seeds(connection, rules, rows, account_id, now_us)
        with self._database.read() as main:
            return rows | self._seeds(main, rules, rows, account_id, now_us)

    def _seeds(
        self,
        connection: sa.Connection,
        rules: Sequence[Rule],
        rows: dict[tuple[str, str], Allowance],
        account_id: int,
        now_us: int,
    ) -> dict[tuple[str, str], Allowance]:
        """Rows of a day that has just begun, or of a limit that has: by what the usage says of the day."""
        today = now_us // _DAY_US
        stale = [rule for rule in rules if rule.kind is _DAY and rows[rule.key].mark != today]
        if not stale:
            return {}
        spent = tokens_on(connection, today, account_id)
        apart = {
            token.id
            for token in accounts.tokens_of(connection, account_id)
            if (token.limits or {}).get(_DAY.value) is not None
        }
        of_account = sum(total for token_id, total in spent.items() if token_id not in apart)
        found = {}
        for rule in stale:
            used = of_account if rule.token_id is None else spent.get(rule.token_id, 0)
            found[rule.key] = Allowance(*rule.key, today, used)
        return found

    def _prune(self, now_us: int) -> None:
        """Once a day, forget what says nothing any more; by itself, so that no request is held up by the locks of two."""
        today = now_us // _DAY_US
        if self._pruned_day == today:
            return
        self._pruned_day = today
        with self._open().write() as connection:
            drop_allowances(connection, [_DAY.value], today)
            per_minute = [kind.value for kind in LimitKind if kind is not _DAY]
            drop_allowances(connection, per_minute, now_us - _DAY_US)


def _rate(rule: Rule) -> Rate:
    """Tokens may be owed, requests never are."""
    return Rate(rule.limit, 0 if rule.kind is _REQUESTS else MOST_OWED)


def _wait_us(rule: Rule, row: Allowance, now_us: int) -> int:
    if rule.kind is not _DAY:
        return wait_us(Bucket(row.mark, row.spent), _rate(rule), 1, now_us)
    return 0 if row.spent < rule.limit else _DAY_US - now_us % _DAY_US


def _spent(rule: Rule, row: Allowance, amount: int, now_us: int) -> Allowance:
    if rule.kind is _DAY:
        return msgspec.structs.replace(row, spent=row.spent + amount)
    bucket = spend(Bucket(row.mark, row.spent), _rate(rule), amount, now_us)
    return msgspec.structs.replace(row, mark=bucket.at_us, spent=bucket.lack)


def _standing(rule: Rule, row: Allowance, now_us: int) -> Standing:
    if rule.kind is _DAY:
        tomorrow_us = (now_us // _DAY_US + 1) * _DAY_US
        return Standing(rule, max(rule.limit - row.spent, 0), tomorrow_us // 1000)
    bucket = Bucket(row.mark, row.spent)
    full_at_us = now_us + full_in_us(bucket, _rate(rule), now_us)
    return Standing(rule, left(bucket, _rate(rule), now_us), -(-full_at_us // 1000))


def _refusal(rule: Rule, after_us: int) -> RateLimited:
    whose = "Your account" if rule.token_id is None else "This token"
    seconds = max(1, -(-after_us // 1_000_000))
    when = "from midnight UTC on" if rule.kind is _DAY else f"in {seconds} s"
    return RateLimited(
        f"{whose} may use {rule.limit:,} {rule.kind.words if rule.limit > 1 else rule.kind.words.replace('s per', ' per')}",
        hint=f"try again {when}",
        retry_after_s=seconds,
        kind=rule.kind.value,
    )
