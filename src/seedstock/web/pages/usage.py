"""What the viewer asked of the models, what their limits leave, and limits of their tokens."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from urllib.parse import quote, urlencode

from starlette.responses import Response

from seedstock.core.errors import Forbidden, Invalid, Unauthenticated
from seedstock.core.limits import LimitKind, Limits
from seedstock.db.usage import UsageSums
from seedstock.http.call import Call
from seedstock.usage.limits import Standing
from seedstock.usage.service import TokenUse, UsageReport, day_number, day_of
from seedstock.web.filters import count
from seedstock.web.pages.answer import moment, page_routes, redirect, show
from seedstock.web.views.common import Choice, Fact, Notice, NoticeKind
from seedstock.web.views.usage import LimitView, TokenUsageView, UsageDayView, UsagePage, UsageRowView

routes = page_routes()

PATH = "/settings/usage"
SPANS = (7, 30, 90)


@routes.add("GET", PATH)
def usage(call: Call) -> Response:
    """The use of the last days."""
    notice = Notice(NoticeKind.GOOD, "The limit is set.") if call.query("done") == "limited" else None
    return _page(call, notice)


@routes.add("POST", PATH + "/tokens/{token}", limit_bytes=20_000)
def limit_token(call: Call) -> Response:
    """Set what the owner allows a token."""
    credential = call.viewer.credential
    if credential is None:
        raise Unauthenticated("Sign in to limit your tokens")
    if credential.session is None:
        raise Forbidden("This form is for browsers", hint="use PUT /api/tokens/{id}/limits")
    text, form = call.param("token"), call.form()
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid("No such token")
    try:
        limits = Limits(**{kind.value: _number(kind, form.get(kind.value, [""])[0]) for kind in LimitKind})
        call.hub.usage.settings.set_own_limits(call.viewer, int(text), limits)
    except Invalid as error:
        return _page(call, Notice(NoticeKind.BAD, f"{error.message}."), 400)
    return redirect(f"{PATH}?done=limited")


def _number(kind: LimitKind, text: str) -> int | None:
    text = text.strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) == 0:
        raise Invalid(f"{kind.words.capitalize()} is a whole number from 1, or empty for no limit of its own")
    return int(text)


def _page(call: Call, notice: Notice | None, status: int = 200) -> Response:
    wanted = call.number("days", 30, most=max(SPANS))
    span = wanted if wanted in SPANS else 30
    account, everyone = call.query("account") or None, call.flag("all")
    last = call.hub.usage.today()
    report = call.hub.usage.report(
        call.viewer, last - timedelta(days=span - 1), last, account=account, everyone=everyone
    )
    return show(
        call,
        page_of(report, span, viewer=call.viewer.name, is_admin=call.viewer.is_admin, notice=notice),
        status,
    )


def page_of(
    report: UsageReport, span: int, *, viewer: str, is_admin: bool, notice: Notice | None = None
) -> UsagePage:
    """A report as a page."""
    everyone = report.account is None
    own = report.account == viewer
    scope = {"all": "1"} if everyone else {} if own else {"account": str(report.account)}
    export = f"/api/usage?{urlencode({'from': str(report.first), 'to': str(report.last)} | scope)}"
    tokens = report.sums_by(lambda row: row.token_id)
    names = {token.id for token in report.tokens}
    accounts = report.sums_by(lambda row: row.account) if everyone else {}
    by_tokens = {name: _whole(sums) for name, sums in accounts.items()}
    return UsagePage(
        spans=tuple(
            Choice(f"{days} days", f"{PATH}?{urlencode({'days': days} | scope)}", days == span)
            for days in SPANS
        ),
        days=_days(report),
        figures=_figures(report.totals),
        csv_href=f"{export}&format=csv",
        json_href=export,
        whose=_whose(span, everyone=everyone, own=own) if is_admin else (),
        account=None if own else report.account,
        everyone=everyone,
        limits=limits_of(report.standings),
        models=_ranked(
            _row(model, sums, href="/" + quote(model))
            for model, sums in report.sums_by(lambda row: row.model).items()
        ),
        tokens=tuple(_token(token, tokens.get(token.id, UsageSums())) for token in report.tokens),
        others=()
        if everyone
        else tuple(
            _row("Browser sessions" if id == 0 else "Revoked tokens", sums)
            for id, sums in tokens.items()
            if id not in names
        ),
        accounts=_ranked(
            _row(name, accounts[name], href=f"{PATH}?{urlencode({'days': span, 'account': name})}")
            for name in sorted(accounts, key=lambda name: -by_tokens[name])
        ),
        may_limit=own,
        notice=notice,
    )


def _whose(span: int, *, everyone: bool, own: bool) -> tuple[Choice, ...]:
    return (
        Choice("You", f"{PATH}?days={span}", own),
        Choice("Everybody", f"{PATH}?days={span}&all=1", everyone),
    )


def _days(report: UsageReport) -> tuple[UsageDayView, ...]:
    """Every day of the span, those without any use too."""
    sums = report.sums_by(lambda row: row.day)
    views = []
    for number in range(day_number(report.first), day_number(report.last) + 1):
        found = sums.get(number, UsageSums())
        views.append(UsageDayView(_label(day_of(number)), found.prompt_tokens, found.completion_tokens))
    return tuple(views)


def _label(day: date) -> str:
    return f"{day.day} {day:%b}"


def _figures(totals: UsageSums) -> tuple[Fact, ...]:
    cached = f"{100 * totals.cached_tokens // totals.prompt_tokens} %" if totals.prompt_tokens else "–"
    return (
        Fact("Requests", count(totals.requests)),
        Fact("Prompt tokens", count(totals.prompt_tokens)),
        Fact("of them cached", cached),
        Fact("Answer tokens", count(totals.completion_tokens)),
        Fact("Failed", count(totals.failures)),
    )


def limits_of(standings: Iterable[Standing]) -> tuple[LimitView, ...]:
    """Limits as shown."""
    return tuple(
        LimitView(
            one.rule.kind.words.capitalize(),
            one.rule.limit,
            one.left,
            "at midnight UTC"
            if one.rule.kind is LimitKind.TOKENS_PER_DAY
            else f"by {moment(one.reset_at_ms):%H:%M:%S} UTC"
            if one.left < one.rule.limit
            else "now",
        )
        for one in standings
    )


def _token(token: TokenUse, sums: UsageSums) -> TokenUsageView:
    own = tuple((kind.value, kind.words.capitalize(), token.own_limits.of(kind)) for kind in LimitKind)
    row = _row(token.name, sums, note=f"hf_…{token.hint}")
    return TokenUsageView(str(token.id), row, limits_of(token.standings), own)


def _row(name: str, sums: UsageSums, *, href: str | None = None, note: str = "") -> UsageRowView:
    return UsageRowView(
        name,
        sums.requests,
        sums.failures,
        sums.prompt_tokens,
        sums.cached_tokens,
        sums.completion_tokens,
        href,
        note,
    )


def _ranked(rows: Iterable[UsageRowView]) -> tuple[UsageRowView, ...]:
    """Most tokens first."""
    return tuple(sorted(rows, key=lambda row: -(row.prompt + row.answer)))


def _whole(sums: UsageSums) -> int:
    return sums.prompt_tokens + sums.completion_tokens
