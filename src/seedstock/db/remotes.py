"""Queries about remotes and who may use them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.db.schema import accounts, remote_accounts, remotes


class RemoteRow(msgspec.Struct, frozen=True):
    """A remote as stored, with its key encrypted."""

    id: int
    name: str
    kind: str
    base_url: str
    sealed_key: bytes | None
    everyone: bool
    models: list[str] | None
    listed: list[str]
    listed_at: int | None
    created_at: int
    changed_at: int


_COLUMNS = [remotes.c[name] for name in RemoteRow.__struct_fields__]
# Built once: it is run for every request to a remote model.
_FIND = sa.select(*_COLUMNS).where(remotes.c.name == sa.bindparam("remote_name"))


def find_remote(connection: sa.Connection, name: str) -> RemoteRow | None:
    """The remote of that name, or None."""
    row = connection.execute(_FIND, {"remote_name": name}).first()
    return RemoteRow(*row) if row else None


def list_remotes(connection: sa.Connection) -> list[RemoteRow]:
    """All of them, by name."""
    return [RemoteRow(*row) for row in connection.execute(sa.select(*_COLUMNS).order_by(remotes.c.name))]


def accounts_by_remote(connection: sa.Connection) -> dict[int, dict[int, str]]:
    """Names by account, of the accounts that may use each remote."""
    found: dict[int, dict[int, str]] = {}
    rows = connection.execute(
        sa.select(remote_accounts.c.remote_id, accounts.c.id, accounts.c.name)
        .join(accounts, accounts.c.id == remote_accounts.c.account_id)
        .order_by(accounts.c.name_key)
    )
    for remote_id, account_id, name in rows:
        found.setdefault(remote_id, {})[account_id] = name
    return found


def accounts_of_remote(connection: sa.Connection, remote_id: int) -> set[int]:
    """The accounts that may use one remote."""
    rows = connection.execute(
        sa.select(remote_accounts.c.account_id).where(remote_accounts.c.remote_id == remote_id)
    )
    return {row.account_id for row in rows}


def insert_remote(connection: sa.Connection, **values: Any) -> int:
    """Add a remote; raises sqlalchemy IntegrityError if the name is taken."""
    return int(connection.execute(sa.insert(remotes).values(**values).returning(remotes.c.id)).scalar_one())


def update_remote(connection: sa.Connection, remote_id: int, **values: Any) -> None:
    """Change columns of a remote."""
    connection.execute(sa.update(remotes).where(remotes.c.id == remote_id).values(**values))


def set_accounts(connection: sa.Connection, remote_id: int, account_ids: Collection[int]) -> None:
    """Have exactly these accounts use a remote."""
    connection.execute(sa.delete(remote_accounts).where(remote_accounts.c.remote_id == remote_id))
    if account_ids:
        rows = [{"remote_id": remote_id, "account_id": account} for account in sorted(account_ids)]
        connection.execute(sa.insert(remote_accounts), rows)


def delete_remote(connection: sa.Connection, remote_id: int) -> None:
    """Forget a remote, with its key."""
    connection.execute(sa.delete(remotes).where(remotes.c.id == remote_id))
