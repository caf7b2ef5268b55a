"""Lists of background jobs: one's own, and everybody's for administrators."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from seedstock.core.errors import Forbidden, Unauthenticated
from seedstock.db.jobs import JobRow
from seedstock.http.call import Call
from seedstock.web.pages.answer import moment, page_routes, show
from seedstock.web.views.common import Choice, Link, Pagination
from seedstock.web.views.jobs import JobRowView, JobsPage, JobState

routes = page_routes()

PAGE_SIZE = 50
STATES = {
    "queued": JobState.QUEUED,
    "running": JobState.RUNNING,
    "done": JobState.DONE,
    "dead": JobState.FAILED,
    "cancelled": JobState.CANCELLED,
}


@routes.add("GET", "/jobs")
def own_jobs(call: Call) -> Response:
    """The viewer's jobs, newest first."""
    if call.viewer.anonymous:
        raise Unauthenticated("Sign in to see your jobs")
    return _list(call, "/jobs", everyone=False)


@routes.add("GET", "/admin/jobs")
def all_jobs(call: Call) -> Response:
    """The queue, newest first."""
    if call.viewer.anonymous:
        raise Unauthenticated("Sign in to see background jobs")
    if not call.viewer.is_admin:
        raise Forbidden("Background jobs are for administrators")
    return _list(call, "/admin/jobs", everyone=True)


def _list(call: Call, path: str, *, everyone: bool) -> Response:
    wanted = call.query("state") or ""
    state = wanted if wanted in STATES else ""
    before = call.number("before", 0, most=(1 << 63) - 1) or None
    counts = call.hub.jobs.counts(call.viewer, everyone=everyone)
    found = call.hub.jobs.page(
        call.viewer,
        everyone=everyone,
        states=(state,) if state else (),
        limit=PAGE_SIZE + 1,
        before=before,
    )
    shown = found[:PAGE_SIZE]
    subjects = subjects_of(call, shown)
    owners = call.hub.jobs.owners(shown) if everyone else {}
    url = f"{path}?state={state}&" if state else f"{path}?"
    first = (call.number("first", 1, most=1 << 31) or 1) if before else 1
    view = JobsPage(
        jobs=tuple(_row(job, subjects.get(job.id), owners) for job in shown),
        states=(
            Choice("All", path, not state, sum(counts.values())),
            *(
                Choice(label.value.capitalize(), f"{path}?state={name}", name == state, counts.get(name, 0))
                for name, label in STATES.items()
            ),
        ),
        pagination=Pagination(
            first=first if shown else 0,
            last=first + len(shown) - 1 if shown else 0,
            previous_href=url.rstrip("?&") if before else None,
            next_href=(
                f"{url}before={shown[-1].id}&first={first + PAGE_SIZE}" if len(found) > PAGE_SIZE else None
            ),
        ),
        everyone=everyone,
    )
    return show(call, view)


def subjects_of(call: Call, jobs: Sequence[JobRow]) -> dict[int, Link]:
    """The repos that jobs are about, by job, as far as the viewer may see them."""
    repos = call.hub.repos.by_id(call.viewer, {job.repo_id for job in jobs if job.repo_id is not None})
    return {
        job.id: Link(repos[job.repo_id].repo_id, f"/{repos[job.repo_id].url_path}")
        for job in jobs
        if job.repo_id in repos
    }


def _row(job: JobRow, subject: Link | None, owners: dict[int, str]) -> JobRowView:
    ended = job.finished_at is not None and job.started_at is not None
    fraction = (job.progress or {}).get("fraction")
    return JobRowView(
        id=str(job.id),
        kind=job.kind,
        state=STATES[job.state],
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        created_at=moment(job.created_at),
        subject=subject,
        finished_at=moment(job.finished_at) if job.finished_at is not None else None,
        duration_s=((job.finished_at or 0) - (job.started_at or 0)) / 1000 if ended else None,
        error=job.error[:300] if job.error else None,
        percent=round(100 * fraction) if fraction is not None and job.state == "running" else None,
        account=owners.get(job.account_id) if job.account_id is not None else None,
    )
