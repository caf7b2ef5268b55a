"""From a family graph to the family page: counts, filters, and one page of the sorted table.

Everything is linear in the graph but the sort, because a family may have thousands of models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from seedstock.web.family_places import Place, places
from seedstock.web.family_query import FamilyQuery
from seedstock.web.views.common import Fact, Pagination
from seedstock.web.views.evidence import Evidence
from seedstock.web.views.family import (
    AnalysisView,
    FamilyEdge,
    FamilyGraph,
    FamilyNode,
    FamilyPage,
    FamilyRowView,
    FilterView,
    FoundationLine,
    ParentView,
    SortView,
)
from seedstock.web.views.repos import RepoHeaderView

PAGE_SIZE = 200
PARENTS_SHOWN = 3
RELATIONS = {
    "finetune": "Fine-tune",
    "adapter": "Adapter",
    "lora": "Low-rank",
    "merge": "Merge",
    "quantized": "Quantised",
    "pruned": "Pruned",
    "permuted": "Permuted",
    "copy": "Copy",
    "related": "Related",
}
EVIDENCE = {
    Evidence.VERIFIED: "Verified",
    Evidence.DECLARED: "Declared only",
    Evidence.CONTRADICTED: "Contradicted",
    Evidence.RELATED: "Related, direction unknown",
}
NOT_STATED = "not stated"  # the filter's word for a licence or country that nothing states


def family_page(
    header: RepoHeaderView,
    graph: FamilyGraph,
    query: FamilyQuery,
    analysis: AnalysisView,
    foundations: tuple[FoundationLine, ...] = (),
) -> FamilyPage:
    """The page of a family; the handler brings the graph, the analysis' state and the roots."""
    incoming = _incoming(graph)
    where = places(graph)
    nodes = [node for node in graph.nodes if _matches(node, incoming.get(node.id, []), query)]
    nodes.sort(key=_key(query.sort, where, incoming))
    if query.descending:
        nodes.reverse()
    first = min((query.page - 1) * PAGE_SIZE, max(0, (len(nodes) - 1) // PAGE_SIZE * PAGE_SIZE))
    shown, page = nodes[first : first + PAGE_SIZE], first // PAGE_SIZE + 1
    names = {node.id: node for node in graph.nodes}
    return FamilyPage(
        header=header,
        graph_href=f"/api/models/{header.namespace}/{header.name}/family",
        analysis=analysis,
        headline=_headline(header, graph, where),
        counts=_counts(graph),
        rows=tuple(_row(node, where, incoming, names) for node in shown),
        columns=_columns(query),
        filters=_filters(graph, query),
        query=query.search,
        sort_state=(("sort", query.sort), ("order", "desc" if query.descending else "")),
        filtered=bool(query.filters()),
        pagination=Pagination(
            first=first + 1 if shown else 0,
            last=first + len(shown),
            total=len(nodes),
            previous_href=query.href(page=page - 1) if page > 1 else None,
            next_href=query.href(page=page + 1) if first + PAGE_SIZE < len(nodes) else None,
        ),
        total=len(graph.nodes),
        truncated=graph.truncated,
        foundations=foundations,
    )


def _incoming(graph: FamilyGraph) -> dict[int, list[FamilyEdge]]:
    """Edges by the model whose row shows them: the child, and for related models either of the two."""
    found: dict[int, list[FamilyEdge]] = {}
    for edge in graph.edges:
        found.setdefault(edge.target, []).append(edge)
        if edge.evidence is Evidence.RELATED:
            found.setdefault(edge.source, []).append(edge)
    return found


def _matches(node: FamilyNode, edges: list[FamilyEdge], query: FamilyQuery) -> bool:
    words = query.search.lower().split()
    name = f"{node.repo} {node.title or ''}".lower()
    return (
        all(word in name for word in words)
        and query.licence in ("", node.licence or NOT_STATED)
        and query.origin in ("", node.origin or NOT_STATED)
        and (not query.relation or any(edge.relation == query.relation for edge in edges))
        and (not query.evidence or any(edge.evidence.value == query.evidence for edge in edges))
    )


def _key(
    sort: str, where: dict[int, Place], incoming: dict[int, list[FamilyEdge]]
) -> Callable[[FamilyNode], Any]:
    def name(node: FamilyNode) -> str:
        return node.repo.lower()

    def evidence(node: FamilyNode) -> list[str]:
        return sorted(edge.evidence.value for edge in incoming.get(node.id, [])) or ["~"]

    keys: dict[str, Callable[[FamilyNode], Any]] = {
        "name": name,
        "parents": lambda node: (evidence(node), name(node)),
        "licence": lambda node: (node.licence or "~", name(node)),
        "openness": lambda node: (node.openness or "~", name(node)),
        "origin": lambda node: (node.origin or "~", name(node)),
        "parameters": lambda node: (node.parameters or 0, name(node)),
        "downloads": lambda node: (node.downloads, name(node)),
    }
    by_place = lambda node: (where[node.id].order, where[node.id].steps, -node.downloads, name(node))  # noqa: E731
    return keys.get(sort, by_place)


_COLUMNS = (
    ("name", "Model", False),
    ("place", "Place", False),
    ("parents", "Built on", False),
    ("licence", "Licence", False),
    ("openness", "Openness", False),
    ("origin", "Stated origin", False),
    ("parameters", "Parameters", True),
    ("downloads", "Downloads", True),
)


def _columns(query: FamilyQuery) -> tuple[SortView, ...]:
    def column(key: str, label: str, numeric: bool) -> SortView:
        chosen = key == query.sort
        descending = not query.descending if chosen else numeric
        direction = ("descending" if query.descending else "ascending") if chosen else None
        return SortView(key, label, query.href(sort=key, descending=descending, page=1), direction, numeric)

    return tuple(column(*entry) for entry in _COLUMNS)


def _row(
    node: FamilyNode,
    where: dict[int, Place],
    incoming: dict[int, list[FamilyEdge]],
    names: dict[int, FamilyNode],
) -> FamilyRowView:
    edges = incoming.get(node.id, [])
    parents = []
    for edge in edges[:PARENTS_SHOWN]:
        other = names[edge.source if edge.target == node.id else edge.target]
        relation = RELATIONS.get(edge.relation, edge.relation)
        parents.append(ParentView(other.repo, other.href, relation, edge.evidence, edge.href))
    return FamilyRowView(
        node, where[node.id].words, tuple(parents), more_parents=max(0, len(edges) - PARENTS_SHOWN)
    )


def _filters(graph: FamilyGraph, query: FamilyQuery) -> tuple[FilterView, ...]:
    edges = graph.edges
    return (
        _filter("relation", "Relation", (edge.relation for edge in edges), query.relation, RELATIONS),
        _filter(
            "evidence",
            "Evidence",
            (edge.evidence.value for edge in edges),
            query.evidence,
            {evidence.value: words for evidence, words in EVIDENCE.items()},
        ),
        _filter("licence", "Licence", (node.licence or NOT_STATED for node in graph.nodes), query.licence),
        _filter("origin", "Origin", (node.origin or NOT_STATED for node in graph.nodes), query.origin),
    )


def _filter(
    field: str, label: str, values: Iterable[str], chosen: str, words: dict[str, str] | None = None
) -> FilterView:
    counts = Counter(values)
    options = [
        (value, f"{(words or {}).get(value, value)} ({count:,})", value == chosen)
        for value, count in counts.most_common(50)
    ]
    return FilterView(field, label, (("", "Any", not chosen), *options))


def _counts(graph: FamilyGraph) -> tuple[Fact, ...]:
    counts = Counter(edge.evidence for edge in graph.edges)
    return tuple(Fact(evidence.value, f"{counts[evidence]:,}") for evidence in Evidence)


def _headline(header: RepoHeaderView, graph: FamilyGraph, where: dict[int, Place]) -> str:
    orders = Counter(place.order for place in where.values())
    parts = [
        _some(orders[1], "ancestor"),
        _some(orders[2], "descendant"),
        _some(orders[3], "further relative") if orders[3] else "",
        _some(orders[4], "contradicted claim") if orders[4] else "",
    ]
    verified = sum(edge.evidence is Evidence.VERIFIED for edge in graph.edges)
    edges = len(graph.edges)
    share = f"; {verified:,} of {_some(edges, 'link')} verified from weights" if edges else ""
    listed = [part for part in parts if part]
    joined = f"{', '.join(listed[:-1])} and {listed[-1]}"
    return f"{header.name} has {joined}{share}."


def _some(number: int, noun: str) -> str:
    return f"{'no' if number == 0 else f'{number:,}'} {noun}{'' if number == 1 else 's'}"
