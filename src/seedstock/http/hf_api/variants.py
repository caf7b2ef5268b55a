"""Variants of hosted models, made by jobs."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from seedstock.adapt.spec import read_spec
from seedstock.http.call import Call
from seedstock.http.routing import Routes, json_response
from seedstock.variants.plan import Plan
from seedstock.variants.service import VariantProposal

routes = Routes()


@routes.add("POST", "/api/adapt", limit_bytes=1_000_000)
def adapt(call: Call) -> Response:
    """Make a variant of a model: JSON as docs/adapt.md has it (`method`, `base`, `data`, `settings`, `publish`, ...).

    Answers 202 and a job. With `?dry_run=true` nothing is made, and the answer says what would be, with rows as the model will see them, memory and time.
    """
    spec = read_spec(call.json(dict))
    if call.flag("dry_run"):
        proposal = call.hub.variants.propose(call.viewer, spec)
        prospect = call.hub.variants.look_ahead(call.viewer, proposal)
        return json_response(proposed(proposal) | msgspec.to_builtins(prospect))
    number, proposal = call.hub.variants.start(call.viewer, spec)
    answer = {"job": number, "status": f"{call.base_url}/api/jobs/{number}"} | proposed(proposal)
    return json_response(answer, 202)


def proposed(proposal: VariantProposal) -> dict[str, Any]:
    """A proposal as JSON."""
    return {
        "method": proposal.spec.method,
        "target": {"repo": proposal.target, "exists": proposal.exists},
        "private": proposal.private,
        "adapter": proposal.adapter,
        "relation": proposal.relation,
        "inputs": _inputs(proposal.plan),
        "stages": [msgspec.to_builtins(stage) for stage in proposal.plan.stages],
        "settings": proposal.settings,
        "licence": proposal.pedigree.front,
        "duties": proposal.pedigree.duties,
        "warnings": proposal.pedigree.warnings,
        "threads": proposal.plan.threads,
        "device": proposal.plan.device,
        "seed": proposal.plan.seed,
    }


def _inputs(plan: Plan) -> dict[str, Any]:
    return {
        role: {
            "type": pinned.kind,
            "repo": pinned.repo,
            "commit": pinned.commit,
            "digest": pinned.digest,
            "files": list(pinned.files),
        }
        for role, pinned in plan.inputs.items()
    }
