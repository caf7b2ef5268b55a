"""Inserts that other writers may race: a row that is there already stays as it is.

A failed insert would end the whole transaction on PostgreSQL, and asking first leaves a gap in which
another writer inserts the same row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(connection: sa.Connection, table: sa.Table[Any], values: Sequence[dict[str, Any]]) -> None:
    """Insert those of the rows whose key is free."""
    if not values:
        return
    dialect: Any = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), values)
