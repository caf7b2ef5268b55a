"""The commit graph of one repo in memory, and which part of it a client lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

NOTHING: frozenset[str] = frozenset()
INFINITE_DEPTH = 0x7FFFFFFF
"""What git sends for `--unshallow`."""


class Graph(msgspec.Struct, frozen=True):
    """Every commit of a repo: its tree and its parents (no entry: a root)."""

    trees: Mapping[str, str]
    parents: Mapping[str, Sequence[str]]

    def reach(self, tips: Iterable[str], cut: Collection[str] = NOTHING) -> dict[str, None]:
        """Known commits reachable from the tips, in the order found; `cut` commits count as roots."""
        found = dict.fromkeys(tip for tip in tips if tip in self.trees)
        queue = list(found)
        for oid in queue:  # grows while it is walked
            if oid in cut:
                continue
            for parent in self.parents.get(oid, ()):
                if parent not in found:
                    found[parent] = None
                    queue.append(parent)
        return found

    def depths(self, tips: Iterable[str], most: int) -> dict[str, int]:
        """Distance of commits from the nearest tip, itself 1, up to `most`."""
        found = dict.fromkeys((tip for tip in tips if tip in self.trees), 1)
        queue = list(found)
        for oid in queue:
            if found[oid] >= most:
                continue
            for parent in self.parents.get(oid, ()):
                if parent not in found:
                    found[parent] = found[oid] + 1
                    queue.append(parent)
        return found

    def descend_from(self, tips: Iterable[str], ancestors: Collection[str]) -> bool:
        """Whether every tip is, or descends from, one of the ancestors."""
        children: dict[str, list[str]] = {}
        for oid, parents in self.parents.items():
            for parent in parents:
                children.setdefault(parent, []).append(oid)
        found = set(ancestors)
        queue = list(found)
        for oid in queue:
            fresh = [child for child in children.get(oid, ()) if child not in found]
            found.update(fresh)
            queue.extend(fresh)
        return all(tip in found for tip in tips)


class Gap(msgspec.Struct, frozen=True):
    """What a client lacks, and how its history gets cut."""

    commits: list[str]
    known: list[str]
    """Commits at the edge whose files the client has."""
    shallow: list[str]
    unshallow: list[str]


def find_gap(
    graph: Graph, wants: Sequence[str], haves: Sequence[str], held_shallow: Collection[str], depth: int | None
) -> Gap:
    """Commits to send so that the client holds `wants`, `depth` commits deep where that is given."""
    shallow: set[str] = set()
    unshallow: set[str] = set()
    if depth is not None:
        depths = graph.depths(wants, depth)
        if depth < INFINITE_DEPTH:
            shallow = {oid for oid, at in depths.items() if at == depth and graph.parents.get(oid)}
        unshallow = {oid for oid in held_shallow if oid in depths and oid not in shallow}
    held = graph.reach(haves, held_shallow)
    wanted = graph.reach(wants, shallow | (set(held_shallow) - unshallow))
    commits = [oid for oid in wanted if oid not in held]
    edge = {parent for oid in commits for parent in graph.parents.get(oid, ()) if parent in held}
    edge.update(oid for oid in held_shallow if oid in held)
    return Gap(
        commits=commits,
        known=sorted(edge),
        shallow=sorted(shallow - set(held_shallow)),
        unshallow=sorted(unshallow),
    )
