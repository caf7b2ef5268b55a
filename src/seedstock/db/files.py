"""Queries about large files, their representations, and which repos may name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from seedstock.db.git import batches
from seedstock.db.inserts import insert_new
from seedstock.db.schema import files, multipart_uploads, objects, repo_files


class FileRow(msgspec.Struct, frozen=True):
    """A large file: identity, size and which representations it has."""

    digest: str
    size_bytes: int
    object_key: str | None
    xet_hash: str | None


class ObjectRow(msgspec.Struct, frozen=True):
    """A stored object and how to verify it."""

    key: str
    size_bytes: int
    checks: bytes
    stat_signature: str | None


class MultipartRow(msgspec.Struct, frozen=True):
    """An upload in parts that has begun."""

    id: str
    repo_id: int
    digest: str
    size_bytes: int
    chunk_bytes: int
    created_at: int


_FILE_COLUMNS = [files.c[name] for name in FileRow.__struct_fields__]
_OBJECT_COLUMNS = [objects.c[name] for name in ObjectRow.__struct_fields__]
# Built once: building a statement takes longer than running it.
_FIND_FILE = sa.select(*_FILE_COLUMNS).where(files.c.digest == sa.bindparam("digest"))
_FILES_IN_REPO = (
    sa.select(*_FILE_COLUMNS)
    .join(repo_files, repo_files.c.digest == files.c.digest)
    .where(
        repo_files.c.repo_id == sa.bindparam("repo_id"),
        files.c.digest.in_(sa.bindparam("digests", expanding=True)),
    )
)
_FIND_OBJECT = sa.select(*_OBJECT_COLUMNS).where(objects.c.key == sa.bindparam("object_key"))


def _file(row: Sequence[Any]) -> FileRow:
    return FileRow(*row)


def find_file(connection: sa.Connection, digest: str) -> FileRow | None:
    """The file of that digest, whoever may read it, or None."""
    row = connection.execute(_FIND_FILE, {"digest": digest}).first()
    return _file(row) if row else None


def files_in_repo(connection: sa.Connection, repo_id: int, digests: Sequence[str]) -> dict[str, FileRow]:
    """Those of the files that may be named in the repo."""
    found: dict[str, FileRow] = {}
    for batch in batches(digests):
        rows = connection.execute(_FILES_IN_REPO, {"repo_id": repo_id, "digests": list(batch)})
        found.update((row[0], _file(row)) for row in rows)
    return found


def files_of_repo(
    connection: sa.Connection, repo_id: int, limit: int, offset: int
) -> list[tuple[str, int, int]]:
    """Digest, size and time of arrival of what a repo was given, newest first."""
    rows = connection.execute(
        sa.select(files.c.digest, files.c.size_bytes, repo_files.c.created_at)
        .join(repo_files, repo_files.c.digest == files.c.digest)
        .where(repo_files.c.repo_id == repo_id)
        .order_by(repo_files.c.created_at.desc(), files.c.digest)
        .limit(limit)
        .offset(offset)
    )
    return [(row.digest, row.size_bytes, row.created_at) for row in rows]


def find_object(connection: sa.Connection, key: str) -> ObjectRow | None:
    """The stored object of that key, or None."""
    row = connection.execute(_FIND_OBJECT, {"object_key": key}).first()
    return ObjectRow(*row) if row else None


def find_signatures(connection: sa.Connection, keys: Sequence[str]) -> dict[str, str]:
    """Signatures of those of the objects that were whole when last verified.

    Without their checks, which of a file of 100 GB are 1.6 MB.
    """
    found: dict[str, str] = {}
    for batch in batches(keys):
        rows = connection.execute(
            sa.select(objects.c.key, objects.c.stat_signature).where(objects.c.key.in_(batch))
        )
        found.update((row[0], row[1]) for row in rows if row[1] is not None)
    return found


def upsert_object(
    connection: sa.Connection, key: str, size_bytes: int, checks: bytes, signature: str | None, at: int
) -> None:
    """Record a stored object, or that it was written anew."""
    values = {"size_bytes": size_bytes, "checks": checks, "stat_signature": signature, "verified_at": at}
    # Two clients may send the same object at once, so that looking first would not do.
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(objects).values(key=key, created_at=at, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=[objects.c.key], set_=values))


def mark_verified(connection: sa.Connection, key: str, signature: str | None, at: int) -> None:
    """Record that every block of an object was read and right; None: that it was not."""
    connection.execute(
        sa.update(objects).where(objects.c.key == key).values(stat_signature=signature, verified_at=at)
    )


def objects_by_key(connection: sa.Connection, limit: int, after_key: str = "") -> list[ObjectRow]:
    """Objects in key order, for the audit."""
    rows = connection.execute(
        sa.select(*_OBJECT_COLUMNS).where(objects.c.key > after_key).order_by(objects.c.key).limit(limit)
    )
    return [ObjectRow(*row) for row in rows]


def add_representation(
    connection: sa.Connection,
    digest: str,
    size_bytes: int,
    at: int,
    *,
    object_key: str | None = None,
    xet_hash: str | None = None,
) -> None:
    """Record one more representation of a file; the ones it has stay."""
    values: dict[str, Any] = {}
    if object_key is not None:
        values["object_key"] = object_key
    if xet_hash is not None:
        values["xet_hash"] = xet_hash
    insert_new(connection, files, [{"digest": digest, "size_bytes": size_bytes, "created_at": at}])
    connection.execute(sa.update(files).where(files.c.digest == digest).values(**values))


def allow_in_repo(connection: sa.Connection, repo_id: int, digests: Sequence[str], at: int) -> None:
    """Let a repo name these files by hash."""
    present = files_in_repo(connection, repo_id, digests)
    values = [
        {"repo_id": repo_id, "digest": digest, "created_at": at}
        for digest in dict.fromkeys(digests)
        if digest not in present
    ]
    insert_new(connection, repo_files, values)


def insert_multipart(connection: sa.Connection, row: MultipartRow) -> None:
    """Record that an upload in parts has begun."""
    connection.execute(sa.insert(multipart_uploads).values(**msgspec.structs.asdict(row)))


def find_multipart(connection: sa.Connection, id: str) -> MultipartRow | None:
    """The upload in parts of that id, or None."""
    columns = [multipart_uploads.c[name] for name in MultipartRow.__struct_fields__]
    row = connection.execute(sa.select(*columns).where(multipart_uploads.c.id == id)).first()
    return MultipartRow(*row) if row else None


def delete_multipart(connection: sa.Connection, id: str) -> None:
    """Forget an upload in parts."""
    connection.execute(sa.delete(multipart_uploads).where(multipart_uploads.c.id == id))


def stored_bytes(connection: sa.Connection, repo_id: int) -> int:
    """Plain size of all large files that a repo may name."""
    total = connection.execute(
        sa.select(sa.func.coalesce(sa.func.sum(files.c.size_bytes), 0))
        .join(repo_files, repo_files.c.digest == files.c.digest)
        .where(repo_files.c.repo_id == repo_id)
    ).scalar_one()
    return int(total)
