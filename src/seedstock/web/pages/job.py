"""One background job, for who asked for it: how it stands, its plots, samples and log; stop it or start it again."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from seedstock.core.errors import Unauthenticated
from seedstock.db.job_events import EventRow
from seedstock.db.jobs import JobRow
from seedstock.http.call import Call
from seedstock.jobs.service import Summary, priority_of
from seedstock.variants.spot_checks import SPOT_CHECK, check_of
from seedstock.web.filters import duration, size
from seedstock.web.measured import PLOTS, plots_of, series_of
from seedstock.web.pages.answer import moment, page_routes, redirect, show
from seedstock.web.pages.jobs import STATES, subjects_of
from seedstock.web.pages.spot_checks import checked_runs, finding_notice
from seedstock.web.stage_standing import job_stages
from seedstock.web.views.common import Fact, Link, Notice
from seedstock.web.views.jobs import JobPage, JobState, LogLineView, SampleView
from seedstock.web.views.spot_checks import KeptView
from seedstock.web.views.stages import StageState

routes = page_routes()

_LINES, _POINTS, _SAMPLES = 300, 1000, 6
_ENDED = {JobState.CANCELLED: StageState.WAITING, JobState.FAILED: StageState.FAILED}


@routes.add("GET", "/jobs/{id:int}")
def job(call: Call) -> Response:
    """The page of one job."""
    if call.viewer.anonymous:
        raise Unauthenticated("Sign in to see your jobs")
    row = call.hub.jobs.get(call.viewer, int(call.param("id")))
    said = call.hub.jobs.summary(row, lines=_LINES, points=_POINTS, samples=_SAMPLES)
    return show(call, _page(call, row, said))


@routes.add("POST", "/jobs/{id:int}/cancel", limit_bytes=20_000)
def cancel(call: Call) -> Response:
    """Stop it and show it."""
    call.hub.jobs.cancel(call.viewer, int(call.param("id")))
    return redirect(f"/jobs/{int(call.param('id'))}")


@routes.add("POST", "/jobs/{id:int}/retry", limit_bytes=20_000)
def retry(call: Call) -> Response:
    """Queue it anew and show it."""
    call.hub.jobs.retry(call.viewer, int(call.param("id")))
    return redirect(f"/jobs/{int(call.param('id'))}")


@routes.add("POST", "/jobs/{id:int}/spot-check", limit_bytes=20_000)
def spot_check(call: Call) -> Response:
    """Queue the check of a segment and go on to its page."""
    number, _ = call.hub.spot_checks.start(call.viewer, int(call.param("id")))
    return redirect(f"/jobs/{number}")


@routes.add("POST", "/jobs/{id:int}/forget", limit_bytes=20_000)
def forget(call: Call) -> Response:
    """Remove the checkpoints that are kept, and show the job."""
    call.hub.spot_checks.forget(call.viewer, int(call.param("id")))
    return redirect(f"/jobs/{int(call.param('id'))}")


def _page(call: Call, row: JobRow, said: Summary) -> JobPage:
    state, progress, result = STATES[row.state], row.progress or {}, row.result or {}
    stages = job_stages(row.id, said.stages, said.metrics, newest=said.newest, ended_as=_ENDED.get(state))
    of_stages = {stage.name for stage in stages.stages} if stages else set()
    series = series_of([one for one in said.metrics if (one.data or {}).get("stage") not in of_stages])
    return JobPage(
        id=row.id,
        kind=row.kind,
        state=state,
        stored_state=row.state,
        facts=_facts(call, row),
        newest=said.newest,
        percent=round(100 * progress["fraction"]) if "fraction" in progress else None,
        message=str(progress.get("message", "")),
        left_in_words=_rough(progress["eta_s"]) if "eta_s" in progress else "",
        error=row.error[:1000] if row.error else None,
        subject=subjects_of(call, [row]).get(row.id),
        result=_made(result) if row.state == "done" else None,
        stage=str((said.stages[-1].data or {}).get("name", "")) if said.stages else "",
        stages=stages,
        plots=plots_of(series),
        groups_json=msgspec.json.encode(PLOTS).decode(),
        series_json=msgspec.json.encode(list(series.items())).decode(),
        samples=tuple(_sample(one) for one in reversed(said.samples)),
        log=tuple(LogLineView(moment(one.at), one.text) for one in said.log),
        log_is_cut=len(said.log) == _LINES,
        may_cancel=not state.over,
        may_retry=state in {JobState.FAILED, JobState.CANCELLED},
        asked_to_stop=row.cancel_requested and not state.over,
        finding=_finding(row),
        segment=_segment(row),
        kept=_kept(call, row),
    )


def _finding(row: JobRow) -> Notice | None:
    if row.kind != SPOT_CHECK:
        return None
    check = check_of(row)
    return finding_notice(check.segment, check.finding)


def _segment(row: JobRow) -> Link | None:
    if row.kind != SPOT_CHECK:
        return None
    segment = check_of(row).segment
    return Link(f"steps {segment.start} to {segment.stop} of job {segment.job}", f"/jobs/{segment.job}")


def _kept(call: Call, row: JobRow) -> KeptView | None:
    told = (row.result or {}).get("checkpoints")
    if not told:
        return None
    kept = call.hub.spot_checks.find_kept(call.viewer, row.id)
    repo = call.hub.repos.by_id(call.viewer, [told["repo_id"]]).get(told["repo_id"])
    text = ""
    if kept is not None:
        text = (
            f"{kept.checkable} of {kept.segments} segments can be run again: {size(kept.size_bytes)} of checkpoints are"
            " kept for two weeks, if newer ones do not need the room."
        )
    checks = call.hub.spot_checks.of_job(call.viewer, row.id)
    return KeptView(text, checked_runs(checks, repo.url_path if repo else ""))


def _made(result: dict[str, Any]) -> Link | None:
    """What the job left, where it can be looked at."""
    repo, number, remote = result.get("repo"), result.get("evaluation"), result.get("remote")
    if isinstance(remote, str):
        return Link(f"{remote}, evaluation {number}", f"/{quote(remote)}?result={number}")
    if not isinstance(repo, str):
        return None
    if isinstance(number, int):
        return Link(f"{repo}, evaluation {number}", f"/{repo}/evaluation?result={number}")
    return Link(repo, f"/{repo}")


def _facts(call: Call, row: JobRow) -> tuple[Fact, ...]:
    owner = call.hub.jobs.owners([row]).get(row.account_id or 0)
    facts = [Fact("Asked for", f"{moment(row.created_at):%Y-%m-%d %H:%M} UTC")]
    if row.account_id != call.viewer.account_id:
        facts.append(Fact("By", owner or "the hub"))
    if row.started_at is not None:
        facts.append(Fact("Begun", f"{moment(row.started_at):%Y-%m-%d %H:%M} UTC"))
    if row.started_at is not None and row.finished_at is not None:
        facts.append(Fact("Took", duration((row.finished_at - row.started_at) / 1000)))
    facts.append(Fact("Attempt", f"{row.attempts} of {row.max_attempts}"))
    facts.append(Fact("Priority", priority_of(row)))
    return tuple(facts)


def _rough(seconds: float) -> str:
    """An estimate, no more exact than it is; `static/job.js` says the same."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _sample(row: EventRow) -> SampleView:
    data = row.data or {}
    return SampleView(str(data.get("step", "?")), str(data.get("prompt", "")), str(data.get("text", "")))
