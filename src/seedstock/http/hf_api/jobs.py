"""Background jobs as those who asked for them see them: list, state, log, events as they come, stop, start again."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from seedstock.core.clock import iso
from seedstock.core.errors import Invalid
from seedstock.db.jobs import JobRow
from seedstock.http.call import Call
from seedstock.http.hf_api.listing import next_link
from seedstock.http.job_stream import SLOTS, JobStream, event_json
from seedstock.http.routing import Routes, json_response
from seedstock.http.threads import in_thread
from seedstock.jobs.service import priority_of

routes = Routes()

_MOST = 500
_MOST_LINES = 10_000
_MAX_ID = (1 << 63) - 1
KINDS = ("log", "metrics", "sample", "stage")


@routes.add("GET", "/api/jobs")
def jobs(call: Call) -> Response:
    """The caller's jobs, newest first; `?state=` and `?kind=` (repeatable), `?limit=` (50), next page in `Link`.

    Admins see everyone's with `?all=1`.
    """
    limit = max(1, call.number("limit", 50, most=_MOST))
    found = call.hub.jobs.page(
        call.viewer,
        everyone=call.flag("all"),
        states=call.queries("state"),
        kinds=call.queries("kind"),
        limit=limit + 1,
        before=call.number("cursor", 0, most=_MAX_ID) or None,
    )
    shown = found[:limit]
    owners = call.hub.jobs.owners(shown)
    headers = {"Link": next_link(call, shown[-1].id)} if len(found) > limit else {}
    return json_response([_job(row, owners) for row in shown], headers=headers)


@routes.add("GET", "/api/jobs/{id:int}")
def job(call: Call) -> dict[str, Any]:
    """How a job that the caller asked for stands: queued, running, done, dead (it failed) or cancelled."""
    return _shown(call)


@routes.add("POST", "/api/jobs/{id:int}/cancel", limit_bytes=20_000)
def cancel(call: Call) -> dict[str, Any]:
    """Stop a job that the caller asked for, at once if it is queued, within seconds if it runs."""
    call.hub.jobs.cancel(call.viewer, _number(call))
    return _shown(call)


@routes.add("POST", "/api/jobs/{id:int}/retry", limit_bytes=20_000)
def retry(call: Call) -> dict[str, Any]:
    """Queue a job anew that failed or was cancelled; one that failed goes on from its last checkpoint."""
    call.hub.jobs.retry(call.viewer, _number(call))
    return _shown(call)


@routes.add("GET", "/api/jobs/{id:int}/log")
def log(call: Call) -> Response:
    """What a job said after `?after=` (an id): log lines and events as JSON, or `?format=text`, the lines alone.

    `?until=` is the last id; `?kind=` chooses among log, metrics, sample and stage; `?limit=` is 1000, and at most 10000.
    """
    form = call.query("format") or "json"
    if form not in {"json", "text"}:
        raise Invalid(f"format is json or text, not {form[:20]!r}")
    kinds = ["log"] if form == "text" else call.queries("kind")
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise Invalid(f"There are no events of kind {unknown[0][:20]!r}", hint=f"one of {', '.join(KINDS)}")
    after = call.number("after", 0, most=_MAX_ID)
    limit = max(1, call.number("limit", 1000, most=_MOST_LINES))
    until = call.number("until", 0, most=_MAX_ID) or None
    found = call.hub.jobs.said(call.viewer, _number(call), after, limit, kinds, until)
    if form == "json":
        return json_response([event_json(row) for row in found])
    text = "".join(f"{iso(row.at)} {row.text}\n" for row in found)
    return Response(text, media_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})


@routes.add("GET", "/api/jobs/{id:int}/events")
async def events(call: Call) -> Response:
    """What a job says as server-sent events until it is over: `log`, `metrics`, `sample`, `stage`, each with an `id`.

    Besides `state`, `progress` and at last `end`, without one. `Last-Event-ID` or `?after=` goes on after that id.
    """
    row = await in_thread(call.hub.jobs.get, call.viewer, _number(call))
    text = call.request.headers.get("last-event-id", "")
    after = int(text[:18]) if text.isascii() and text.isdigit() else call.number("after", 0, most=_MAX_ID)
    SLOTS.take(call.viewer.account_id)
    return JobStream(call.hub, row.id, call.viewer.account_id, after)


def _number(call: Call) -> int:
    return int(call.param("id"))


def _shown(call: Call) -> dict[str, Any]:
    row = call.hub.jobs.get(call.viewer, _number(call))
    return _job(row, call.hub.jobs.owners([row]))


def _job(row: JobRow, owners: dict[int, str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "account": owners.get(row.account_id) if row.account_id is not None else None,
        "priority": priority_of(row),
        "progress": row.progress,
        "attempts": row.attempts,
        "maxAttempts": row.max_attempts,
        "result": row.result,
        "error": row.error,
        "createdAt": iso(row.created_at),
        "startedAt": iso(row.started_at) if row.started_at is not None else None,
        "finishedAt": iso(row.finished_at) if row.finished_at is not None else None,
    }
