"""Models ranked on a suite: the same questions, the same settings, and who cannot be told from the best."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from starlette.responses import Response

from seedstock.evaluation.boards import Board, Ranked
from seedstock.evaluation.catalogue import SUITES
from seedstock.http.call import Call
from seedstock.web.pages.answer import moment, page_routes, show
from seedstock.web.pages.evaluation_result import band_of
from seedstock.web.views.common import Choice, Fact, Link
from seedstock.web.views.evaluation import LeaderboardPage, LineView

routes = page_routes()

_DATASET = "Questions from a dataset of this hub, asked and judged as its task file says."


@routes.add("GET", "/leaderboard")
def leaderboard(call: Call) -> Response:
    """The fullest board of `?suite=`; others, of other questions or settings, by `?board=`."""
    results = call.hub.evaluations.results
    suite = (call.query("suite") or next(iter(SUITES)))[:400]
    boards = results.boards(call.viewer, suite)
    wanted = call.query("board") or ""
    board = next(
        (one for one in boards if wanted and one.digest.startswith(wanted)), boards[0] if boards else None
    )
    shipped = SUITES.get(suite)
    page = LeaderboardPage(
        suites=tuple(
            Choice(_label(name), f"/leaderboard?{urlencode({'suite': name})}", name == suite)
            for name in results.suites(call.viewer)
        ),
        title=_label(suite) if shipped or boards else "Leaderboard",
        about=shipped.about if shipped else _DATASET,
        boards=tuple(
            Choice(
                f"{one.example.n} questions, seed {one.example.seed}, {_settings(one)}",
                f"/leaderboard?{urlencode({'suite': suite, 'board': one.digest[:16]})}",
                one is board,
                len(one.lines),
            )
            for one in boards
        ),
        facts=_facts(board) if board else (),
        lines=tuple(map(_line, board.lines)) if board else (),
        json_href=f"/api/leaderboard?suite={quote(suite, safe='')}",
        elsewhere=tuple(Link(one.id, f"/{quote(one.id)}") for one in call.hub.remotes.models(call.viewer)),
    )
    return show(call, page)


def _settings(board: Board) -> str:
    how = board.example.settings
    own = "" if how.get("temperature") is not None else ", own sampling"
    return f"{how.get('max_tokens')} tokens{own}"


def _label(suite: str) -> str:
    shipped = SUITES.get(suite)
    return shipped.title if shipped else suite.removeprefix("datasets/")


def _facts(board: Board) -> tuple[Fact, ...]:
    row = board.example
    level = sum(1 for line in board.lines if line.level_with_best)
    return (
        Fact("Models", str(len(board.lines))),
        Fact("Questions", str(row.n)),
        Fact("Level with the best", str(level)),
    )


def _points(share: float) -> str:
    """Points with their sign; none for nothing."""
    text = f"{100 * share:+.1f}"
    return text if text.strip("+-0.") else "0"


def _line(line: Ranked) -> LineView:
    found, row = line.result, line.result.row
    difference = ""
    if line.difference is not None:
        one = line.difference
        low, high = _points(one.low), _points(one.high)
        difference = f"{_points(one.difference)} ({low} to {high})"
    return LineView(
        place=line.place,
        model=found.model,
        href=found.address.removesuffix("/evaluation") if found.repo else found.address,
        result_href=f"{found.address}?result={row.id}",
        commit=row.commit or "",
        band=band_of(found.model, row.score, row.low, row.high),
        level_with_best=line.level_with_best,
        difference=difference,
        at=moment(row.created_at),
        closed=found.closed,
    )
