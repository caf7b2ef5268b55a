"""Where each model of a family stands, seen from the one whose page it is."""

from __future__ import annotations

from collections import deque

import msgspec

from seedstock.web.views.evidence import Evidence
from seedstock.web.views.family import FamilyGraph

_DIRECTED = (Evidence.VERIFIED, Evidence.DECLARED)


class Place(msgspec.Struct, frozen=True):
    """Where a model stands: `order` is 0 for the model, 1 ancestors, 2 descendants, 3 relatives, 4 mere claims."""

    order: int
    steps: int

    @property
    def words(self) -> str:
        """As the table says it."""
        if self.order == 0:
            return "This model"
        if self.order >= 3:
            return "Relative" if self.order == 3 else "Contradicted claim"
        near, far = ("Parent", "Ancestor") if self.order == 1 else ("Child", "Descendant")
        return near if self.steps == 1 else f"{far}, {self.steps} steps"


def places(graph: FamilyGraph) -> dict[int, Place]:
    """Where each model stands, along edges that are not contradicted; cycles in declarations do no harm."""
    up: dict[int, list[int]] = {}
    down: dict[int, list[int]] = {}
    for edge in graph.edges:
        if edge.evidence in _DIRECTED:
            up.setdefault(edge.target, []).append(edge.source)
            down.setdefault(edge.source, []).append(edge.target)
    found = {graph.focus: Place(0, 0)}
    for order, neighbours in ((1, up), (2, down)):
        for id, steps in _distances(graph.focus, neighbours).items():
            found.setdefault(id, Place(order, steps))
    akin = {
        id
        for edge in graph.edges
        if edge.evidence is not Evidence.CONTRADICTED
        for id in (edge.source, edge.target)
    }
    return {node.id: found.get(node.id, Place(3 if node.id in akin else 4, 0)) for node in graph.nodes}


def _distances(start: int, neighbours: dict[int, list[int]]) -> dict[int, int]:
    distances, waiting = {start: 0}, deque([start])
    while waiting:
        id = waiting.popleft()
        for other in neighbours.get(id, ()):
            if other not in distances:
                distances[other] = distances[id] + 1
                waiting.append(other)
    return distances
