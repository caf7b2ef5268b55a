"""Which files of a commit hold one model's tensors together, and what identifies them.

Invariant: equal bytes in equal files give an equal digest, whatever the files are called.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from seedstock.hub.trees import Entry

MAX_SETS = 32
"""More are not looked at; what was left out is said in the evidence."""
_PART = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})(?P<suffix>\.gguf|\.safetensors)\Z", re.IGNORECASE)
_NO_MODEL = re.compile(r"mmproj|optimizer|training_args|scheduler|random_states", re.IGNORECASE)


class SetKind(StrEnum):
    """What the tensors are."""

    MODEL = "model"
    ADAPTER = "adapter"


class WeightSet(msgspec.Struct, frozen=True):
    """The files of one model, in the order of their paths."""

    kind: SetKind
    entries: tuple[Entry, ...]

    @property
    def files(self) -> dict[str, str]:
        """Path to the digest of its bytes."""
        return {entry.path: file_digest(entry) for entry in self.entries}

    @property
    def digest(self) -> str:
        """Identity of the weights."""
        return hashlib.sha256("\n".join(sorted(self.files.values())).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Length of all files."""
        return sum(entry.size_bytes for entry in self.entries)

    @property
    def is_gguf(self) -> bool:
        """Whether a GGUF, quantised or not, rather than safetensors."""
        return self.entries[0].path.lower().endswith(".gguf")


def file_digest(entry: Entry) -> str:
    """SHA-256 of a large file's bytes, git's oid of a small one's."""
    return entry.digest or f"git:{entry.oid}"


def group_weights(entries: Iterable[Entry]) -> list[WeightSet]:
    """The weight sets of a commit, the one that stands for the model first."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        path = entry.path.lower()
        if entry.is_tree or not path.endswith((".gguf", ".safetensors")) or _NO_MODEL.search(path):
            continue
        groups.setdefault(_group(path), []).append(entry)
    sets = [
        WeightSet(_kind(members), tuple(sorted(members, key=lambda entry: entry.path)))
        for members in groups.values()
    ]
    return sorted(sets, key=_rank)


def _group(path: str) -> tuple[str, ...]:
    part = _PART.match(path)
    return (part["stem"], part["count"], part["suffix"]) if part else (path,)


def _kind(members: Sequence[Entry]) -> SetKind:
    name = members[0].path.rsplit("/", 1)[-1].lower()
    return SetKind.ADAPTER if name.startswith("adapter") or "lora" in name else SetKind.MODEL


def _rank(found: WeightSet) -> tuple[bool, bool, int, int, str]:
    """Whole models before adapters, floats before quantised ones, top folder first, then the largest."""
    first = found.entries[0].path
    return (found.kind is SetKind.ADAPTER, found.is_gguf, first.count("/"), -found.size_bytes, first)
