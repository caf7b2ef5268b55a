"""Models compared side by side, and the arena of all votes."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from seedstock.arena.table import ENOUGH_VOTES, Standing, Table
from seedstock.http.call import Call
from seedstock.web.pages.answer import login_href, page_routes, show
from seedstock.web.views.chat import ArenaPage, CellView, ComparePage, StandingView
from seedstock.web.views.common import Link

routes = page_routes()

MOST_PAIRED = 40
"""The first of the standings, whose pairs the page shows; all are in the JSON."""
_BLOCKED = (
    "Running models takes this hub's memory and processors, and each vote is somebody's, so it is for people who are"
    " signed in."
)


@routes.add("GET", "/compare")
def compare(call: Call) -> Response:
    """A new comparison, with the models that `?model=` names; or the one that `?battle=` does."""
    if call.viewer.anonymous:
        return show(call, ComparePage(blocked=_BLOCKED, login_href=login_href(call)))
    key = call.query("battle")
    if key:
        return show(call, ComparePage(call.hub.arena.get(call.viewer, key).row.key))
    return show(call, ComparePage(models=tuple(name[:300] for name in call.queries("model")[:4])))


@routes.add("GET", "/arena")
def arena(call: Call) -> Response:
    """The table of the models that the viewer may see."""
    return show(call, page_of(call.hub.arena.table(call.viewer)))


def page_of(table: Table) -> ArenaPage:
    """A table as a page."""
    ends = [end for row in table.standings for end in (row.low, row.high) if end is not None]
    low, width = (min(ends), max(max(ends) - min(ends), 1.0)) if ends else (0.0, 1.0)
    return ArenaPage(
        votes=table.votes,
        enough=ENOUGH_VOTES,
        standings=tuple(_standing(row, low, width) for row in table.standings),
        cells=_cells(table),
        groups=table.groups,
    )


def _standing(row: Standing, low: float, width: float) -> StandingView:
    link = Link(row.model, "" if row.closed else f"/{row.model.partition(':')[0]}")
    view = StandingView(link, row.votes, row.wins, row.losses, row.ties, row.group)
    if row.strength is None or row.low is None or row.high is None:
        return view
    at = [round(4 + 92 * (value - low) / width, 1) for value in (row.low, row.strength, row.high)]
    return msgspec.structs.replace(
        view,
        rank=row.rank,
        strength=round(row.strength),
        interval=f"{row.low:.0f} to {row.high:.0f}",
        span=(at[0], at[1], at[2]),
    )


def _cells(table: Table) -> tuple[tuple[CellView, ...], ...]:
    shown = slice(MOST_PAIRED)
    return tuple(
        tuple(
            CellView(won / games if games else None, games)
            for won, games in zip(wins[shown], row[shown], strict=True)
        )
        for wins, row in zip(table.wins[shown], table.games[shown], strict=True)
    )
