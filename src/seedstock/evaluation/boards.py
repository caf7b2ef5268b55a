"""One result as a viewer sees it, and boards of results, ranked."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

import msgspec

from seedstock.db.evaluations import EvaluationRow
from seedstock.db.repos import RepoRow
from seedstock.evaluation.figures import Comparison, compare
from seedstock.run.remote.upstream import remote_id


class Result(msgspec.Struct, frozen=True):
    """A result, and the repos or the remote that it is of, all of which the viewer may see."""

    row: EvaluationRow
    repo: RepoRow | None
    """None for a model that runs elsewhere."""
    dataset: RepoRow | None
    remote: str = ""
    """The name of the remote, for one that does."""

    @property
    def closed(self) -> bool:
        """Whether its weights are not here: nothing says that the name stands for the same model tomorrow."""
        return self.repo is None

    @property
    def model(self) -> str:
        """The model as people name it."""
        if self.repo is None:
            return remote_id(self.remote, self.row.remote_model or "")
        return f"{self.repo.repo_id}{f':{self.row.file}' if self.row.file else ''}"

    @property
    def address(self) -> str:
        """The page of the model's results."""
        return f"/{quote(self.model)}" if self.repo is None else f"/{self.repo.url_path}/evaluation"

    @property
    def suite(self) -> str:
        """The suite by its present name."""
        return self.dataset.url_path if self.dataset else self.row.suite

    @property
    def scores(self) -> list[float]:
        """By item."""
        return [float(digit) for digit in self.row.scores]


class Ranked(msgspec.Struct, frozen=True):
    """A line of a leaderboard."""

    place: int
    result: Result
    difference: Comparison | None
    """From the best, item by item; None for the best itself."""

    @property
    def level_with_best(self) -> bool:
        """Whether it cannot be told from the best."""
        return self.difference is None or not self.difference.distinguishable


class Board(msgspec.Struct, frozen=True):
    """Models that were asked the same questions under the same settings, best first."""

    digest: str
    lines: tuple[Ranked, ...]

    @property
    def example(self) -> EvaluationRow:
        """A result that says what all of the board share."""
        return self.lines[0].result.row


def boards_of(results: Iterable[Result]) -> list[Board]:
    """The boards that results make, the one with the most models first."""
    grouped: dict[str, list[Result]] = {}
    for result in results:
        grouped.setdefault(result.row.board, []).append(result)
    boards = [Board(digest, _ranked(found)) for digest, found in grouped.items()]
    return sorted(boards, key=lambda board: (-len(board.lines), -board.example.n, board.digest))


def _ranked(results: list[Result]) -> tuple[Ranked, ...]:
    """Best first; equals share a place."""
    ordered = sorted(results, key=lambda result: (-result.row.score, result.model.lower()))
    best = ordered[0]
    lines: list[Ranked] = []
    for number, result in enumerate(ordered, 1):
        level = lines and lines[-1].result.row.score == result.row.score
        difference = None if result is best else compare(best.scores, result.scores)
        lines.append(Ranked(lines[-1].place if level else number, result, difference))
    return tuple(lines)
