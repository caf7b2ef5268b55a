"""One evidence record, worded for people; the record itself is what the API gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from starlette.responses import Response

from seedstock.db.repos import RepoRow
from seedstock.http.call import Call
from seedstock.lineage.service import Evidence as StoredEvidence
from seedstock.web.evidence_words import facts_in_words, layer_chart_of, statistics_in_words
from seedstock.web.pages.answer import moment, page_routes, show
from seedstock.web.pages.header import header_of
from seedstock.web.views.common import Fact, Link, Snippet
from seedstock.web.views.evidence import (
    CommitRefView,
    Evidence,
    EvidencePage,
    EvidenceView,
    FileReadView,
    SignatureState,
    SignatureView,
)

routes = page_routes()

_KINDS = {
    "finetune": "a fine-tune",
    "lora": "a low-rank fine-tune",
    "merge": "a merge",
    "pruned": "a pruned copy",
    "quantized": "a quantised copy",
    "permuted": "a rearranged copy",
}


@routes.add("GET", "/{ns:account}/{name}/evidence/{id:int}")
def evidence(call: Call) -> Response:
    """What stands behind one edge."""
    repo_id, number = call.repo_id(), int(call.param("id"))
    at = call.hub.reading.repo_at(call.viewer, repo_id)
    found = call.hub.lineage.evidence(call.viewer, repo_id, number)
    header = header_of(call, at)
    edges = call.hub.lineage.of(call.viewer, repo_id).edges
    others = tuple(
        Link(f"{edge.name}, {edge.tie.verdict}", f"{header.url}/evidence/{edge.id}")
        for edge in edges
        if edge.id != number and edge.tie.verdict is not None
    )[:20]
    return show(call, EvidencePage(header, _view(call, found), f"{header.url}/family", others))


def _view(call: Call, found: StoredEvidence) -> EvidenceView:
    edge, figures = found.edge, found.evidence
    turned = edge.role == "child"
    child, parent = (found.other, found.repo) if turned else (found.repo, found.other)
    commits = (edge.other_commit, edge.commit_oid) if turned else (edge.commit_oid, edge.other_commit)
    evidence = _evidence(found)
    record = f"/api/models/{found.repo.repo_id}/evidence/{edge.id}"
    thresholds = figures.get("thresholds") or {}
    named = edge.coefficient is not None
    return EvidenceView(
        id=str(edge.id),
        evidence=evidence,
        title=_title(found, evidence, child, parent),
        summary=f"{edge.reason.rstrip('.')}.",
        child=CommitRefView(child.repo_id, commits[0], f"/{child.url_path}"),
        parent=CommitRefView(parent.repo_id, commits[1], f"/{parent.url_path}"),
        compared_at=moment(edge.created_at),
        method=edge.method or "",
        record_href=record,
        download_href=record,
        signature=_signature(call, found),
        kind=edge.kind,
        coefficients=(Fact("Share in the merge", f"{edge.coefficient:.3f}"),) if named else (),
        declared=f"{edge.declared} of {edge.declared_name}, in {edge.source}" if edge.declared else None,
        direction=_direction(found),
        error_rate=str((figures.get("error_rate") or {}).get("text", "")),
        statistics=statistics_in_words(figures.get("statistics") or {}, thresholds),
        chart=layer_chart_of(figures.get("per_layer") or [], thresholds),
        files=tuple(_files(figures, child, parent, turned=turned)),
        tensors=tuple(str(name) for name in (figures.get("shared_tensors") or [])[:60]),
        tensor_count=len(figures.get("shared_tensors") or []),
        facts=(*facts_in_words(figures.get("facts") or {}), *_counts(figures)),
        verify=_verify(call, edge.id, record),
    )


def _evidence(found: StoredEvidence) -> Evidence:
    verdict = found.edge.verdict
    if verdict == "contradicted":
        return Evidence.CONTRADICTED
    if found.edge.role == "relative":
        return Evidence.RELATED
    return Evidence.VERIFIED if verdict in {"identical", "derived"} else Evidence.DECLARED


def _title(found: StoredEvidence, evidence: Evidence, child: RepoRow, parent: RepoRow) -> str:
    names = (child.repo_id, parent.repo_id)
    if evidence is Evidence.CONTRADICTED:
        return f"The weights contradict the card of {names[0]}"
    verdict = found.edge.verdict
    if verdict == "identical":
        return f"{names[0]} and {names[1]} hold the same weights"
    if verdict == "partial":
        return f"{names[0]} shares some of its weights with {names[1]}"
    if evidence is Evidence.RELATED:
        return f"{names[0]} and {names[1]} are related; which came first is not known"
    if evidence is Evidence.VERIFIED:
        return f"{names[0]} is {_KINDS.get(found.edge.kind or '', 'derived')} of {names[1]}"
    return f"The weights of {names[0]} decide nothing about {names[1]}"


def _direction(found: StoredEvidence) -> str:
    if found.edge.verdict not in {"identical", "derived"}:
        return ""
    if found.edge.declared is None and found.edge.role != "relative":
        return "certain from the weights"
    if found.edge.declared is not None:
        return "as declared; the weights show the relation, not who came first"
    return "not known"


def _files(
    figures: Mapping[str, Any], child: RepoRow, parent: RepoRow, *, turned: bool
) -> Iterator[FileReadView]:
    files = figures.get("files") or {}
    mine, its = ("other", "this") if turned else ("this", "other")
    for side, key, repo in (("child", mine, child), ("parent", its, parent)):
        for path, digest in list((files.get(key) or {}).items())[:40]:
            yield FileReadView(side, path, digest, f"/{repo.url_path}/blob/main/{path}")


def _counts(figures: Mapping[str, Any]) -> Iterator[str]:
    read, tensors = figures.get("bytes_read"), figures.get("tensors_read")
    if read:
        yield f"Read: {read:,} bytes of {tensors:,} tensors."
    counts = figures.get("weight_files") or {}
    if counts.get("compared", 1) > 1 or counts.get("left_out"):
        left = f"; {counts['left_out']} were not looked at" if counts.get("left_out") else ""
        yield f"{counts['agreeing']} of {counts['compared']} weight files are derived{left}."


def _signature(call: Call, found: StoredEvidence) -> SignatureView:
    if found.record is None:
        return SignatureView(SignatureState.NONE, detail="This record is not signed.")
    state = SignatureState.VALID if call.hub.records.holds(found.record) else SignatureState.INVALID
    return SignatureView(state, call.hub.records.key.public.id[:16], "Signed by this hub.", "/api/hub-key")


def _verify(call: Call, number: int, record: str) -> tuple[Snippet, ...]:
    name = f"evidence-{number}.json"
    return (
        Snippet(
            "Offline",
            f"curl -o hub.pem {call.base_url}/api/hub-key\ncurl -o {name} {call.base_url}{record}\n"
            f"seedstock verify-record {name} --key hub.pem",
        ),
    )
