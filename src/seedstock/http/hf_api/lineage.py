"""The family tree: edges with their evidence, foundations, search by weights."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

from starlette.responses import Response

from seedstock.core.clock import iso
from seedstock.core.errors import EntryNotFound, Invalid, Unauthenticated, UnsupportedFormat
from seedstock.core.names import RepoId, RepoType
from seedstock.http.call import Call
from seedstock.http.receive import read_body, receive
from seedstock.http.routing import Routes
from seedstock.http.threads import in_thread
from seedstock.lineage.report import FoundationsReport, RootShare
from seedstock.lineage.service import Edge, Foundation
from seedstock.lineage.trace import MAX_TRACED_BYTES, Trace

routes = Routes()

_KINDS = (".safetensors", ".gguf")


@routes.add("GET", "/api/models/{ns}/{name}/lineage", steady=True)
def lineage(call: Call) -> dict[str, Any]:
    """A model's parents, children and relatives, and what it rests on in the end."""
    found = call.hub.lineage.of(call.viewer, call.repo_id(), call.query("revision") or "main")
    answer = {
        "repo": found.repo.repo_id,
        "commit": found.commit,
        "status": found.status,
        "edges": [_edge(call, found.repo.repo_id, edge) for edge in found.edges],
        "foundations": [_foundation(item) for item in found.foundations],
    }
    return answer | {"error": found.error} if found.error else answer


def _edge(call: Call, repo: str, edge: Edge) -> dict[str, Any]:
    row, known = edge.tie.edge, edge.tie.known
    compared = known and row.verdict is not None
    record = f"{call.base_url}/api/models/{repo}/evidence/{edge.id}"
    return {
        "other": {"repo": edge.name, "commit": edge.commit},
        "role": edge.role,
        "declared": row.declared,
        "verdict": row.verdict if compared else None,
        "kind": row.kind if compared else None,
        "coefficient": row.coefficient if compared else None,
        "method": row.method if compared else None,
        "statistics": edge.statistics if compared else {},
        "record": record if compared else None,
        "source": row.source,
        "reason": row.reason if known else "",
    }


def _foundation(item: Foundation) -> dict[str, Any]:
    profile = item.publisher
    return {
        "repo": item.name,
        "commit": _root_commit(item),
        "publisher": profile.organisation if profile else None,
        "country": profile.country if profile else None,
        "publisherSource": profile.source if profile else None,
        "declared": item.root.declared,
        "verified": item.root.verified,
        "steps": item.root.steps,
    }


def _root_commit(item: Foundation) -> str | None:
    """The commit that the last step speaks of: the head may hold something else by now."""
    tie = item.root.path[-1]
    if item.repo is None or not tie.known:
        return None
    named = tie.edge.commit_oid if tie.edge.role == "child" else tie.edge.other_commit
    return named or item.repo.head_oid


@routes.add("GET", "/api/models/{ns}/{name}/evidence/{id:int}")
def evidence(call: Call) -> Response:
    """The signed record of one comparison: an in-toto statement in a DSSE envelope."""
    found = call.hub.lineage.evidence(call.viewer, call.repo_id(), int(call.param("id")))
    if found.record is None:
        raise EntryNotFound("There is no signed record of this evidence")
    headers = {"Content-Disposition": f'attachment; filename="evidence-{found.edge.id}.intoto.json"'}
    return Response(found.record, 200, headers, "application/json")


@routes.add("GET", "/api/hub-key")
def hub_key(call: Call) -> Response:
    """The public key that this hub signs records with, as PEM."""
    return Response(call.hub.records.public_key(), media_type="application/x-pem-file")


@routes.add("GET", "/api/foundations", "/api/foundations/{account}")
def foundations(call: Call) -> dict[str, Any]:
    """What everything on this hub, or of one account, rests on; `/foundations.csv` is the same as a table."""
    account = call.request.path_params.get("account")
    return _report(call.hub.foundations.report(call.viewer, account, call.hub.clock()))


def _report(report: FoundationsReport) -> dict[str, Any]:
    return {
        "models": report.models,
        "derived": report.derived,
        "contradicted": report.contradicted,
        "pending": report.pending,
        "downloads": report.downloads,
        "runs": report.runs,
        "months": [iso(at) for at in report.months],
        "roots": [_share(share) for share in report.roots],
    }


def _share(share: RootShare) -> dict[str, Any]:
    profile = share.publisher
    return {
        "repo": share.name,
        "here": share.repo is not None,
        "publisher": profile.organisation if profile else None,
        "country": profile.country if profile else None,
        "publisherSource": profile.source if profile else None,
        "models": share.models,
        "verified": share.verified,
        "declared": share.declared,
        "downloads": share.downloads,
        "runs": share.runs,
        "trend": share.trend,
    }


@routes.add("POST", "/api/trace", stream=True)
async def trace(call: Call) -> dict[str, Any]:
    """Which models a repo (JSON `{"repo": ..}`) or a file (the body; `?name=` its name) is related to.

    The file is neither published nor kept.
    """
    if call.viewer.anonymous:
        raise Unauthenticated("Sign in or send a token to trace weights")
    kind = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        call.body = await read_body(call.request, 1 << 16)
        return await in_thread(_trace_repo, call)
    if kind == "multipart/form-data":
        raise Invalid("Send the file itself as the body", hint="curl --data-binary @model.safetensors")
    given = call.query("name") or unquote(call.request.headers.get("x-file-name", ""))
    name = given.rpartition("/")[2] or "model.safetensors"
    if not name.lower().endswith(_KINDS):
        raise UnsupportedFormat(f"Weights are .safetensors or .gguf files, not {name[:100]!r}")
    with call.hub.content.staging.open() as staged:
        await receive(call.request, staged.write, MAX_TRACED_BYTES)
        staged.finish()
        return _traced(
            await in_thread(
                call.hub.isolated_tracer.trace_files, call.viewer, {name: staged.path}, staged.sha256
            )
        )


def _trace_repo(call: Call) -> dict[str, Any]:
    body = call.json(dict[str, str])
    namespace, slash, name = body.get("repo", "").partition("/")
    if not slash:
        raise Invalid('Send {"repo": "namespace/name"}, or a file as the body')
    repo_id = RepoId(RepoType.MODEL, namespace, name)
    return _traced(call.hub.isolated_tracer.trace_repo(call.viewer, repo_id, body.get("revision") or "main"))


def _traced(found: Trace) -> dict[str, Any]:
    return {
        "status": "done",
        "compared": found.compared,
        "problem": found.problem,
        "related": [
            {
                "repo": item.repo,
                "commit": item.commit,
                "href": f"/{quote(item.repo)}",
                "verdict": item.verdict,
                "kind": item.kind,
                "role": item.direction,
                "coefficient": item.coefficient,
                "distance": item.distance_bits,
                "reason": item.reason,
                "statistics": item.statistics,
            }
            for item in found.related
        ],
    }
