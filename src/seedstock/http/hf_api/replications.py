"""Replications of hosted models: recipes run again, and what came of it."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from seedstock.core.clock import iso
from seedstock.db.replications import ReplicationRow
from seedstock.http.call import Call
from seedstock.http.routing import Routes, json_response
from seedstock.replications.request import Request
from seedstock.replications.service import ReplicationProposal

routes = Routes()

_ADDRESS = "/api/models/{ns}/{name}/replications"


@routes.add("POST", "/api/models/{ns}/{name}/replicate", limit_bytes=20_000)
def replicate(call: Call) -> Response:
    """Run a model's recipe again and judge what comes out: JSON `{"stage"?, "seeds"?, "smoke"?, "revision"?, ...}`.

    Answers 202 and a job. With `?dry_run=true` nothing runs, and the answer says what would.
    """
    request = call.json(Request)
    if call.flag("dry_run"):
        return json_response(_proposed(call.hub.replications.propose(call.viewer, call.repo_id(), request)))
    number, proposal = call.hub.replications.start(call.viewer, call.repo_id(), request)
    answer = {"job": number, "status": f"{call.base_url}/api/jobs/{number}"} | _proposed(proposal)
    return json_response(answer, 202)


@routes.add("GET", _ADDRESS)
def replications(call: Call) -> list[dict[str, Any]]:
    """What replications of a model showed, newest first."""
    return [_shown(row) for row in call.hub.replications.of(call.viewer, call.repo_id())]


@routes.add("GET", _ADDRESS + "/{id:int}")
def record(call: Call) -> Response:
    """The signed record of one replication, for `seedstock verify-record`."""
    row = call.hub.replications.get(call.viewer, call.repo_id(), int(call.param("id")))
    return Response(row.record, media_type="application/json")


def _proposed(proposal: ReplicationProposal) -> dict[str, Any]:
    recipe = proposal.recipe
    return {
        "repo": proposal.repo,
        "commit": proposal.commit,
        "judged": proposal.stages,
        "stages": {name: stage.op for name, stage in recipe.stage.items()},
        "claims": [msgspec.to_builtins(claim) for claim in recipe.claim],
        "budget": msgspec.to_builtins(recipe.budget),
        "determinism": msgspec.to_builtins(recipe.determinism),
        "changes": proposal.changes,
        "foreign_code": proposal.foreign_code,
    }


def _shown(row: ReplicationRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "commit": row.commit,
        "recipe": row.recipe_digest,
        "stage": row.stage,
        "verdict": row.verdict,
        "trust": row.trust,
        "ranBy": row.ran_by,
        "smoke": row.smoke,
        "createdAt": iso(row.created_at),
    }
