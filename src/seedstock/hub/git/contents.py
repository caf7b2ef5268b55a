"""Which objects the commits of a gap bring that the client does not have yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import sqlalchemy as sa

from seedstock.core.digests import EMPTY_TREE_OID
from seedstock.core.errors import MissingBlob
from seedstock.core.git_format import parse_tree
from seedstock.db import git, git_pack
from seedstock.hub.git.graph import Gap, Graph

_TREES_AT_ONCE = 256
"""Parsed in memory together; a folder of 10,000 files is a tree of about 400 kB."""
_BATCH_OBJECTS = 900
_BATCH_BYTES = 4 << 20
_MODE_SUBMODULE = 0o160000


class Contents(msgspec.Struct, frozen=True):
    """Objects of a pack, in the order sent, cut into batches that are read together."""

    count: int
    batches: list[list[str]]


def list_contents(connection: sa.Connection, repo_id: int, graph: Graph, gap: Gap) -> Contents:
    """The commits and every tree and blob below them that no known commit has. Raises MissingBlob."""
    known: set[str] = set()
    for _ in _walk(connection, repo_id, (graph.trees[oid] for oid in gap.known), known):
        pass
    below = _walk(connection, repo_id, (graph.trees[oid] for oid in gap.commits), known)
    oids = [*gap.commits, *below]
    sizes = git_pack.load_sizes(connection, repo_id, oids)
    # Trees without entries are not stored; git knows this one too, but a strict check misses it.
    sizes.update((oid, 0) for oid in oids if oid == EMPTY_TREE_OID)
    missing = [oid for oid in oids if oid not in sizes]
    if missing:
        raise MissingBlob(f"{len(missing)} git objects are missing, the first is {missing[0]}")
    return Contents(len(oids), list(_cut(oids, sizes)))


def _walk(connection: sa.Connection, repo_id: int, roots: Iterable[str], known: set[str]) -> Iterator[str]:
    """Trees and blobs below the roots that are not `known` yet, which they become; a level at a time."""
    level = [oid for oid in dict.fromkeys(roots) if oid not in known]
    while level:
        known.update(level)
        yield from level
        below: list[str] = []
        for start in range(0, len(level), _TREES_AT_ONCE):
            loaded = git.load_objects(connection, repo_id, level[start : start + _TREES_AT_ONCE])
            for _kind, data in loaded.values():
                for item in parse_tree(data):
                    if item.oid in known or item.mode == _MODE_SUBMODULE:
                        continue
                    known.add(item.oid)
                    if item.is_tree:
                        below.append(item.oid)
                    else:
                        yield item.oid
        level = below


def _cut(oids: Sequence[str], sizes: dict[str, int]) -> Iterator[list[str]]:
    batch: list[str] = []
    size_bytes = 0
    for oid in oids:
        if batch and (len(batch) == _BATCH_OBJECTS or size_bytes + sizes[oid] > _BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(oid)
        size_bytes += sizes[oid]
    if batch:
        yield batch
