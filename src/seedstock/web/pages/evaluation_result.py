"""One result of an evaluation in words: its line in a list, and whole, with the answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec

from seedstock.accounts.permissions import Action, allowed
from seedstock.core.errors import GatedRepo, TooLarge
from seedstock.evaluation.boards import Result
from seedstock.evaluation.catalogue import SUITES
from seedstock.evaluation.items import Check, SampleLine
from seedstock.http.call import Call
from seedstock.web.pages.answer import moment
from seedstock.web.views.common import Choice, Fact, Pagination
from seedstock.web.views.evaluation import AnswerView, DetailView, ResultView
from seedstock.web.views.replications import BandView

_ANSWERS = 20
_SHOWN_CHARS = 6000


def band_of(label: str, score: float, low: float, high: float) -> BandView:
    """A share with its interval, in percent."""
    values = (100 * low, 100 * score, 100 * high)
    return BandView(label, *values, f"{values[1]:.1f} % ({values[0]:.1f} to {values[2]:.1f})")


def title_of(result: Result) -> str:
    """A suite in words."""
    shipped = SUITES.get(result.row.suite)
    return shipped.title if shipped else result.suite.removeprefix("datasets/")


def row_of(found: Result, chosen: int) -> ResultView:
    """Its line among the results of a model."""
    row = found.row
    return ResultView(
        id=row.id,
        href=f"{found.address}?result={row.id}",
        suite=title_of(found),
        board_href="/leaderboard?" + urlencode({"suite": found.row.suite, "board": row.board[:16]}),
        commit=row.commit or "",
        file=row.file or "",
        band=band_of(title_of(found), row.score, row.low, row.high),
        n=row.n,
        ran_by=row.ran_by,
        at=moment(row.created_at),
        selected=row.id == chosen,
    )


def detail_of(call: Call, found: Result) -> DetailView:
    """All of it; the answers too, for those who may read them."""
    row = found.row
    may_write = found.repo is not None and allowed(call.viewer, Action.WRITE, found.repo)
    view = DetailView(
        id=row.id,
        title=title_of(found),
        band=band_of("All", row.score, row.low, row.high),
        facts=_facts(found),
        groups=tuple(
            band_of(f"{name}, {figure['n']}", figure["score"], figure["low"], figure["high"])
            for name, figure in row.groups.items()
        ),
        card_action=f"{found.address}/{row.id}/card" if may_write else "",
    )
    href = f"/api/models{found.address.removesuffix('/evaluation')}/evaluations/{view.id}/samples"
    try:
        samples = call.hub.evaluations.results.samples(call.viewer, found)
    except GatedRepo:
        return view  # the score is for all who see the model, the questions are not
    except TooLarge:
        return msgspec.structs.replace(view, log_href=href)
    return _with_answers(call, found.address, msgspec.structs.replace(view, log_href=href), samples)


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
    row = found.row
    data = f"{found.suite} at {(row.dataset_commit or '')[:12]}" if found.dataset else ""
    suite = data or f"{row.suite}, version {row.suite_version}, {row.suite_digest[:12]}"
    return (
        *_model_facts(found),
        Fact("Questions", f"{row.n} of {suite}; seed {row.seed}"),
        Fact("Asked with", asked_with(row.settings)),
        Fact("Standard error", f"{100 * row.stderr:.1f} points; intervals are Wilson's, 95 %"),
        Fact("Ran", f"{row.library}, {row.duration_s:,.0f} s, for {row.ran_by}"),
    )


def _model_facts(found: Result) -> tuple[Fact, ...]:
    row = found.row
    if row.closed is None:
        return (Fact("Model", f"{found.model} at {(row.commit or '')[:12]}"),)
    revisions = " and ".join(map(str, row.closed["revisions"]))
    answered = ", ".join(row.closed["answered_as"]) or "it did not say"
    return (
        Fact(
            "Model", f"{row.remote_model} of the remote {found.remote}, on {moment(row.created_at):%Y-%m-%d}"
        ),
        Fact("It called itself", answered),
        Fact("Remote", f"API of {row.closed['kind']}, settings {revisions}"),
    )


def asked_with(how: dict[str, Any]) -> str:
    """Settings in words."""
    if how.get("temperature") is None:
        sampling = "the model's own sampling"
    else:
        sampling = f"temperature {how['temperature']}, top_p {how.get('top_p')}"
    return f"{how.get('api')}, {sampling}, at most {how.get('max_tokens')} tokens"


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
