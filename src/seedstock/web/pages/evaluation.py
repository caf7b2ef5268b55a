"""What a model scored, hosted or elsewhere: the form that starts an evaluation, the results, and one of them whole."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
from starlette.responses import Response

from seedstock.accounts.permissions import Action, allowed
from seedstock.core.errors import HubError, Invalid, RepoNotFound, Unauthenticated
from seedstock.core.names import RepoId
from seedstock.evaluation.catalogue import SUITES, Suite
from seedstock.evaluation.estimate import in_words, of_suite
from seedstock.evaluation.request import Request
from seedstock.http.call import Call
from seedstock.run.remote.upstream import RemoteName, remote_id
from seedstock.web.pages.answer import page_routes, redirect, show
from seedstock.web.pages.evaluation_result import detail_of, row_of
from seedstock.web.pages.header import header_of
from seedstock.web.views.common import Notice, NoticeKind
from seedstock.web.views.evaluation import EvaluationPage, EvaluationPanel, RemoteEvaluationPage, SuiteView

routes = page_routes()

_ADDRESS = "/{ns:account}/{name}/evaluation"
_ELSEWHERE = "/remote/{remote}/{model:path}"
_FIELDS = ("suite", "dataset", "file", "limit", "seed", "max_tokens", "sampling", "write_card")


@routes.add("GET", _ADDRESS, _ELSEWHERE)
def evaluation(call: Call) -> Response:
    """The results; `?result=` shows one whole, with its answers."""
    return _page(call, {name: call.query(name) or "" for name in _FIELDS})


@routes.add("POST", _ADDRESS, _ELSEWHERE, limit_bytes=20_000)
def start(call: Call) -> Response:
    """Queue an evaluation and go on to its page."""
    fields = {name: values[0] for name, values in call.form().items()}
    try:
        number, _ = call.hub.evaluations.start(call.viewer, _model(call), _request(fields), call.base_url)
    except (RepoNotFound, Unauthenticated):
        raise
    except HubError as error:
        return _page(call, {name: fields.get(name, "") for name in _FIELDS}, error)
    return redirect(f"/jobs/{number}")


@routes.add("POST", _ADDRESS + "/{id:int}/card", limit_bytes=20_000)
def write_card(call: Call) -> Response:
    """Write a result into the card, and show it there."""
    repo_id, number = call.repo_id(), int(call.param("id"))
    try:
        call.hub.evaluations.results.write_card(call.viewer, repo_id, number, call.base_url)
    except (RepoNotFound, Unauthenticated):
        raise
    except HubError as error:
        return _page(call, dict.fromkeys(_FIELDS, ""), error)
    return redirect(f"/{repo_id.url_path}/evaluation?result={number}&written=true")


def _model(call: Call) -> RepoId | RemoteName:
    if "remote" in call.request.path_params:
        return RemoteName(call.param("remote"), call.param("model"))
    return call.repo_id()


def _request(fields: dict[str, str]) -> Request:
    """The form as a request. Raises Invalid."""
    plain: dict[str, object] = {"suite": fields.get("dataset", "").strip() or fields.get("suite", "")}
    plain |= {
        "file": fields.get("file", "").strip() or None,
        "write_card": fields.get("write_card") == "true",
    }
    if fields.get("sampling"):
        plain["sampling"] = fields["sampling"]
    for name in ("limit", "seed", "max_tokens"):
        text = fields.get(name, "").strip()
        if text:
            plain[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else text[:40]
    try:
        return msgspec.convert(plain, Request)
    except msgspec.ValidationError as error:
        raise Invalid(f"The form: {error}") from None


def _page(call: Call, fields: dict[str, str], error: HubError | None = None) -> Response:
    model = _model(call)
    if isinstance(model, RemoteName):
        return _remote_page(call, model, fields, error)
    at = call.hub.reading.repo_at(call.viewer, model)
    may_write = allowed(call.viewer, Action.WRITE, at.repo)
    may_start = not call.viewer.anonymous and allowed(call.viewer, Action.DOWNLOAD, at.repo)
    panel = _panel(
        call,
        f"/{at.repo.url_path}/evaluation",
        fields,
        error,
        may_start=may_start and call.hub.models.writes(call.viewer, at),
        may_write=may_write,
    )
    return show(call, EvaluationPage(panel, header_of(call, at)), 400 if error else 200)


def _remote_page(call: Call, model: RemoteName, fields: dict[str, str], error: HubError | None) -> Response:
    name = remote_id(model.remote, model.model)
    call.hub.remotes.model(call.viewer, name)
    panel = _panel(call, f"/{quote(name)}", fields, error, may_start=True, closed=True)
    return show(call, RemoteEvaluationPage(panel, name, model.remote), 400 if error else 200)


def _panel(
    call: Call,
    url: str,
    fields: dict[str, str],
    error: HubError | None,
    *,
    may_start: bool = False,
    may_write: bool = False,
    closed: bool = False,
) -> EvaluationPanel:
    results, model, number = (
        call.hub.evaluations.results,
        _model(call),
        call.number("result", 0, most=1 << 53),
    )
    found = results.of(call.viewer, model)
    chosen = results.get_of(call.viewer, model, number) if number else None
    return EvaluationPanel(
        url=url,
        suites=tuple(_suite(one, closed=closed) for one in SUITES.values()),
        fields=fields,
        results=tuple(row_of(one, number) for one in found),
        detail=detail_of(call, chosen) if chosen else None,
        may_start=may_start,
        may_write=may_write,
        closed=closed,
        notice=_notice(call, error),
    )


def _suite(suite: Suite, *, closed: bool) -> SuiteView:
    cost = in_words(of_suite(suite, 0, suite.default_items, suite.max_tokens)) if closed else ""
    return SuiteView(suite.name, suite.title, suite.about, suite.default_items, cost)


def _notice(call: Call, error: HubError | None) -> Notice | None:
    if error is not None:
        text = f"{error.message}{f': {error.hint}' if error.hint else ''}."
        return Notice(NoticeKind.BAD, text)
    if call.flag("written"):
        return Notice(NoticeKind.GOOD, "The card's model-index holds this result now.")
    return None
