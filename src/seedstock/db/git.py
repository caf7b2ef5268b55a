"""Git objects of repos: stored compressed, found by oid, and the sizes of blobs."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from seedstock.db.inserts import insert_new
from seedstock.db.schema import git_objects

T = TypeVar("T")
_BATCH = 900


class BlobInfo(msgspec.Struct, frozen=True):
    """Size of a blob, and of the large file it points at if it is an LFS pointer."""

    size_bytes: int
    lfs_digest: str | None
    lfs_size_bytes: int | None


class GitObject(msgspec.Struct, frozen=True):
    """A git object to store: content without git's header."""

    oid: str
    kind: str
    data: bytes
    lfs_digest: str | None = None
    lfs_size_bytes: int | None = None


# Built once: building a statement takes longer than running it.
_SOME_OBJECTS = sa.and_(
    git_objects.c.repo_id == sa.bindparam("repo_id"),
    git_objects.c.oid.in_(sa.bindparam("oids", expanding=True)),
)
_PRESENT = sa.select(git_objects.c.oid).where(_SOME_OBJECTS)
_LOAD_OBJECTS = sa.select(git_objects.c.oid, git_objects.c.kind, git_objects.c.data).where(_SOME_OBJECTS)
_LOAD_INFOS = sa.select(
    git_objects.c.oid, git_objects.c.size_bytes, git_objects.c.lfs_digest, git_objects.c.lfs_size_bytes
).where(_SOME_OBJECTS)


def batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut a list into pieces that fit one statement's parameters."""
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]


def insert_objects(connection: sa.Connection, repo_id: int, objects: Sequence[GitObject]) -> None:
    """Store objects; those already there stay as they are."""
    unique = {item.oid: item for item in objects}
    present = present_oids(connection, repo_id, list(unique))
    values = [
        {
            "repo_id": repo_id,
            "oid": item.oid,
            "kind": item.kind,
            "size_bytes": len(item.data),
            "lfs_digest": item.lfs_digest,
            "lfs_size_bytes": item.lfs_size_bytes,
            "data": zlib.compress(item.data, 1),
        }
        for oid, item in unique.items()
        if oid not in present
    ]
    insert_new(connection, git_objects, values)


def present_oids(connection: sa.Connection, repo_id: int, oids: Sequence[str]) -> set[str]:
    """Those of the oids that the repo holds."""
    found: set[str] = set()
    for batch in batches(oids):
        found.update(connection.execute(_PRESENT, {"repo_id": repo_id, "oids": list(batch)}).scalars())
    return found


def load_objects(
    connection: sa.Connection, repo_id: int, oids: Sequence[str]
) -> dict[str, tuple[str, bytes]]:
    """Kind and content of several objects; absent ones are left out."""
    found: dict[str, tuple[str, bytes]] = {}
    for batch in batches(oids):
        rows = connection.execute(_LOAD_OBJECTS, {"repo_id": repo_id, "oids": list(batch)})
        found.update((row.oid, (row.kind, zlib.decompress(row.data))) for row in rows)
    return found


Key = tuple[int, str]
"""Repo and oid: an object of one of several repos."""


def load_trees(connection: sa.Connection, keys: Sequence[Key]) -> dict[Key, bytes]:
    """Content of tree objects of several repos; absent ones are left out."""
    found: dict[Key, bytes] = {}
    for batch in batches(keys):
        rows = connection.execute(
            sa.select(git_objects.c.repo_id, git_objects.c.oid, git_objects.c.data).where(
                sa.tuple_(git_objects.c.repo_id, git_objects.c.oid).in_(batch), git_objects.c.kind == "tree"
            )
        )
        found.update(((row.repo_id, row.oid), zlib.decompress(row.data)) for row in rows)
    return found


def load_infos(connection: sa.Connection, keys: Sequence[Key]) -> dict[Key, BlobInfo]:
    """Sizes of blobs of several repos."""
    found: dict[Key, BlobInfo] = {}
    columns = [git_objects.c[name] for name in ("repo_id", "oid", *BlobInfo.__struct_fields__)]
    for batch in batches(keys):
        rows: Any = connection.execute(
            sa.select(*columns).where(sa.tuple_(git_objects.c.repo_id, git_objects.c.oid).in_(batch))
        )
        found.update(((row[0], row[1]), BlobInfo(*row[2:])) for row in rows)
    return found


def load_blob_infos(connection: sa.Connection, repo_id: int, oids: Sequence[str]) -> dict[str, BlobInfo]:
    """Sizes of several blobs without reading them."""
    found: dict[str, BlobInfo] = {}
    for batch in batches(oids):
        rows = connection.execute(_LOAD_INFOS, {"repo_id": repo_id, "oids": list(batch)})
        found.update((row[0], BlobInfo(*row[1:])) for row in rows)
    return found
