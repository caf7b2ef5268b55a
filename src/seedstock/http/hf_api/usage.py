"""What was asked of the models, and limits."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import msgspec
from starlette.responses import Response

from seedstock.core.clock import iso
from seedstock.core.errors import Invalid
from seedstock.core.limits import Limits
from seedstock.db.usage import UsageSums
from seedstock.http.call import Call
from seedstock.http.routing import Routes
from seedstock.usage.limits import Standing
from seedstock.usage.service import UsageReport, day_of

routes = Routes()

DEFAULT_DAYS = 30
_SUMS = UsageSums.__struct_fields__
_COLUMNS = ("day", "account", "token_id", "token", "model", *_SUMS)


@routes.add("GET", "/api/usage")
def usage(call: Call) -> Any:
    """What was asked of models, from `?from=` to `?to=` (days in UTC; the last 30), and what the limits leave.

    The caller's own use; admins may name an `?account=` or give `?all=1`. `?format=csv` has a row for each day, account,
    token and model. Days, models and tokens are summed up in `days`, `models` and `tokens`. Token ids: 0 is a browser
    session, -1 stands for tokens that were revoked.
    """
    report = report_of(call)
    if call.query("format") == "csv":
        return csv_response(report)
    if call.query("format") not in {None, "", "json"}:
        raise Invalid("format is json or csv")
    return told(report)


@routes.add("PUT", "/api/tokens/{id}/limits")
def limit_token(call: Call) -> dict[str, Any]:
    """Limit one of the caller's tokens: `requests_per_minute`, `tokens_per_minute`, `tokens_per_day`; absent: not.

    It can only lower what holds in any case. The ids are in `/api/usage`.
    """
    text = call.param("id")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid("A token's id is a number")
    limits = call.json(Limits)
    call.hub.usage.settings.set_own_limits(call.viewer, int(text), limits)
    plain: dict[str, Any] = msgspec.to_builtins(limits)
    return plain


def report_of(call: Call, days: int = DEFAULT_DAYS) -> UsageReport:
    """The report that the query asks for. Raises Invalid, and as `Usage.report` does."""
    last = _day(call, "to") or call.hub.usage.today()
    first = _day(call, "from") or last - timedelta(days=min(days - 1, last.toordinal() - 1))
    return call.hub.usage.report(
        call.viewer, first, last, account=call.query("account") or None, everyone=call.flag("all")
    )


def _day(call: Call, name: str) -> date | None:
    text = call.query(name)
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{name} is a day as 2026-01-31, not {text[:40]!r}") from None


def told(report: UsageReport) -> dict[str, Any]:
    """A report as JSON."""
    names = {token.id: token.name for token in report.tokens}
    by_token = report.sums_by(lambda row: row.token_id)
    tokens = [
        {
            "id": token.id,
            "name": token.name,
            "hint": token.hint,
            "limits": token.limits,
            "ownLimits": token.own_limits,
            "standing": standing_told(token.standings),
            **_sums(by_token.get(token.id, UsageSums())),
        }
        for token in report.tokens
    ]
    if report.account is not None:
        tokens += [
            {"id": id, "name": _name(id, names), **_sums(sums)}
            for id, sums in by_token.items()
            if id not in names
        ]
    found: dict[str, Any] = {
        "from": report.first.isoformat(),
        "to": report.last.isoformat(),
        "account": report.account,
        "totals": report.totals,
        "days": _summed(report, "day", lambda row: day_of(row.day).isoformat()),
        "models": _summed(report, "model", lambda row: row.model),
    }
    if report.account is None:
        return found | {"accounts": _summed(report, "account", lambda row: row.account)}
    return found | {"tokens": tokens, "limits": standing_told(report.standings)}


def standing_told(standings: Iterable[Standing]) -> list[dict[str, Any]]:
    """Limits and what is left, as JSON."""
    return [
        {
            "kind": one.rule.kind.value,
            "limit": one.rule.limit,
            "remaining": one.left,
            "resetAt": iso(one.reset_at_ms),
        }
        for one in standings
    ]


def _summed(report: UsageReport, name: str, key: Any) -> list[dict[str, Any]]:
    return [{name: value, **_sums(sums)} for value, sums in report.sums_by(key).items()]


def _sums(sums: UsageSums) -> dict[str, int]:
    return {name: getattr(sums, name) for name in _SUMS}


def _name(token_id: int, names: dict[int, str]) -> str:
    return names.get(token_id) or ("browser session" if token_id == 0 else "revoked tokens")


def csv_response(report: UsageReport) -> Response:
    """Every row as CSV."""
    names = {token.id: token.name for token in report.tokens}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for row in report.rows:
        name = "" if report.account is None and row.token_id > 0 else _name(row.token_id, names)
        texts = (day_of(row.day).isoformat(), row.account, row.token_id, _plain(name), _plain(row.model))
        writer.writerow([*texts, *(getattr(row, column) for column in _SUMS)])
    name = f"usage-{report.first}-{report.last}.csv"
    return Response(
        out.getvalue(),
        media_type="text/csv",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


def _plain(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
