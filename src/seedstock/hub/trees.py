"""Reads trees of a repo: folders, whole listings, single entries.

Trees are immutable, so parsed folders are cached per process; a listing costs at most one query per level
of depth for trees and one for sizes, however many entries there are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from threading import Lock

import msgspec
import sqlalchemy as sa

from seedstock.core.digests import EMPTY_TREE_OID, Oid
from seedstock.core.errors import EntryNotFound, MissingBlob
from seedstock.core.git_format import TreeItem, parse_tree
from seedstock.db import git as rows

_CACHED_ENTRIES = 400_000  # about 150 MB at the very most


class Entry(msgspec.Struct, frozen=True):
    """A file or folder of a revision."""

    path: str
    oid: str
    is_tree: bool
    size_bytes: int
    """Real size: of the large file for an LFS pointer, 0 for a folder."""
    pointer_bytes: int = 0
    """Size of the pointer text, if it is an LFS pointer."""
    digest: str | None = None
    """SHA-256 of the large file, if it is an LFS pointer."""


class Folder(msgspec.Struct, frozen=True):
    """A parsed tree object with the sizes of its files."""

    items: dict[str, TreeItem]
    infos: dict[str, rows.BlobInfo]


class TreeCache:
    """Parsed folders of all repos, least recently used first out, bounded by entries."""

    def __init__(self, max_entries: int = _CACHED_ENTRIES) -> None:
        self._folders: OrderedDict[tuple[int, str], Folder] = OrderedDict()
        self._entries = 0
        self._max_entries = max_entries
        self._lock = Lock()

    def get(self, repo_id: int, oid: str) -> Folder | None:
        """The folder, if it is cached."""
        with self._lock:
            folder = self._folders.get((repo_id, oid))
            if folder is not None:
                self._folders.move_to_end((repo_id, oid))
            return folder

    def put(self, repo_id: int, oid: str, folder: Folder) -> None:
        """Remember a folder."""
        with self._lock:
            if (repo_id, oid) in self._folders:
                return
            self._folders[(repo_id, oid)] = folder
            self._entries += len(folder.items) + 1
            while self._entries > self._max_entries and len(self._folders) > 1:
                _, old = self._folders.popitem(last=False)
                self._entries -= len(old.items) + 1


class Trees:
    """Tree reader over one connection."""

    def __init__(self, connection: sa.Connection, repo_id: int, cache: TreeCache) -> None:
        self._connection = connection
        self._repo_id = repo_id
        self._cache = cache

    def folders(self, oids: Iterable[str]) -> dict[str, Folder]:
        """Several folders with two queries for those that are not cached."""
        found: dict[str, Folder] = {EMPTY_TREE_OID: Folder({}, {})}
        missing = []
        for oid in dict.fromkeys(oids):
            folder = self._cache.get(self._repo_id, oid)
            if folder is not None:
                found[oid] = folder
            elif oid != EMPTY_TREE_OID:
                missing.append(oid)
        if missing:
            found.update(self._load(missing))
        return found

    def _load(self, oids: Sequence[str]) -> dict[str, Folder]:
        stored = rows.load_objects(self._connection, self._repo_id, oids)
        absent = [oid for oid in oids if stored.get(oid, ("", b""))[0] != "tree"]
        if absent:
            raise MissingBlob(f"Tree {absent[0]} is not in the repository")
        parsed = {oid: parse_tree(stored[oid][1]) for oid in oids}
        blobs = list({item.oid for items in parsed.values() for item in items if not item.is_tree})
        infos = rows.load_blob_infos(self._connection, self._repo_id, blobs)
        found = {}
        for oid, items in parsed.items():
            by_name = {item.name: item for item in items}
            own: dict[str, rows.BlobInfo] = {item.oid: infos[item.oid] for item in items if item.oid in infos}
            found[oid] = Folder(by_name, own)
            self._cache.put(self._repo_id, oid, found[oid])
        return found

    def folder(self, oid: str) -> Folder:
        """One folder."""
        return self.folders([oid])[oid]

    def find(self, tree: str, path: str) -> Entry | None:
        """The entry at a path, or None."""
        item: TreeItem | None = TreeItem("", 0o40000, Oid(tree))
        folder = None
        for name in path.split("/"):
            if item is None or not item.is_tree:
                return None
            folder = self.folder(item.oid)
            item = folder.items.get(name)
        return None if item is None or folder is None else _entry(path, item, folder)

    def listing(self, tree: str, path: str, *, recursive: bool) -> list[Entry]:
        """Entries below a folder, depth first in git's order. Raises EntryNotFound unless it is a folder."""
        root = tree
        if path:
            entry = self.find(tree, path)
            if entry is None or not entry.is_tree:
                raise EntryNotFound(f"{path} does not exist or is not a folder")
            root = entry.oid
        loaded = self.folders([root])
        if recursive:
            self._load_below(root, loaded)
        prefix = f"{path}/" if path else ""
        return list(_walk(root, prefix, loaded, recursive=recursive))

    def _load_below(self, root: str, loaded: dict[str, Folder]) -> None:
        level = [root]
        while level:
            below = [item.oid for oid in level for item in loaded[oid].items.values() if item.is_tree]
            level = [oid for oid in dict.fromkeys(below) if oid not in loaded]
            loaded.update(self.folders(level))


def preload(connection: sa.Connection, cache: TreeCache, roots: Iterable[rows.Key]) -> None:
    """Bring all folders of several repos' trees into the cache: two queries per level of depth."""
    level = list(dict.fromkeys(roots))
    seen = set(level)
    while level:
        missing = [key for key in level if cache.get(*key) is None and key[1] != EMPTY_TREE_OID]
        parsed = {key: parse_tree(data) for key, data in rows.load_trees(connection, missing).items()}
        blobs = {
            (repo, item.oid) for (repo, _), items in parsed.items() for item in items if not item.is_tree
        }
        infos = rows.load_infos(connection, sorted(blobs))
        for (repo, oid), items in parsed.items():
            own: dict[str, rows.BlobInfo] = {
                item.oid: infos[repo, item.oid] for item in items if (repo, item.oid) in infos
            }
            cache.put(repo, oid, Folder({item.name: item for item in items}, own))
        below: list[rows.Key] = []
        for key in level:
            folder = cache.get(*key)
            items_of = folder.items.values() if folder else ()
            below += [(key[0], item.oid) for item in items_of if item.is_tree]
        level = [key for key in dict.fromkeys(below) if key not in seen]
        seen.update(level)


def _walk(oid: str, prefix: str, loaded: dict[str, Folder], *, recursive: bool) -> Iterable[Entry]:
    folder = loaded[oid]
    for item in folder.items.values():
        yield _entry(prefix + item.name, item, folder)
        if item.is_tree and recursive:
            yield from _walk(item.oid, f"{prefix}{item.name}/", loaded, recursive=True)


def _entry(path: str, item: TreeItem, folder: Folder) -> Entry:
    if item.is_tree:
        return Entry(path, item.oid, is_tree=True, size_bytes=0)
    info = folder.infos.get(item.oid)
    if info is None:
        raise MissingBlob(f"Blob {item.oid} of {path} is not in the repository")
    if info.lfs_digest is None:
        return Entry(path, item.oid, is_tree=False, size_bytes=info.size_bytes)
    return Entry(
        path,
        item.oid,
        is_tree=False,
        size_bytes=info.lfs_size_bytes or 0,
        pointer_bytes=info.size_bytes,
        digest=info.lfs_digest,
    )
