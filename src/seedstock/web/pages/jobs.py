"""Background jobs, for administrators."""

from __future__ import annotations

from starlette.responses import Response

from seedstock.core.errors import Forbidden, Unauthenticated
from seedstock.db.jobs import JobRow
from seedstock.db.repos import RepoRow
from seedstock.http.routing import Call
from seedstock.web.pages.answer import moment, page_routes, show
from seedstock.web.views.accounts import JobRowView, JobsPage, JobState
from seedstock.web.views.common import Choice, Link, Pagination

routes = page_routes()

PAGE_SIZE = 50
# What the queue calls dead or cancelled did not do its work: the page has one colour for both.
STATES = {
    "queued": JobState.QUEUED,
    "running": JobState.RUNNING,
    "done": JobState.DONE,
    "dead": JobState.FAILED,
    "cancelled": JobState.FAILED,
}


@routes.add("GET", "/admin/jobs")
def jobs(call: Call) -> Response:
    """The queue, newest first."""
    if call.viewer.anonymous:
        raise Unauthenticated("Sign in to see background jobs")
    if not call.viewer.is_admin:
        raise Forbidden("Background jobs are for administrators")
    wanted = call.query("state") or ""
    state = wanted if wanted in STATES else ""
    number = call.number("page", 1, most=100_000) or 1
    first = (number - 1) * PAGE_SIZE
    counts = call.hub.queue.counts()
    found = call.hub.queue.page((state,) if state else (), PAGE_SIZE + 1, first)
    shown = found[:PAGE_SIZE]
    subjects = call.hub.repos.by_id(call.viewer, {job.repo_id for job in shown if job.repo_id is not None})
    url = f"/admin/jobs?state={state}&page=" if state else "/admin/jobs?page="
    view = JobsPage(
        jobs=tuple(_row(job, subjects) for job in shown),
        states=(
            Choice("All", "/admin/jobs", not state, sum(counts.values())),
            *(
                Choice(
                    "Failed" if name == "dead" else name.capitalize(),
                    f"/admin/jobs?state={name}",
                    name == state,
                    counts.get(name, 0),
                )
                for name in STATES
            ),
        ),
        pagination=Pagination(
            first=first + 1 if shown else 0,
            last=first + len(shown),
            previous_href=f"{url}{number - 1}" if number > 1 else None,
            next_href=f"{url}{number + 1}" if len(found) > PAGE_SIZE else None,
        ),
    )
    return show(call, view)


def _row(job: JobRow, subjects: dict[int, RepoRow]) -> JobRowView:
    repo = subjects.get(job.repo_id) if job.repo_id is not None else None
    ended = job.finished_at is not None and job.started_at is not None
    return JobRowView(
        id=str(job.id),
        kind=job.kind,
        state=STATES[job.state],
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        created_at=moment(job.created_at),
        subject=Link(repo.repo_id, f"/{repo.url_path}") if repo else None,
        finished_at=moment(job.finished_at) if job.finished_at is not None else None,
        duration_s=((job.finished_at or 0) - (job.started_at or 0)) / 1000 if ended else None,
        error=job.error[:300] if job.error else ("cancelled" if job.state == "cancelled" else None),
    )
