"""Search by weights: the page; its script posts to `/api/trace`."""

from __future__ import annotations

from starlette.responses import Response

from seedstock.core.errors import HubError
from seedstock.core.names import RepoId, RepoType
from seedstock.http.call import Call
from seedstock.lineage.trace import MAX_TRACED_BYTES, Related
from seedstock.web.pages.answer import login_href, page_routes, show
from seedstock.web.views.evidence import Evidence
from seedstock.web.views.trace import TraceHitView, TracePage

routes = page_routes()


@routes.add("GET", "/trace")
def trace(call: Call) -> Response:
    """The form; with `?repo=` the answer for a repo, without a script too."""
    if call.viewer.anonymous:
        return show(call, TracePage(MAX_TRACED_BYTES, sign_in_href=login_href(call)))
    name = (call.query("repo") or "").strip()[:200]
    namespace, slash, short = name.partition("/")
    if not slash:
        return show(call, TracePage(MAX_TRACED_BYTES))
    try:
        found = call.hub.isolated_tracer.trace_repo(call.viewer, RepoId(RepoType.MODEL, namespace, short))
    except HubError as error:
        return show(call, TracePage(MAX_TRACED_BYTES, name, error=f"{error.message}."))
    hits = tuple(_hit(item) for item in found.related)
    return show(call, TracePage(MAX_TRACED_BYTES, name, hits, error=found.problem))


def _hit(item: Related) -> TraceHitView:
    certain = item.direction is not None or item.verdict == "identical"
    return TraceHitView(
        name=item.repo,
        href=f"/{item.repo}",
        commit=item.commit,
        evidence=Evidence.VERIFIED if certain else Evidence.RELATED,
        verdict=item.verdict.capitalize(),
        kind=item.kind,
        distance=f"{item.distance_bits:.1f} of 128 bits",
        reason=item.reason,
    )
