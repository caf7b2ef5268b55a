"""The side panel of a model's first page: what it is built on, how open it is, what its licence asks."""

from __future__ import annotations

from seedstock.http.call import Call
from seedstock.hub.reading import RepoAt
from seedstock.hub.repos import repo_id_of
from seedstock.lineage.graph import Support
from seedstock.lineage.service import ModelLineage
from seedstock.web.pages.openness import bom_links, licence_status
from seedstock.web.views.common import Link
from seedstock.web.views.openness import LicenceStatus
from seedstock.web.views.repos import BuiltOnView, FoundationPanelView, LineageState

_TONES = {
    LicenceStatus.OK: "good",
    LicenceStatus.NOTICE_MISSING: "warn",
    LicenceStatus.RELABELLED: "bad",
    LicenceStatus.CONFLICT: "bad",
    LicenceStatus.UNKNOWN: "",
}
_MOST = 6


def foundation_panel(call: Call, at: RepoAt, lineage: ModelLineage, url: str) -> FoundationPanelView:
    """The panel of a model at its head."""
    graded = call.hub.openness.grade(call.viewer, repo_id_of(at.repo))
    report = graded.openness.licence
    status = licence_status(report)
    built_on = (*_parents(lineage, url), *_roots(lineage))
    return FoundationPanelView(
        built_on=built_on[:_MOST],
        is_root=lineage.status == "done" and not built_on,
        analysing=lineage.status in {"queued", "running"},
        variants=at.repo.children,
        licence_status=status.value,
        licence_tone=_TONES[status],
        obligations=len(report.obligations),
        boms=tuple(Link(bom.label, bom.href) for bom in bom_links(f"/api/models/{at.repo.repo_id}"))[:2],
    )


def _parents(lineage: ModelLineage, url: str) -> list[BuiltOnView]:
    found = []
    for edge in lineage.edges:
        if edge.role != "parent":
            continue
        support, row = edge.tie.support, edge.tie.edge
        found.append(
            BuiltOnView(
                edge.name,
                LineageState.UNKNOWN if support is Support.RELATED else LineageState(support.value),
                href=f"/{edge.other.url_path}" if edge.other else None,
                relation=row.kind if edge.tie.known and row.kind else row.declared,
                evidence_href=f"{url}/evidence/{edge.id}" if edge.tie.verdict is not None else None,
            )
        )
    return found


def _roots(lineage: ModelLineage) -> list[BuiltOnView]:
    """The roots beyond the parents, and the origin that publishers state."""
    return [
        BuiltOnView(
            item.name,
            LineageState.VERIFIED if item.root.verified else LineageState.DECLARED,
            href=f"/{item.repo.url_path}" if item.repo else None,
            relation=f"root, {item.root.steps} steps away",
            origin=item.publisher.country if item.publisher else None,
        )
        for item in lineage.foundations
        if item.root.steps > 1
    ]
