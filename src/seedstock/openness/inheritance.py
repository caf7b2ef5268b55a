"""Walks from a model to everything it is built on, and says what is reached on which evidence.

Every node is visited at most twice, as a source of weights and as a source of outputs; cycles end there, and a
walk that would visit more than MAX_VISITS stops and says that it was cut.
"""

from __future__ import annotations

from collections import deque

import msgspec

from seedstock.openness.facts import Ancestry, Edge, Evidence, Node, Relation
from seedstock.openness.licence_model import OUTPUTS, WEIGHTS

MAX_VISITS = 20_000
_SHOWN_ENDS = 8
Step = tuple[str, str]
"""A node key, and through what it is reached: weights or outputs."""


class Reached(msgspec.Struct, frozen=True):
    """One ancestor. `path` holds names from the model to it, the middle of a long one left out."""

    key: str
    node: Node
    through: str
    asserted: bool
    path: tuple[str, ...]
    edge: Edge


class Walk(msgspec.Struct, frozen=True):
    """All ancestors, nearest first; `contradicted` edges are not followed; `cut` when there were too many."""

    reached: tuple[Reached, ...]
    contradicted: tuple[Edge, ...]
    cut: bool


def walk(ancestry: Ancestry) -> Walk:
    """Follow verified edges first, then declared ones: what verified edges alone reach is `asserted`."""
    parents = ancestry.parents()
    start: Step = (ancestry.root, WEIGHTS)
    came: dict[Step, tuple[Step, Edge]] = {}
    asserted = _spread(parents, [start], {Evidence.VERIFIED}, {start}, came)
    seen = {start, *asserted}
    declared = _spread(parents, [start, *asserted], {Evidence.VERIFIED, Evidence.DECLARED}, seen, came)
    steps = [(step, True) for step in asserted] + [(step, False) for step in declared]
    reached = tuple(
        Reached(
            step[0], ancestry.node(step[0]), step[1], sure, _path(ancestry, came, step, start), came[step][1]
        )
        for step, sure in steps[:MAX_VISITS]
        if step[0] != ancestry.root
    )
    contradicted = tuple(
        edge
        for key in dict.fromkeys([ancestry.root, *(step[0] for step, _ in steps)])
        for edge in parents.get(key, ())
        if edge.evidence is Evidence.CONTRADICTED
    )
    return Walk(reached, contradicted, len(steps) > MAX_VISITS)


def _spread(
    parents: dict[str, list[Edge]],
    starts: list[Step],
    allowed: set[Evidence],
    seen: set[Step],
    came: dict[Step, tuple[Step, Edge]],
) -> list[Step]:
    """Breadth first from several starts; steps new to `seen`, in order."""
    waiting = deque(starts)
    seen = set(seen)
    found: list[Step] = []
    while waiting and len(found) <= MAX_VISITS:
        step = waiting.popleft()
        for edge in parents.get(step[0], ()):
            if edge.evidence not in allowed:
                continue
            through = OUTPUTS if edge.relation is Relation.DISTILLED or step[1] == OUTPUTS else WEIGHTS
            after = (edge.parent, through)
            if after not in seen:
                seen.add(after)
                came[after] = (step, edge)
                found.append(after)
                waiting.append(after)
    return found


def _path(
    ancestry: Ancestry, came: dict[Step, tuple[Step, Edge]], step: Step, start: Step
) -> tuple[str, ...]:
    """Names from the model to a step. Only the last few are walked back, so that a long chain costs no more."""
    names = [ancestry.node(step[0]).name]
    while step != start and len(names) < 2 * _SHOWN_ENDS:
        step = came[step][0]
        names.append(ancestry.node(step[0]).name)
    if step != start:
        names += ["…", ancestry.node(start[0]).name]
    return tuple(reversed(names))
