"""The family tree as a graph: pure functions over the edges that a viewer may know of.

A key is a repo's number, or the lower-case name of a model that is named but not here (or not the viewer's to see:
the two look the same).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from seedstock.db.lineage import EdgeRow
from seedstock.db.repos import RepoRow

Key = int | str
POSITIVE = frozenset({"identical", "derived"})
"""Verdicts that say that one model comes from the other."""


class Support(StrEnum):
    """What a tie rests on."""

    VERIFIED = "verified"
    DECLARED = "declared"
    CONTRADICTED = "contradicted"
    RELATED = "related"
    """The weights are related; which came first is not known."""


class Tie(msgspec.Struct, frozen=True):
    """Two models: parent and child, or for RELATED two in no order. `edge` is the row it comes from."""

    parent: Key
    child: Key
    support: Support
    edge: EdgeRow
    known: bool = True
    """Whether the verdict may be told: False where the other end is not the viewer's to see."""

    @property
    def verdict(self) -> str | None:
        """What the weights say."""
        return self.edge.verdict if self.known else None


def ties(edges: Iterable[EdgeRow], visible: Mapping[int, RepoRow]) -> list[Tie]:
    """The edges as one tie for each pair, the best known one; those that would name a hidden repo are left out."""
    found: dict[tuple[Key, Key], Tie] = {}
    for edge in edges:
        tie = _tie(edge, visible)
        if tie is None:
            continue
        pair = _pair(tie)
        if pair not in found or _weight(tie) > _weight(found[pair]):
            found[pair] = tie
    return list(found.values())


def _tie(edge: EdgeRow, visible: Mapping[int, RepoRow]) -> Tie | None:
    if edge.repo_id not in visible:
        return None
    other: Key
    known = edge.other_repo_id is not None and edge.other_repo_id in visible
    if known and edge.other_repo_id is not None:
        other = edge.other_repo_id
    elif edge.declared_name is not None:
        other = edge.declared_name.lower()
    else:
        return None
    if not edge.current and edge.role != "parent":
        return None  # the other holds other weights now; of its own past only the younger one tells
    support = _support(edge, known=known)
    if edge.role == "child":
        return Tie(edge.repo_id, other, support, edge, known)
    return Tie(other, edge.repo_id, support, edge, known)


def _support(edge: EdgeRow, *, known: bool) -> Support:
    if known and edge.verdict == "contradicted":
        return Support.CONTRADICTED
    if edge.role == "relative":
        return Support.RELATED
    return Support.VERIFIED if known and edge.verdict in POSITIVE else Support.DECLARED


def _pair(tie: Tie) -> tuple[Key, Key]:
    first, second = sorted((tie.parent, tie.child), key=lambda key: (isinstance(key, str), key))
    return first, second


def _weight(tie: Tie) -> tuple[bool, bool, int]:
    """What is declared and compared says most; among equals, the newest."""
    return (tie.edge.declared is not None, tie.edge.verdict is not None, tie.edge.id)


class Root(msgspec.Struct, frozen=True):
    """What a model rests on in the end. `declared` and `verified` hold for every step of the way there."""

    key: Key
    declared: bool
    verified: bool
    steps: int
    path: tuple[Tie, ...]


class Ancestry:
    """Walks from models to their roots, over ties that are not contradicted and have a direction."""

    def __init__(self, found: Iterable[Tie]) -> None:
        self._up: dict[Key, list[Tie]] = {}
        for tie in found:
            if tie.support in {Support.VERIFIED, Support.DECLARED}:
                self._up.setdefault(tie.child, []).append(tie)

    def parents(self, key: Key) -> Sequence[Tie]:
        """The ties to a model's parents."""
        return self._up.get(key, ())

    def roots(self, key: Key) -> list[Root]:
        """The roots of a model, each by its best supported way; none for a model without parents.

        Two passes, first over verified ties alone, so that the way that is kept is verified if any is. Cycles in
        declarations end where they began.
        """
        found: dict[Key, Root] = {}
        for only_verified in (True, False):
            for root in self._walk(key, only_verified=only_verified):
                found.setdefault(root.key, root)
        return sorted(found.values(), key=lambda root: (not root.verified, root.steps, str(root.key)))

    def leads_on(self, tie: Tie) -> bool:
        """Whether a step is verified, and its end is a root or still holds the weights that were compared."""
        return tie.support is Support.VERIFIED and (tie.edge.current or not self._up.get(tie.parent))

    def _walk(self, start: Key, *, only_verified: bool) -> Iterable[Root]:
        seen: set[Key] = {start}
        waiting: deque[tuple[Key, tuple[Tie, ...]]] = deque([(start, ())])
        while waiting:
            key, path = waiting.popleft()
            # A verified step does not lead past a declared one: its root is the declared way's.
            if path and not self._up.get(key):
                yield _root(key, path)
            for tie in self._up.get(key, ()):
                if tie.parent in seen or (only_verified and not self.leads_on(tie)):
                    continue
                seen.add(tie.parent)
                waiting.append((tie.parent, (*path, tie)))


def _root(key: Key, path: tuple[Tie, ...]) -> Root:
    return Root(
        key,
        declared=all(tie.edge.declared is not None for tie in path),
        verified=all(tie.support is Support.VERIFIED for tie in path)
        and all(tie.edge.current for tie in path[:-1]),
        steps=len(path),
        path=path,
    )
