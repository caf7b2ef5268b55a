"""Spot checks: segments of a job's training that are run again and held against the published record of the run."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from seedstock.core.clock import iso
from seedstock.http.call import Call
from seedstock.http.routing import Routes, json_response
from seedstock.variants.spot_checks import Check

routes = Routes()

_OF_MODEL = "/api/models/{ns}/{name}/spot-checks"


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    priority: str = "normal"


@routes.add("POST", "/api/jobs/{id:int}/spot-check", limit_bytes=20_000)
def start(call: Call) -> Response:
    """Run a segment of a job's training again, which the hub picks at random; the job must have kept its checkpoints.

    JSON `{"priority"?}`. Answers 202, the new job, and the segment that it is about.
    """
    wanted = call.json(_Request)
    number, segment = call.hub.spot_checks.start(call.viewer, int(call.param("id")), wanted.priority)
    answer = {"job": number, "status": f"{call.base_url}/api/jobs/{number}"}
    return json_response(answer | {"segment": msgspec.to_builtins(segment)}, 202)


@routes.add("GET", "/api/jobs/{id:int}/spot-checks")
def of_job(call: Call) -> dict[str, Any]:
    """What is kept of a job's run, if anything, and what spot checks of it showed, newest first."""
    number = int(call.param("id"))
    kept = call.hub.spot_checks.find_kept(call.viewer, number)
    about = None if kept is None else {
        "stage": kept.stage,
        "segments": kept.segments,
        "checkable": kept.checkable,
        "bytes": kept.size_bytes,
    }  # fmt: skip
    return {
        "kept": about,
        "checks": [_shown(one) for one in call.hub.spot_checks.of_job(call.viewer, number)],
    }


@routes.add("DELETE", "/api/jobs/{id:int}/checkpoints")
def forget(call: Call) -> None:
    """Remove the checkpoints that are kept of a job; what spot checks showed stays."""
    call.hub.spot_checks.forget(call.viewer, int(call.param("id")))


@routes.add("GET", _OF_MODEL)
def of_model(call: Call) -> list[dict[str, Any]]:
    """What spot checks of the runs that made a model showed, newest first, for whoever may see the model."""
    return [_shown(one) for one in call.hub.spot_checks.of(call.viewer, call.repo_id())]


@routes.add("GET", _OF_MODEL + "/{id:int}")
def record(call: Call) -> Response:
    """The signed record of one spot check, for `seedstock verify-record`."""
    found = call.hub.spot_checks.get(call.viewer, call.repo_id(), int(call.param("id")))
    return Response(found.record, media_type="application/json")


def _shown(check: Check) -> dict[str, Any]:
    finding: dict[str, Any] | None = None
    if check.finding is not None:
        finding = msgspec.to_builtins(check.finding)
        del finding["record"]
    return {
        "id": check.number,
        "state": check.state,
        "ranBy": check.ran_by,
        "at": iso(check.at_ms),
        "segment": msgspec.to_builtins(check.segment),
        "finding": finding,
    }
