"""Quantised copies of hosted models."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from seedstock.http.call import Call
from seedstock.http.routing import Routes, json_response
from seedstock.hub.conversions import Proposal, Request

routes = Routes()


@routes.add("POST", "/api/models/{ns}/{name}/convert", limit_bytes=20_000)
def convert(call: Call) -> Response:
    """Make a GGUF of a model: JSON `{"to": "Q4_K_M", "file"?, "repo"?, "private"?, "revision"?, "priority"?}`; answers 202 and a job.

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
