"""Queries about what was asked of models: sums by day, account, token and model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from seedstock.db.schema import accounts, tokens, usage_days

REVOKED = -1
"""Stands for every token that is gone: an id may be given again, to somebody else's token."""


class UsageKey(NamedTuple):
    """Whose use, of what, when."""

    day: int
    account_id: int
    token_id: int
    model: str


class UsageSums(msgspec.Struct):
    """What is summed."""

    requests: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    duration_ms: int = 0

    def add(self, other: UsageSums) -> None:
        """Add other sums to these."""
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class UsageRow(UsageSums):
    """One row with the account's name."""

    day: int = 0
    account_id: int = 0
    account: str = ""
    token_id: int = 0
    model: str = ""


SUMS = UsageSums.__struct_fields__
_KEYS = ("day", "account_id", "token_id", "model")


def add_usage(connection: sa.Connection, sums: Mapping[UsageKey, UsageSums]) -> None:
    """Add to the sums in one statement; those of accounts and tokens that are gone meanwhile find their place.

    In the order of the keys: two writers that add to the same rows in different orders would lock each other out.
    """
    known = set(_existing(connection, accounts, {key.account_id for key in sums}))
    live = set(_existing(connection, tokens, {key.token_id for key in sums if key.token_id > 0}))
    merged: dict[UsageKey, UsageSums] = {}
    for key, one in sums.items():
        if key.account_id in known:
            gone = key.token_id > 0 and key.token_id not in live
            merged.setdefault(key._replace(token_id=REVOKED) if gone else key, UsageSums()).add(one)
    rows = [key._asdict() | msgspec.structs.asdict(merged[key]) for key in sorted(merged)]
    if rows:
        connection.execute(_upsert(connection), rows)


def _existing(connection: sa.Connection, table: sa.Table[Any], ids: Collection[int]) -> list[int]:
    return list(connection.execute(sa.select(table.c.id).where(table.c.id.in_(sorted(ids)))).scalars())


def _upsert(connection: sa.Connection) -> Any:
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(usage_days)
    added = {name: usage_days.c[name] + statement.excluded[name] for name in SUMS}
    return statement.on_conflict_do_update(index_elements=list(_KEYS), set_=added)


def fold_token(connection: sa.Connection, account_id: int, token_id: int) -> None:
    """Count what a token did among that of revoked ones, as it is about to be one."""
    mine = (usage_days.c.account_id == account_id, usage_days.c.token_id == token_id)
    rows = [dict(row) for row in connection.execute(sa.select(usage_days).where(*mine)).mappings()]
    if rows:
        connection.execute(_upsert(connection), [row | {"token_id": REVOKED} for row in rows])
        connection.execute(sa.delete(usage_days).where(*mine))


def usage_between(
    connection: sa.Connection,
    first_day: int,
    last_day: int,
    *,
    account_id: int | None = None,
    token_id: int | None = None,
) -> list[UsageRow]:
    """Rows of those days, of everybody (None) or one account, in order."""
    columns = [*(usage_days.c[name] for name in SUMS), *(usage_days.c[name] for name in _KEYS)]
    query = (
        sa.select(*columns, accounts.c.name.label("account"))
        .join(accounts, accounts.c.id == usage_days.c.account_id)
        .where(usage_days.c.day.between(first_day, last_day))
        .order_by(usage_days.c.day, accounts.c.name_key, usage_days.c.token_id, usage_days.c.model)
    )
    if account_id is not None:
        query = query.where(usage_days.c.account_id == account_id)
    if token_id is not None:
        query = query.where(usage_days.c.token_id == token_id)
    return [UsageRow(**row) for row in connection.execute(query).mappings()]


def tokens_on(connection: sa.Connection, day: int, account_id: int) -> dict[int, int]:
    """Tokens of prompts and answers by the access token that they went to."""
    spent = sa.func.sum(usage_days.c.prompt_tokens + usage_days.c.completion_tokens)
    rows = connection.execute(
        sa.select(usage_days.c.token_id, spent)
        .where(usage_days.c.account_id == account_id, usage_days.c.day == day)
        .group_by(usage_days.c.token_id)
    )
    return {token_id: int(total) for token_id, total in rows}
