"""The operations of a commit, and what they make of a tree."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from seedstock.core.digests import EMPTY_TREE_OID, Oid, git_oid
from seedstock.core.errors import BadCommit, EntryNotFound
from seedstock.core.git_format import MODE_FILE, MODE_TREE, TreeItem, encode_tree
from seedstock.db.git import GitObject
from seedstock.hub.trees import Trees


class Put(msgspec.Struct, frozen=True, tag=True):
    """Place a blob that is already stored."""

    path: str
    oid: Oid


class PutLarge(msgspec.Struct, frozen=True, tag=True):
    """Place a large file that the repo may name; becomes an LFS pointer."""

    path: str
    digest: str
    size_bytes: int | None = None


class Delete(msgspec.Struct, frozen=True, tag=True):
    """Remove a file."""

    path: str


class DeleteFolder(msgspec.Struct, frozen=True, tag=True):
    """Remove a folder with all below it."""

    path: str


class Copy(msgspec.Struct, frozen=True, tag=True):
    """Place what another path holds, at the branch head or another revision of the same repo."""

    path: str
    source: str
    revision: str | None = None


Operation = Put | PutLarge | Delete | DeleteFolder | Copy


class TreeEdit:
    """A tree being changed: loads only the folders that operations touch."""

    def __init__(self, trees: Trees, root: str) -> None:
        self._trees = trees
        self._loaded: dict[str, dict[str, TreeItem]] = {}
        self._root = root
        self.changes: dict[str, str] = {}
        """Path to `A`, `M` or `D`, against the tree that the edit began with."""

    def prefetch(self, paths: Sequence[str]) -> None:
        """Load the folders on the way to these paths, one batch per level of depth."""
        level = {"": self._root}
        wanted = {path.rpartition("/")[0] for path in paths}
        wanted |= {folder[:i] for folder in wanted for i, char in enumerate(folder) if char == "/"}
        while level:
            folders = self._trees.folders(level.values())
            below: dict[str, str] = {}
            for path, oid in level.items():
                self._loaded[path] = dict(folders[oid].items)
                for item in folders[oid].items.values():
                    child = f"{path}/{item.name}" if path else item.name
                    if item.is_tree and child in wanted:
                        below[child] = item.oid
            level = below

    def _folder(self, path: str) -> dict[str, TreeItem] | None:
        """The items of a folder as they stand now; None if there is no such folder."""
        if path in self._loaded:
            return self._loaded[path]
        parent_path, _, name = path.rpartition("/")
        if path == "":
            oid: str | None = self._root
        else:
            parent = self._folder(parent_path)
            item = parent.get(name) if parent else None
            oid = item.oid if item and item.is_tree else None
        if oid is None:
            return None
        self._loaded[path] = dict(self._trees.folder(oid).items)
        return self._loaded[path]

    def put(self, path: str, oid: Oid, mode: int = MODE_FILE) -> None:
        """Place a blob, making folders on the way. Raises BadCommit where a file is in the way."""
        folder_path, _, name = path.rpartition("/")
        folder = self._make_folder(folder_path)
        before = folder.get(name)
        if before is not None and before.is_tree:
            raise BadCommit(f"{path} is a folder", hint="delete the folder first")
        if before is None or (before.oid, before.mode) != (oid, mode):
            self._note(path, "A" if before is None else "M")
            folder[name] = TreeItem(name, mode, oid)

    def _make_folder(self, path: str) -> dict[str, TreeItem]:
        folder = self._folder(path)
        if folder is None:
            parent_path, _, name = path.rpartition("/")
            parent = self._make_folder(parent_path)
            if name in parent:
                raise BadCommit(
                    f"{path} is a file", hint="delete the file before you put a folder in its place"
                )
            parent[name] = TreeItem(name, MODE_TREE, EMPTY_TREE_OID)
            folder = self._loaded[path] = {}
        return folder

    def delete(self, path: str) -> None:
        """Remove a file. Raises EntryNotFound."""
        folder_path, _, name = path.rpartition("/")
        folder = self._folder(folder_path)
        item = folder.get(name) if folder else None
        if folder is None or item is None or item.is_tree:
            raise EntryNotFound(f"A file with this name doesn't exist: {path}")
        del folder[name]
        self._note(path, "D")

    def delete_folder(self, path: str) -> None:
        """Remove a folder. Raises EntryNotFound."""
        folder = self._folder(path)
        if folder is None or path == "":
            raise EntryNotFound(f"A folder with this name doesn't exist: {path}")
        for name, item in list(folder.items()):
            child = f"{path}/{name}"
            if item.is_tree:
                self.delete_folder(child)
            else:
                self.delete(child)
        parent_path, _, name = path.rpartition("/")
        parent = self._folder(parent_path)
        del self._loaded[path]
        if parent is not None:
            parent.pop(name, None)

    def find(self, path: str) -> TreeItem | None:
        """The file at a path as it stands now."""
        folder_path, _, name = path.rpartition("/")
        folder = self._folder(folder_path)
        item = folder.get(name) if folder else None
        return None if item is None or item.is_tree else item

    def _note(self, path: str, kind: str) -> None:
        before = self.changes.get(path)
        if before == "A" and kind == "D":
            del self.changes[path]
        elif before == "D" and kind == "A":
            self.changes[path] = "M"
        elif not (before == "A" and kind == "M"):
            self.changes[path] = kind

    def write(self) -> tuple[Oid, list[GitObject]]:
        """The new root tree and the tree objects to store. Folders left empty vanish, as in git."""
        objects: list[GitObject] = []
        root = EMPTY_TREE_OID
        for path in sorted(self._loaded, key=lambda path: (path != "", path.count("/")), reverse=True):
            items = self._loaded[path].values()
            data = encode_tree(item for item in items if item.oid != EMPTY_TREE_OID or not item.is_tree)
            oid = git_oid("tree", data)
            objects.append(GitObject(oid, "tree", data))
            if path == "":
                root = oid
                continue
            parent_path, _, name = path.rpartition("/")
            self._loaded[parent_path][name] = TreeItem(name, MODE_TREE, oid)
        return root, objects
