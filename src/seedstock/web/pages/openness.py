"""How open a model is and under which terms: the page, and the parts of it that the model's first page shows."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from seedstock.db.repos import RepoRow
from seedstock.http.call import Call
from seedstock.openness.component_model import Rating, State
from seedstock.openness.facts import ModelFacts
from seedstock.openness.licence_model import Licence, find_licence
from seedstock.openness.licence_report import Finding, LicenceReport, Status
from seedstock.openness.licence_text import licences_in
from seedstock.openness.service import Graded
from seedstock.web.pages.answer import page_routes, show
from seedstock.web.pages.cards import GRADES
from seedstock.web.pages.header import header_of
from seedstock.web.views import openness as views
from seedstock.web.views.common import Fact, Link
from seedstock.web.views.evidence import SignatureState, SignatureView
from seedstock.web.views.openness import CheckState, ComponentState, ComponentView, LicenceStatus

routes = page_routes()

_SIGNATURES = {
    "verified": SignatureState.VALID,
    "intact-key-not-trusted": SignatureState.UNKNOWN_KEY,
    "broken": SignatureState.INVALID,
}


@routes.add("GET", "/{ns:account}/{name}/openness")
def openness(call: Call) -> Response:
    """Components, classes, checklist, obligations and bills of materials."""
    at = call.hub.reading.repo_at(call.viewer, call.repo_id())
    header = header_of(call, at)
    graded = call.hub.openness.grade(call.viewer, call.repo_id())
    found, api = graded.openness, f"/api/models/{graded.model.repo}"
    own = views.ClassView(graded.model.repo, found.own_class.value, header.url)
    view = views.OpennessPage(
        header=header,
        grade=GRADES.get(graded.badge or "", "No weights"),
        summary=f"{found.weights_reason.rstrip('.')}. {found.verification.text.rstrip('.')}.",
        own=own,
        effective=views.ClassView(
            found.capped_by[-1] if found.capped_by else graded.model.repo,
            found.effective_class.value,
            detail=found.explanation,
        ),
        components=tuple(_component(item, graded.model, header.url) for item in found.components),
        licences=_licences(found.licence, graded, header.url),
        next_class=found.next_class.value if found.next_class else None,
        next_steps=tuple(f"{item.component.title}: {item.text}" for item in found.missing),
        verification=found.verification.text,
        osaid=CheckState(found.osaid.answer.value),
        osaid_checks=tuple(
            views.CheckView(item.title, CheckState(item.answer.value), item.reason)
            for item in found.osaid.items
        ),
        boms=tuple(bom_links(api)),
        signature=signature_view(call, graded.repo, graded.model.commit),
        json_links=(Link("openness", f"{api}/openness"), Link("licences", f"{api}/licences")),
    )
    return show(call, view)


def bom_links(api: str) -> Iterator[views.BomView]:
    """Downloads of the bill of materials."""
    yield views.BomView("CycloneDX 1.6", f"{api}/bom?format=cyclonedx", "ML-BOM, JSON")
    yield views.BomView("SPDX 3.0", f"{api}/bom?format=spdx", "AI profile, JSON-LD")
    yield views.BomView("CycloneDX, signed", f"{api}/bom?format=cyclonedx&signed=1", "in-toto, DSSE")


def signature_view(call: Call, repo: RepoRow, commit: str) -> SignatureView | None:
    """What checking the commit's `model.sig` gave; None without one."""
    found = call.hub.signatures.find(repo.id, commit)
    if found is None or found.state == "absent":
        return None
    return SignatureView(_SIGNATURES.get(found.state, SignatureState.NONE), found.signer, f"{found.text}.")


def _component(item: Rating, model: ModelFacts, url: str) -> ComponentView:
    part, counts = item.component, item.state.counts
    paths = {file.path for file in model.files}
    evidence = None
    if item.target in paths:
        evidence = Link(str(item.target), f"{url}/blob/main/{quote(str(item.target))}")
    elif item.target and item.target.startswith(("https://", "http://")):
        evidence = Link(item.target, item.target)
    elif item.target:
        evidence = Link(item.target, f"/{quote(item.target.lstrip('/'))}")
    return ComponentView(
        part.number,
        part.title,
        {"doc": "documentation"}.get(part.kind.value, part.kind.value),
        part.klass,
        ComponentState(item.state.value),
        optional=not part.required,
        licence=item.license,
        basis=item.ground.value if item.state is not State.MISSING else None,
        evidence=evidence,
        missing=None if counts and item.state is State.OPEN else item.text,
    )


def licence_status(report: LicenceReport) -> LicenceStatus:
    """The verdict in the page's words."""
    return LicenceStatus(report.status.value)


def _licences(report: LicenceReport, graded: Graded, url: str) -> views.LicenceView:
    findings = [item for item in (*report.findings, *report.conditional) if item.status is not Status.OK]
    file, licence = _licence_file(graded.model)
    named = {part.id for part in report.declared.licences}
    permitted = msgspec.structs.asdict(report.permissions)
    return views.LicenceView(
        licence_status(report),
        report.headline,
        report.declared.expression or report.declared.text,
        licence.label if licence else None,
        f"{url}/blob/main/{quote(file)}" if file else None,
        licence.id in named if licence and named else None,
        obligations=tuple(
            views.ObligationView(
                item.text,
                item.licence,
                item.clause,
                item.path[-1] if item.path else graded.model.repo,
                source=_text(item.source),
                asserted=item.asserted,
            )
            for item in report.obligations
        ),
        findings=tuple(_finding(item, url) for item in findings),
        permissions=tuple(
            Fact(name.replace("_", " ").capitalize(), str(value)) for name, value in permitted.items()
        ),
        disclaimer=report.disclaimer,
    )


def _licence_file(model: ModelFacts) -> tuple[str | None, Licence | None]:
    """The first file at the top that holds the text of a licence, and which."""
    for path, matches in licences_in(model.licence_texts).items():
        if "/" not in path and matches:
            return path, find_licence(matches[0].licence)
    return None, None


def _finding(item: Finding, url: str) -> views.FindingView:
    return views.FindingView(
        LicenceStatus(item.status.value),
        item.text,
        tuple(Link(name, f"/{quote(name)}") if "/" in name else Link(name, url) for name in item.path),
        item.clause or "",
        _text(item.source),
        asserted=item.asserted,
        needs_human=item.needs_human,
        evidence_href=f"{url}/evidence/{item.record}" if item.record else None,
    )


def _text(source: str | None) -> Link | None:
    return Link("text", source) if source and source.startswith("https://") else None
