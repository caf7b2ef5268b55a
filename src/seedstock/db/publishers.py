"""Queries about who publishes, as they state it themselves."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from seedstock.db.schema import publishers

_BATCH = 500


class PublisherRow(msgspec.Struct, frozen=True):
    """What the publisher behind a namespace, here or elsewhere, states of themselves."""

    namespace: str
    organisation: str
    country: str | None
    source: str
    signing_key: str | None
    stated_by: str
    updated_at: int


_COLUMNS = [publishers.c[name] for name in PublisherRow.__struct_fields__]


def find_publishers(connection: sa.Connection, namespaces: Sequence[str]) -> dict[str, PublisherRow]:
    """The profiles of those of the namespaces that have one, by lower-case name."""
    keys = list({name.lower() for name in namespaces})
    found: dict[str, PublisherRow] = {}
    for start in range(0, len(keys), _BATCH):
        rows = connection.execute(
            sa.select(*_COLUMNS).where(publishers.c.namespace_key.in_(keys[start : start + _BATCH]))
        )
        found.update((row.namespace.lower(), PublisherRow(*row)) for row in rows)
    return found


def put_publisher(connection: sa.Connection, row: PublisherRow) -> None:
    """Set a profile."""
    remove_publisher(connection, row.namespace)
    connection.execute(
        sa.insert(publishers).values(namespace_key=row.namespace.lower(), **msgspec.structs.asdict(row))
    )


def remove_publisher(connection: sa.Connection, namespace: str) -> bool:
    """Forget a profile; False if there was none."""
    result = connection.execute(sa.delete(publishers).where(publishers.c.namespace_key == namespace.lower()))
    return result.rowcount > 0
