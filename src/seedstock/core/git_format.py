"""Bytes of git trees and commits (git's own formats, gitformat-* manuals)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from seedstock.core.digests import Oid
from seedstock.core.errors import UnsupportedFormat

MODE_TREE = 0o40000
MODE_FILE = 0o100644
MODE_EXEC = 0o100755


class TreeItem(msgspec.Struct, frozen=True):
    """One entry of a tree object."""

    name: str
    mode: int
    oid: Oid

    @property
    def is_tree(self) -> bool:
        """Whether the entry is a folder."""
        return self.mode == MODE_TREE


def parse_tree(data: bytes) -> list[TreeItem]:
    """Entries of a tree object, in git's order. Raises UnsupportedFormat on malformed bytes."""
    items, at = [], 0
    try:
        while at < len(data):
            space = data.index(b" ", at)
            zero = data.index(b"\0", space)
            oid = data[zero + 1 : zero + 21]
            if len(oid) != 20:
                raise ValueError
            items.append(TreeItem(data[space + 1 : zero].decode(), int(data[at:space], 8), Oid(oid.hex())))
            at = zero + 21
    except ValueError:
        raise UnsupportedFormat("Malformed git tree object") from None
    return items


def encode_tree(items: Iterable[TreeItem]) -> bytes:
    """A tree object; entries are put in git's order, in which folders sort as if their name ended in '/'."""
    ordered = sorted(items, key=lambda item: item.name.encode() + (b"/" if item.is_tree else b""))
    return b"".join(
        f"{item.mode:o} {item.name}".encode() + b"\0" + bytes.fromhex(item.oid) for item in ordered
    )


def encode_commit(tree: Oid, parents: Sequence[Oid], author: str, at_s: int, message: str) -> bytes:
    """A commit object. `author` is `Name <email>`; time is UTC seconds; message ends in a newline."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {author} {at_s} +0000", f"committer {author} {at_s} +0000"]
    return ("\n".join(lines) + "\n\n" + message.rstrip("\n") + "\n").encode()


def identity(name: str, email: str) -> str:
    """`Name <email>` as git stores it: without the characters that would break the line."""
    clean = str.maketrans("", "", "<>\n\r\0")
    return f"{name.translate(clean).strip() or 'unknown'} <{email.translate(clean).strip()}>"
