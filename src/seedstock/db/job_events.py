"""Queries of what jobs said: log lines and events in one stream, in the order of their ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.db.schema import job_logs


class EventRow(msgspec.Struct, frozen=True):
    """A log line (`text`) or an event (`data`) as stored."""

    id: int
    at: int
    kind: str
    text: str
    data: dict[str, Any] | None


_COLUMNS = [job_logs.c[name] for name in EventRow.__struct_fields__]


def add(
    connection: sa.Connection, job_id: int, said: Sequence[tuple[int, str, str, dict[str, Any] | None]]
) -> None:
    """Append (time, kind, text, data) to what a job said; only its lease's owner may, while the job's row is locked."""
    values = [
        {"job_id": job_id, "at": at, "kind": kind, "text": text, "data": data}
        for at, kind, text, data in said
    ]
    if values:
        connection.execute(sa.insert(job_logs), values)


def read(
    connection: sa.Connection,
    job_id: int,
    after: int,
    limit: int,
    kinds: Sequence[str] = (),
    until: int | None = None,
) -> list[EventRow]:
    """What was said after the entry of that id, up to another's, of the kinds if any are given; oldest first."""
    query = sa.select(*_COLUMNS).where(job_logs.c.job_id == job_id, job_logs.c.id > after)
    if kinds:
        query = query.where(job_logs.c.kind.in_(kinds))
    if until is not None:
        query = query.where(job_logs.c.id <= until)
    return [EventRow(*row) for row in connection.execute(query.order_by(job_logs.c.id).limit(limit))]


def read_last(connection: sa.Connection, job_id: int, kind: str, limit: int) -> list[EventRow]:
    """The last entries of one kind; oldest first."""
    query = sa.select(*_COLUMNS).where(job_logs.c.job_id == job_id, job_logs.c.kind == kind)
    found = connection.execute(query.order_by(job_logs.c.id.desc()).limit(limit))
    return [EventRow(*row) for row in found][::-1]


def read_thinned(connection: sa.Connection, job_id: int, kind: str, limit: int) -> list[EventRow]:
    """At most about `limit` entries of one kind, evenly chosen from all, the last one among them; oldest first."""
    rule = (job_logs.c.job_id == job_id) & (job_logs.c.kind == kind)
    count = connection.execute(sa.select(sa.func.count()).select_from(job_logs).where(rule)).scalar() or 0
    every = -(-count // limit) or 1
    # Numbered by the index alone; what is said is read of the chosen ones only.
    place = sa.func.row_number().over(order_by=job_logs.c.id.desc())
    numbered = sa.select(job_logs.c.id, place.label("place")).where(rule).subquery()
    chosen = sa.select(numbered.c.id).where(numbered.c.place % every == 1 % every)
    query = sa.select(*_COLUMNS).where(job_logs.c.id.in_(chosen)).order_by(job_logs.c.id)
    return [EventRow(*row) for row in connection.execute(query)]


def newest(connection: sa.Connection, job_id: int) -> int:
    """Id of the last entry, or 0."""
    query = sa.select(sa.func.max(job_logs.c.id)).where(job_logs.c.job_id == job_id)
    return connection.execute(query).scalar() or 0
