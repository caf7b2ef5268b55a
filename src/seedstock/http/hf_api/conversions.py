"""Quantised copies of hosted models, and how their jobs stand."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from seedstock.core.clock import iso
from seedstock.db.jobs import JobRow
from seedstock.http.routing import Call, Routes, json_response
from seedstock.hub.conversions import Proposal, Request

routes = Routes()


@routes.add("POST", "/api/models/{ns}/{name}/convert", limit_bytes=20_000)
def convert(call: Call) -> Response:
    """Make a GGUF of a model: JSON `{"to": "Q4_K_M", "file"?, "repo"?, "private"?, "revision"?}`; answers 202 and a job.

    With `?dry_run=true` nothing is made, and the answer says what would be, with its size.
    """
    request = call.json(Request)
    if call.flag("dry_run"):
        return json_response(_proposed(call.hub.conversions.propose(call.viewer, call.repo_id(), request)))
    number, proposal = call.hub.conversions.start(call.viewer, call.repo_id(), request)
    answer = {"job": number, "status": f"{call.base_url}/api/jobs/{number}"} | _proposed(proposal)
    return json_response(answer, 202)


def _proposed(proposal: Proposal) -> dict[str, Any]:
    return {
        "source": {"repo": proposal.source, "commit": proposal.commit, "files": proposal.files},
        "target": {"repo": proposal.target, "path": proposal.path, "exists": proposal.exists},
        "private": proposal.private,
        "size": proposal.size_bytes,
        "tensors": proposal.types,
        "notes": proposal.notes,
    }


@routes.add("GET", "/api/jobs/{id:int}")
def job(call: Call) -> dict[str, Any]:
    """How a job that the caller asked for stands: queued, running, done, dead (it failed) or cancelled."""
    return _job(call.hub.conversions.job(call.viewer, int(call.param("id"))))


@routes.add("POST", "/api/jobs/{id:int}/cancel", limit_bytes=20_000)
def cancel(call: Call) -> dict[str, Any]:
    """Stop a job that the caller asked for."""
    number = int(call.param("id"))
    call.hub.conversions.cancel(call.viewer, number)
    return _job(call.hub.conversions.job(call.viewer, number))


def _job(row: JobRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "progress": row.progress,
        "attempts": row.attempts,
        "result": row.result,
        "error": row.error,
        "createdAt": iso(row.created_at),
        "finishedAt": iso(row.finished_at) if row.finished_at is not None else None,
    }
