"""Queries about xorbs, who may read them, Xet files and the chunks offered for global dedup.

Hashes of xorbs and files are in text form here, chunk hashes raw: as the columns hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.db.git import batches
from seedstock.db.inserts import insert_new
from seedstock.db.schema import files, repo_files, repos, xet_chunks, xet_files, xorb_scopes, xorbs


class XorbScope(msgspec.Struct, frozen=True):
    """Which xorbs a caller may use: those of the repo, of public repos, and of a whole namespace if given."""

    repo_id: int
    namespace_id: int | None


class XorbRow(msgspec.Struct, frozen=True):
    """A stored xorb; `index` is encoded (docs/formats/xorb-index.md)."""

    hash: str
    object_key: str
    index: bytes
    last_named_at: int


class XetFileRow(msgspec.Struct, frozen=True):
    """A registered file: encoded terms, and the SHA-256 of its bytes (None: no file uses it any more)."""

    hash: str
    size_bytes: int
    terms: bytes
    digest: str | None


_XORB_COLUMNS = [xorbs.c[name] for name in XorbRow.__struct_fields__]
_FILE_COLUMNS: list[Any] = [xet_files.c.hash, xet_files.c.size_bytes, xet_files.c.terms, files.c.digest]


def find_xorbs(connection: sa.Connection, hashes: Sequence[str]) -> dict[str, XorbRow]:
    """Those of the xorbs that are stored, whoever may read them."""
    found: dict[str, XorbRow] = {}
    for batch in batches(hashes):
        rows = connection.execute(sa.select(*_XORB_COLUMNS).where(xorbs.c.hash.in_(batch)))
        found.update((row[0], XorbRow(*row)) for row in rows)
    return found


def visible_xorbs(connection: sa.Connection, scope: XorbScope, hashes: Sequence[str]) -> dict[str, str]:
    """Those of the xorbs that the scope may use, with their object keys."""
    visible: dict[str, str] = {}
    for batch in batches(hashes):
        rows = connection.execute(
            sa.select(xorbs.c.hash, xorbs.c.object_key)
            .distinct()
            .join(xorb_scopes, xorb_scopes.c.xorb_hash == xorbs.c.hash)
            .join(repos, repos.c.id == xorb_scopes.c.repo_id)
            .where(xorbs.c.hash.in_(batch), _visible(scope))
        )
        visible.update((row[0], row[1]) for row in rows)
    return visible


def object_keys(connection: sa.Connection, hashes: Sequence[str]) -> dict[str, str]:
    """Object keys of those of the xorbs that are stored."""
    found: dict[str, str] = {}
    for batch in batches(hashes):
        rows = connection.execute(sa.select(xorbs.c.hash, xorbs.c.object_key).where(xorbs.c.hash.in_(batch)))
        found.update((row[0], row[1]) for row in rows)
    return found


def put_xorb(connection: sa.Connection, row: XorbRow, size_bytes: int) -> bool:
    """Record a stored xorb, or that it was stored anew; returns whether it was unknown."""
    values = {
        "object_key": row.object_key,
        "index": row.index,
        "size_bytes": size_bytes,
        "last_named_at": row.last_named_at,
    }
    changed = connection.execute(sa.update(xorbs).where(xorbs.c.hash == row.hash).values(**values))
    if changed.rowcount:
        return False
    connection.execute(sa.insert(xorbs).values(hash=row.hash, created_at=row.last_named_at, **values))
    return True


def touch_xorbs(connection: sa.Connection, hashes: Sequence[str], at: int) -> None:
    """Note that xorbs were named to or by a client; collection spares them for some weeks."""
    for batch in batches(hashes):
        connection.execute(sa.update(xorbs).where(xorbs.c.hash.in_(batch)).values(last_named_at=at))


def add_scopes(connection: sa.Connection, repo_id: int, hashes: Iterable[str]) -> None:
    """Let a repo use these xorbs."""
    insert_new(connection, xorb_scopes, [{"xorb_hash": text, "repo_id": repo_id} for text in hashes])


def find_files(connection: sa.Connection, hashes: Sequence[str]) -> dict[str, XetFileRow]:
    """Those of the Xet files that are registered, whoever may read them."""
    found: dict[str, XetFileRow] = {}
    for batch in batches(hashes):
        rows = connection.execute(
            sa.select(*_FILE_COLUMNS)
            .outerjoin(files, files.c.xet_hash == xet_files.c.hash)
            .where(xet_files.c.hash.in_(batch))
        )
        found.update((row[0], XetFileRow(*row)) for row in rows)
    return found


def find_file_in_repo(connection: sa.Connection, repo_id: int, hash: str) -> XetFileRow | None:
    """The Xet file of that hash if the repo may name its content, else None."""
    row = connection.execute(
        sa.select(*_FILE_COLUMNS)
        .join(files, files.c.xet_hash == xet_files.c.hash)
        .join(repo_files, repo_files.c.digest == files.c.digest)
        .where(xet_files.c.hash == hash, repo_files.c.repo_id == repo_id)
    ).first()
    return XetFileRow(*row) if row else None


def xet_hashes_of(connection: sa.Connection, digests: Sequence[str]) -> dict[str, str]:
    """Xet hashes of those files that have such a representation, by SHA-256."""
    found: dict[str, str] = {}
    for batch in batches(digests):
        rows = connection.execute(
            sa.select(files.c.digest, files.c.xet_hash).where(
                files.c.digest.in_(batch), files.c.xet_hash.is_not(None)
            )
        )
        found.update((row[0], row[1] or "") for row in rows)
    return found


def put_files(connection: sa.Connection, rows: Sequence[XetFileRow], at: int) -> None:
    """Record Xet files; the terms of one that is known are replaced."""
    insert_new(
        connection,
        xet_files,
        [{"hash": r.hash, "size_bytes": r.size_bytes, "terms": r.terms, "created_at": at} for r in rows],
    )
    if rows:
        connection.execute(
            sa.update(xet_files)
            .where(xet_files.c.hash == sa.bindparam("of_hash"), xet_files.c.terms != sa.bindparam("new"))
            .values(terms=sa.bindparam("new")),
            [{"of_hash": row.hash, "new": row.terms} for row in rows],
        )


def link_files(connection: sa.Connection, rows: Sequence[XetFileRow], at: int) -> None:
    """Make Xet files the Xet representation of the large files with their SHA-256, made where absent."""
    if not rows:
        return
    insert_new(
        connection,
        files,
        [
            {"digest": row.digest, "size_bytes": row.size_bytes, "xet_hash": row.hash, "created_at": at}
            for row in rows
        ],
    )
    connection.execute(
        sa.update(files)
        .where(files.c.digest == sa.bindparam("of_digest"))
        .values(xet_hash=sa.bindparam("to_hash")),
        [{"of_digest": row.digest, "to_hash": row.hash} for row in rows],
    )


def add_chunks(connection: sa.Connection, chunks: Iterable[tuple[bytes, str]]) -> None:
    """Offer chunks for global dedup: raw chunk hash and the xorb that holds it."""
    insert_new(connection, xet_chunks, [{"chunk_hash": raw, "xorb_hash": text} for raw, text in chunks])


def find_chunk(connection: sa.Connection, scope: XorbScope, chunk_hash: bytes, limit: int) -> list[XorbRow]:
    """Xorbs with that chunk which the scope may use, those of the repo itself first."""
    own = sa.func.max(sa.case((xorb_scopes.c.repo_id == scope.repo_id, 1), else_=0))
    hashes = connection.scalars(
        sa.select(xet_chunks.c.xorb_hash)
        .join(xorb_scopes, xorb_scopes.c.xorb_hash == xet_chunks.c.xorb_hash)
        .join(repos, repos.c.id == xorb_scopes.c.repo_id)
        .where(xet_chunks.c.chunk_hash == chunk_hash, _visible(scope))
        .group_by(xet_chunks.c.xorb_hash)
        .order_by(own.desc(), xet_chunks.c.xorb_hash)
        .limit(limit)
    ).all()
    found = find_xorbs(connection, hashes) if hashes else {}
    return [found[text] for text in hashes]


def _visible(scope: XorbScope) -> sa.ColumnElement[bool]:
    """Gated repos are public in name only: their content is for people whose request was accepted."""
    public = sa.and_(repos.c.private.is_(False), repos.c.gated.is_(None), repos.c.disabled.is_(False))
    own = xorb_scopes.c.repo_id == scope.repo_id
    if scope.namespace_id is None:
        return sa.or_(own, public)
    return sa.or_(own, public, repos.c.namespace_id == scope.namespace_id)
