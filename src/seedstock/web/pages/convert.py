"""Make a quantised copy: the form, and what would be made. The job has a page of its own."""

from __future__ import annotations

from starlette.responses import Response

from seedstock.core.errors import HubError, RepoNotFound, Unauthenticated
from seedstock.http.call import Call
from seedstock.hub.conversions import Proposal, Request
from seedstock.web.pages.answer import page_routes, redirect, show
from seedstock.web.pages.header import header_of
from seedstock.web.views.common import Fact, Notice, NoticeKind
from seedstock.web.views.convert import ConversionView, ConvertPage, TargetView

routes = page_routes()

_ADDRESS = "/{ns:account}/{name}/convert"
_TARGETS = (
    TargetView("Q4_K_M", "small and good: the usual choice"),
    TargetView("Q5_K_M", "a little larger, a little nearer to the original"),
    TargetView("Q6_K", "hardly told from the original"),
    TargetView("Q8_0", "half of 16 bits, as good as the original"),
    TargetView("Q4_0", "small and fastest on processors"),
    TargetView("F16", "16 bits"),
    TargetView("BF16", "16 bits, of the range that models are trained in"),
)


@routes.add("GET", _ADDRESS)
def form(call: Call) -> Response:
    """The form, with what `?to=` and `?repo=` would make."""
    if call.viewer.anonymous:
        raise Unauthenticated("Sign in to make a quantised copy")
    request = _request({name: call.query(name) or "" for name in ("to", "repo", "private")})
    return _page(call, request)


@routes.add("POST", _ADDRESS, limit_bytes=20_000)
def start(call: Call) -> Response:
    """Queue the job and go on to its page."""
    request = _request({name: values[0] for name, values in call.form().items()})
    try:
        number, _ = call.hub.conversions.start(call.viewer, call.repo_id(), request)
    except (RepoNotFound, Unauthenticated):
        raise
    except HubError as error:
        return _page(call, request, error)
    return redirect(f"/jobs/{number}")


def _request(fields: dict[str, str]) -> Request:
    name = fields.get("repo", "").strip()[:200]
    private = True if fields.get("private") == "true" else None
    return Request(fields.get("to") or _TARGETS[0].name, repo=name or None, private=private)


def _page(call: Call, request: Request, error: HubError | None = None) -> Response:
    at = call.hub.reading.repo_at(call.viewer, call.repo_id())
    proposal = None
    try:
        proposal = call.hub.conversions.propose(call.viewer, call.repo_id(), request)
    except (RepoNotFound, Unauthenticated):
        raise
    except HubError as found:
        error = error or found
    text = "" if error is None else f"{error.message}{f': {error.hint}' if error.hint else ''}."
    page = ConvertPage(
        header=header_of(call, at),
        targets=_TARGETS,
        target=request.to,
        repo=proposal.target if proposal else request.repo or "",
        private=bool(request.private),
        proposal=_proposed(proposal) if proposal else None,
        notice=Notice(NoticeKind.BAD, text) if text else None,
    )
    return show(call, page, 400 if error and call.request.method == "POST" else 200)


def _proposed(proposal: Proposal) -> ConversionView:
    types = ", ".join(f"{count} {dtype}" for dtype, count in proposal.types.items())
    facts = (
        Fact("Made from", f"{', '.join(proposal.files)} at {proposal.commit[:12]}"),
        Fact("Tensors", types),
        Fact("Goes into", f"{proposal.target}, {'which exists' if proposal.exists else 'a new repository'}"),
        Fact(
            "Visibility", {True: "private", False: "public", None: "as usual for its owner"}[proposal.private]
        ),
    )
    return ConversionView(proposal.target, proposal.path, proposal.size_bytes, facts, proposal.notes)
