"""The foundations report: of the hub, and of an account."""

from __future__ import annotations

from starlette.responses import Response

from seedstock.core.errors import Invalid, NotFound
from seedstock.http.call import Call
from seedstock.lineage.report import FoundationsReport, RootShare
from seedstock.web.foundations import TONES, RootCount, Totals, report
from seedstock.web.foundations_export import as_csv, as_json
from seedstock.web.pages.answer import moment, page_routes, show
from seedstock.web.pages.cards import licence_label
from seedstock.web.views.common import Link
from seedstock.web.views.foundations import Measure, OriginView, TrendView

routes = page_routes()


@routes.add("GET", "/foundations", "/{account:account}/foundations")
def foundations(call: Call) -> Response:
    """What everything rests on, in one page."""
    account = _account(call)
    found, measure = _found(call), _measure(call)
    view = report(
        [_count(share) for share in found.roots],
        _totals(found),
        measure=measure,
        scope=Link(account, f"/{account}") if account else None,
        base=f"/{account}/foundations" if account else "/foundations",
        trend=_trend(found),
    )
    return show(call, view)


@routes.add("GET", "/foundations.{kind}", "/{account:account}/foundations.{kind}")
def download(call: Call) -> Response:
    """The same numbers as CSV or JSON."""
    kind, found, measure = call.param("kind"), _found(call), _measure(call)
    roots = [_count(share) for share in found.roots]
    headers = {"Content-Disposition": f'attachment; filename="foundations.{kind}"'}
    if kind == "csv":
        return Response(as_csv(roots, measure), 200, headers, "text/csv")
    if kind == "json":
        return Response(as_json(roots, _totals(found), measure), 200, headers, "application/json")
    raise NotFound("The report can be had as foundations.csv or foundations.json")


def _account(call: Call) -> str | None:
    return call.request.path_params.get("account")


def _found(call: Call) -> FoundationsReport:
    return call.hub.foundations.report(call.viewer, _account(call), call.hub.clock())


def _measure(call: Call) -> Measure:
    by = call.query("by") or Measure.MODELS.value
    if by not in set(Measure):
        raise Invalid(f"by is {', '.join(Measure)}, not {by[:20]!r}")
    return Measure(by)


def _totals(found: FoundationsReport) -> Totals:
    return Totals(found.models, found.derived, found.downloads, found.runs, found.pending)


def _count(share: RootShare) -> RootCount:
    profile, repo = share.publisher, share.repo
    namespace = share.name.split("/")[0]
    return RootCount(
        share.name,
        profile.organisation if profile else namespace,
        share.models,
        share.downloads,
        share.runs,
        share.verified,
        share.declared,
        href=f"/{repo.url_path}" if repo else None,
        publisher_href=f"/{repo.namespace}" if repo else None,
        origin=OriginView(profile.country, Link("stated", profile.source)) if profile else OriginView(),
        licence=licence_label(repo.license) if repo and repo.license else None,
    )


def _trend(found: FoundationsReport) -> TrendView | None:
    if not found.roots:
        return None
    shown = found.roots[:TONES]
    series = [(share.name, tone, share.trend) for tone, share in enumerate(shown)]
    rest = found.roots[TONES:]
    if rest:
        sums = tuple(sum(values) for values in zip(*(share.trend for share in rest), strict=True))
        series.append(("others", TONES, sums))
    months = tuple(moment(at).strftime("%Y-%m-%d") for at in found.months)
    return TrendView(months, tuple(series))
