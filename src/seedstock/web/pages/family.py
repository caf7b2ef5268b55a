"""The family of a model: the page, and the graph that its script draws."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from starlette.responses import Response

from seedstock.db.publishers import PublisherRow
from seedstock.http.call import Call
from seedstock.http.routing import json_response
from seedstock.lineage.graph import Key, Support, Tie
from seedstock.lineage.service import Family, Foundation, ModelLineage
from seedstock.web.family import family_page
from seedstock.web.family_query import query_of
from seedstock.web.pages.answer import page_routes, show
from seedstock.web.pages.cards import licence_label
from seedstock.web.pages.header import header_of
from seedstock.web.views.evidence import Evidence
from seedstock.web.views.family import (
    AnalysisState,
    AnalysisView,
    FamilyEdge,
    FamilyGraph,
    FamilyNode,
    FoundationLine,
)

routes = page_routes()

_KINDS = {"lora": "lora", "identical": "copy"}


@routes.add("GET", "/api/models/{ns}/{name}/family")
def family_graph(call: Call) -> Response:
    """Ancestors, descendants and relatives, at most 5,000, as nodes and edges."""
    return json_response(_graph(call, call.hub.lineage.family(call.viewer, call.repo_id())))


@routes.add("GET", "/{ns:account}/{name}/family")
def family(call: Call) -> Response:
    """The page: drawn by a script, and as a table without one."""
    repo_id = call.repo_id()
    at = call.hub.reading.repo_at(call.viewer, repo_id)
    lineage = call.hub.lineage.of(call.viewer, repo_id)
    graph = _graph(call, call.hub.lineage.family(call.viewer, repo_id))
    lines = tuple(foundation_line(item) for item in lineage.foundations)
    return show(
        call, family_page(header_of(call, at), graph, query_of(call.query), analysis_view(lineage), lines)
    )


def analysis_view(lineage: ModelLineage) -> AnalysisView:
    """How far the analysis of the head is."""
    return AnalysisView(AnalysisState(lineage.status), lineage.error)


def foundation_line(item: Foundation) -> FoundationLine:
    """A root as the page shows it."""
    profile = item.publisher
    return FoundationLine(
        item.name,
        Evidence.VERIFIED if item.root.verified else Evidence.DECLARED,
        href=f"/{item.repo.url_path}" if item.repo else None,
        steps=item.root.steps,
        publisher=profile.organisation if profile else item.name.split("/")[0],
        publisher_href=f"/{item.repo.namespace}" if item.repo else None,
        origin=profile.country if profile else None,
        origin_href=profile.source if profile else None,
    )


def _graph(call: Call, family: Family) -> FamilyGraph:
    names = {repo.namespace for repo in family.repos.values()} | {
        name.split("/")[0] for name in family.names.values()
    }
    profiles = call.hub.publishers.of(names)
    numbers: dict[Key, int] = {}
    nodes = []
    for repo in family.repos.values():
        numbers[repo.id] = len(numbers) + 1
        nodes.append(
            FamilyNode(
                id=numbers[repo.id],
                repo=repo.repo_id,
                href=f"/{repo.url_path}",
                commit=repo.head_oid,
                licence=licence_label(repo.license) if repo.license else None,
                openness=repo.openness,
                origin=_country(profiles, repo.namespace),
                parameters=repo.parameters,
                downloads=repo.downloads,
                likes=repo.likes,
            )
        )
    for key, name in family.names.items():
        numbers[key] = len(numbers) + 1
        origin = _country(profiles, name.split("/")[0])
        nodes.append(FamilyNode(id=numbers[key], repo=name, origin=origin, kind="elsewhere"))
    edges = [
        _edge(tie, numbers, family) for tie in family.ties if tie.parent in numbers and tie.child in numbers
    ]
    return FamilyGraph(numbers[family.focus], tuple(nodes), tuple(edges), family.truncated)


def _country(profiles: Mapping[str, PublisherRow], namespace: str) -> str | None:
    profile = profiles.get(namespace.lower())
    return profile.country if profile else None


def _edge(tie: Tie, numbers: Mapping[Key, int], family: Family) -> FamilyEdge:
    row = tie.edge
    compared = tie.verdict is not None
    owner = family.repos.get(row.repo_id)
    return FamilyEdge(
        source=numbers[tie.parent],
        target=numbers[tie.child],
        evidence=Evidence(tie.support.value),
        relation=relation_of(tie),
        verdict=tie.verdict,
        kind=row.kind if compared else None,
        record=str(row.id) if compared else None,
        href=f"/{quote(owner.url_path)}/evidence/{row.id}" if compared and owner else None,
    )


def relation_of(tie: Tie) -> str:
    """How an edge reads in filters."""
    if tie.support is Support.RELATED:
        return "copy" if tie.verdict == "identical" else "related"
    if tie.verdict == "identical":
        return "copy"
    found = (tie.edge.kind if tie.support is Support.VERIFIED else None) or tie.edge.declared or "related"
    return _KINDS.get(found, found)
