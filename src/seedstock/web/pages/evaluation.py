"""What a model scored: the form that starts an evaluation, the results, and one of them with its answers."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from seedstock.accounts.permissions import Action, allowed
from seedstock.core.errors import GatedRepo, HubError, Invalid, RepoNotFound, TooLarge, Unauthenticated
from seedstock.evaluation.catalogue import SUITES
from seedstock.evaluation.items import Check, SampleLine
from seedstock.evaluation.request import Request
from seedstock.evaluation.results import Result
from seedstock.http.routing import Call
from seedstock.web.pages.answer import moment, page_routes, redirect, show
from seedstock.web.pages.header import header_of
from seedstock.web.views.common import Choice, Fact, Notice, NoticeKind, Pagination
from seedstock.web.views.evaluation import AnswerView, DetailView, EvaluationPage, ResultView, SuiteView
from seedstock.web.views.replications import BandView

routes = page_routes()

_ADDRESS = "/{ns:account}/{name}/evaluation"
_ANSWERS = 20
_SHOWN_CHARS = 6000
_FIELDS = ("suite", "dataset", "file", "limit", "seed", "write_card")


@routes.add("GET", _ADDRESS)
def evaluation(call: Call) -> Response:
    """The results; `?result=` shows one whole, with its answers."""
    return _page(call, {name: call.query(name) or "" for name in _FIELDS})


@routes.add("POST", _ADDRESS, limit_bytes=20_000)
def start(call: Call) -> Response:
    """Queue an evaluation and go on to its page."""
    fields = {name: values[0] for name, values in call.form().items()}
    try:
        number, _ = call.hub.evaluations.start(call.viewer, call.repo_id(), _request(fields), call.base_url)
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


def _request(fields: dict[str, str]) -> Request:
    """The form as a request. Raises Invalid."""
    plain: dict[str, object] = {"suite": fields.get("dataset", "").strip() or fields.get("suite", "")}
    plain |= {
        "file": fields.get("file", "").strip() or None,
        "write_card": fields.get("write_card") == "true",
    }
    for name in ("limit", "seed"):
        text = fields.get(name, "").strip()
        if text:
            plain[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else text[:40]
    try:
        return msgspec.convert(plain, Request)
    except msgspec.ValidationError as error:
        raise Invalid(f"The form: {error}") from None


def _page(call: Call, fields: dict[str, str], error: HubError | None = None) -> Response:
    at = call.hub.reading.repo_at(call.viewer, call.repo_id())
    url = f"/{at.repo.url_path}/evaluation"
    found = call.hub.evaluations.results.of(call.viewer, call.repo_id())
    number = call.number("result", 0, most=1 << 53)
    chosen = call.hub.evaluations.results.get_of(call.viewer, call.repo_id(), number) if number else None
    notice = None
    if error is not None:
        text = f"{error.message}{f': {error.hint}' if error.hint else ''}."
        notice = Notice(NoticeKind.BAD, text)
    elif call.flag("written"):
        notice = Notice(NoticeKind.GOOD, "The card's model-index holds this result now.")
    page = EvaluationPage(
        header=header_of(call, at),
        suites=tuple(SuiteView(one.name, one.title, one.about, one.default_items) for one in SUITES.values()),
        fields=fields,
        results=tuple(_result(url, one, number) for one in found),
        detail=_detail(call, url, chosen) if chosen else None,
        may_start=not call.viewer.anonymous
        and allowed(call.viewer, Action.DOWNLOAD, at.repo)
        and call.hub.models.runs(call.viewer, at),
        may_write=allowed(call.viewer, Action.WRITE, at.repo),
        notice=notice,
    )
    return show(call, page, 400 if error else 200)


def band_of(label: str, score: float, low: float, high: float) -> BandView:
    """A share with its interval, in percent."""
    values = (100 * low, 100 * score, 100 * high)
    return BandView(label, *values, f"{values[1]:.1f} % ({values[0]:.1f} to {values[2]:.1f})")


def title_of(result: Result) -> str:
    """A suite in words."""
    shipped = SUITES.get(result.row.suite)
    return shipped.title if shipped else result.suite.removeprefix("datasets/")


def _result(url: str, found: Result, chosen: int) -> ResultView:
    row = found.row
    return ResultView(
        id=row.id,
        href=f"{url}?result={row.id}",
        suite=title_of(found),
        board_href="/leaderboard?" + urlencode({"suite": found.row.suite, "board": row.board[:16]}),
        commit=row.commit,
        file=row.file or "",
        band=band_of(title_of(found), row.score, row.low, row.high),
        n=row.n,
        ran_by=row.ran_by,
        at=moment(row.created_at),
        selected=row.id == chosen,
    )


def _detail(call: Call, url: str, found: Result) -> DetailView:
    row = found.row
    may_write = allowed(call.viewer, Action.WRITE, found.repo)
    view = DetailView(
        id=row.id,
        title=title_of(found),
        band=band_of("All", row.score, row.low, row.high),
        facts=_facts(found),
        groups=tuple(
            band_of(f"{name}, {figure['n']}", figure["score"], figure["low"], figure["high"])
            for name, figure in row.groups.items()
        ),
        card_action=f"{url}/{row.id}/card" if may_write else "",
    )
    href = f"/api/models{url.removesuffix('/evaluation')}/evaluations/{view.id}/samples"
    try:
        samples = call.hub.evaluations.results.samples(call.viewer, found)
    except GatedRepo:
        return view  # the score is for all who see the model, the questions are not
    except TooLarge:
        return msgspec.structs.replace(view, log_href=href)
    return _with_answers(call, url, msgspec.structs.replace(view, log_href=href), samples)


def _with_answers(call: Call, url: str, view: DetailView, samples: list[SampleLine]) -> DetailView:
    wanted = call.query("show") or "all"
    kinds = {
        "all": samples,
        "wrong": [one for one in samples if not one.score],
        "right": [one for one in samples if one.score],
    }
    chosen = kinds.get(wanted, samples)
    first = min(call.number("from", 0, most=1 << 20), max(0, len(chosen) - 1))
    shown = chosen[first : first + _ANSWERS]

    def address(kind: str, start: int) -> str:
        return f"{url}?{urlencode({'result': view.id, 'show': kind, 'from': start})}#answers"

    last = first + len(shown)
    return msgspec.structs.replace(
        view,
        answers=tuple(map(_answer, shown)),
        filters=tuple(
            Choice(kind, address(kind, 0), kind == wanted, len(found)) for kind, found in kinds.items()
        ),
        pagination=Pagination(
            first + 1,
            last,
            len(chosen),
            address(wanted, max(0, first - _ANSWERS)) if first else None,
            address(wanted, last) if last < len(chosen) else None,
        ),
    )


def _facts(found: Result) -> tuple[Fact, ...]:
    row, how = found.row, found.row.settings
    data = f"{found.suite} at {(row.dataset_commit or '')[:12]}" if found.dataset else ""
    suite = data or f"{row.suite}, version {row.suite_version}, {row.suite_digest[:12]}"
    return (
        Fact("Model", f"{found.model} at {row.commit[:12]}"),
        Fact("Questions", f"{row.n} of {suite}; seed {row.seed}"),
        Fact(
            "Asked with",
            f"{how.get('api')}, temperature {how.get('temperature')}, top_p {how.get('top_p')},"
            f" at most {how.get('max_tokens')} tokens",
        ),
        Fact("Standard error", f"{100 * row.stderr:.1f} points; intervals are Wilson's, 95 %"),
        Fact("Ran", f"{row.library}, {row.duration_s:,.0f} s, for {row.ran_by}"),
    )


def _answer(sample: SampleLine) -> AnswerView:
    stopped = {"max_tokens": "cut off", "refused": "refused by the endpoint"}.get(sample.stop_reason, "")
    return AnswerView(
        id=sample.id,
        right=bool(sample.score),
        group=sample.group,
        prompt=sample.prompt[:_SHOWN_CHARS],
        answer=sample.answer[:_SHOWN_CHARS],
        target=sample.target[:500],
        checks=tuple(
            (_in_words(check), passed) for check, passed in zip(sample.checks, sample.passed, strict=False)
        )
        if len(sample.checks) > 1 or not sample.target
        else (),
        stopped=stopped,
    )


def _in_words(check: Check) -> str:
    name = check.kind.replace("_", " ")
    detail = str(check.number) if check.number else ", ".join(check.texts) or check.text
    return f"{name}: {detail[:100]}" if detail else name
