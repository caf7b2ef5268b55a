"""Results: filed once, shown to whoever may see the model (and the dataset), compared, and written into cards.

The sample-level log is a stored file that no repo names, so that it is read by way of its result alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from seedstock.accounts.permissions import Action, allowed, check
from seedstock.content.service import Content
from seedstock.core.clock import Clock
from seedstock.core.errors import GatedRepo, Invalid, NotFound, TooLarge
from seedstock.core.names import RepoId
from seedstock.core.viewer import Viewer
from seedstock.db import evaluations as rows
from seedstock.db.engine import Database
from seedstock.db.evaluations import EvaluationRow
from seedstock.db.repos import RepoRow
from seedstock.evaluation import scoring
from seedstock.evaluation.card_results import CardResult, with_result
from seedstock.evaluation.catalogue import SUITES
from seedstock.evaluation.figures import Comparison, by_group, compare, figure
from seedstock.evaluation.items import Item, SampleLine, items_digest, sha256_of
from seedstock.evaluation.request import Plan
from seedstock.evaluation.run import Found
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Put
from seedstock.hub.reading import Reading
from seedstock.hub.repos import Repos, repo_id_of
from seedstock.hub.writing import Writing

CARD_FILE = "README.md"
MOST_READ_BYTES = 32 << 20
"""Of a log that is read as a whole."""
_SHOWN = 500
_RANKED = 2000
_SUITES = 1000


class Result(msgspec.Struct, frozen=True):
    """A result and the repos it is of, all of which the viewer may see."""

    row: EvaluationRow
    repo: RepoRow
    dataset: RepoRow | None

    @property
    def model(self) -> str:
        """The model as people name it."""
        return f"{self.repo.repo_id}{f':{self.row.file}' if self.row.file else ''}"

    @property
    def suite(self) -> str:
        """The suite by its present name."""
        return self.dataset.url_path if self.dataset else self.row.suite


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


class Results:
    """Files and shows results."""

    def __init__(
        self,
        database: Database,
        repos: Repos,
        reading: Reading,
        writing: Writing,
        content: Content,
        clock: Clock,
    ) -> None:
        self._database = database
        self._repos = repos
        self._reading = reading
        self._writing = writing
        self._content = content
        self._clock = clock

    def file(
        self, job_id: int, viewer: Viewer, repo: RepoRow, plan: Plan, items: Sequence[Item], found: Found
    ) -> EvaluationRow:
        """Store what a job found; a job that runs twice has one result."""
        asked, scores = items_digest(items), [sample.score for sample in found.samples]
        whole = figure(scores)
        groups = by_group([item.group for item in items], scores)
        with self._content.staging.open() as staged:
            for sample in found.samples:
                staged.write(msgspec.json.encode(sample) + b"\n")
            digest = self._content.add_made(staged)
            size_bytes = staged.size_bytes
        with self._database.write() as connection:
            return rows.add_evaluation(
                connection,
                job_id=job_id,
                repo_id=repo.id,
                commit=plan.commit,
                file=plan.file,
                suite=plan.suite,
                suite_version=plan.suite_version,
                suite_digest=plan.suite_digest,
                dataset_id=plan.dataset_id,
                dataset_commit=plan.dataset_commit,
                board=sha256_of((plan.suite_digest, asked, plan.sampling.digest, scoring.VERSION)),
                items_digest=asked,
                settings=msgspec.to_builtins(plan.sampling)
                | {"limit": plan.limit, "scoring": scoring.VERSION},
                seed=plan.seed,
                **msgspec.structs.asdict(whole),
                groups=msgspec.to_builtins(groups),
                scores="".join("1" if score else "0" for score in scores),
                log_digest=digest,
                log_bytes=size_bytes,
                library=found.library,
                duration_s=round(found.duration_s, 3),
                ran_by=viewer.name,
                created_at=self._clock(),
            )

    def of(self, viewer: Viewer, repo_id: RepoId) -> list[Result]:
        """Results of a model that the viewer may see, newest first. Raises RepoNotFound."""
        repo = self._repos.get(viewer, repo_id)
        with self._database.read() as connection:
            found = rows.list_evaluations(connection, repo.id, _SHOWN)
        return self._visible(viewer, found)

    def get(self, viewer: Viewer, number: int) -> Result:
        """One result. Raises NotFound, whether it is absent or not the viewer's to see."""
        with self._database.read() as connection:
            row = rows.find_evaluation(connection, number) if 0 < number < 1 << 63 else None
        visible = self._visible(viewer, [row] if row else [])
        if not visible:
            raise NotFound(f"There is no evaluation {str(number)[:20]}")
        return visible[0]

    def get_of(self, viewer: Viewer, repo_id: RepoId, number: int) -> Result:
        """One result of a model. Raises RepoNotFound, NotFound."""
        repo = self._repos.get(viewer, repo_id)
        found = self.get(viewer, number)
        if found.repo.id != repo.id:
            raise NotFound(f"{repo.repo_id} has no evaluation {number}")
        return found

    def open_log(self, viewer: Viewer, result: Result) -> Iterator[bytes]:
        """The sample-level log. Raises GatedRepo where the viewer may not read the files of model or dataset."""
        check(viewer, Action.DOWNLOAD, result.repo)
        if result.dataset is not None and not allowed(viewer, Action.DOWNLOAD, result.dataset):
            raise GatedRepo("The questions are of a dataset whose access is restricted")
        file = self._content.get(result.row.log_digest)
        return self._content.open_range(file, 0, file.size_bytes)

    def samples(self, viewer: Viewer, result: Result) -> list[SampleLine]:
        """The log read. Raises as `open_log`, and TooLarge where it is for downloading only."""
        if result.row.log_bytes > MOST_READ_BYTES:
            raise TooLarge(f"The log of evaluation {result.row.id} is {result.row.log_bytes:,} bytes")
        data = b"".join(self.open_log(viewer, result))
        return [msgspec.json.decode(line, type=SampleLine) for line in data.splitlines()]

    def compare(self, viewer: Viewer, first: int, second: int) -> tuple[Result, Result, Comparison]:
        """Two results item by item. Raises NotFound, Invalid (of other items)."""
        one, two = self.get(viewer, first), self.get(viewer, second)
        if one.row.items_digest != two.row.items_digest:
            raise Invalid(
                f"Evaluations {first} and {second} are of different questions",
                hint="evaluate both on the same suite with the same --seed and --limit",
            )
        return one, two, compare(_scores(one.row), _scores(two.row))

    def boards(self, viewer: Viewer, suite: str) -> list[Board]:
        """Leaderboards of a suite, the one with the most models first; empty where there are none to see."""
        with self._database.read() as connection:
            found = rows.newest_of_suite(connection, suite, _RANKED)
        grouped: dict[str, list[Result]] = {}
        for result in self._visible(viewer, found):
            grouped.setdefault(result.row.board, []).append(result)
        boards = [Board(digest, _ranked(results)) for digest, results in grouped.items()]
        return sorted(boards, key=lambda board: (-len(board.lines), -board.example.n, board.digest))

    def suites(self, viewer: Viewer) -> list[str]:
        """Suites that come with the hub, and datasets with results that the viewer may see."""
        with self._database.read() as connection:
            found = rows.suites_with_results(connection, _SUITES)
        seen = self._repos.by_id(viewer, {id for _, id in found if id is not None})
        return [*SUITES, *dict.fromkeys(suite for suite, id in found if id in seen)]

    def write_card(self, viewer: Viewer, repo_id: RepoId, number: int, base_url: str) -> str:
        """Write a result into the `model-index` of the card, by one commit; its id.

        Raises as `get_of`, Forbidden, Invalid (a card that cannot be read), RefMoved.
        """
        repo, ref = self._writing.begin(viewer, repo_id, "main")
        result = self.get_of(viewer, repo_id_of(repo), number)
        at = self._reading.repo_at(viewer, repo_id_of(repo))
        held = {entry.path for entry in at.entries}
        text = ""
        if CARD_FILE in held:
            file = self._reading.file(viewer, repo_id_of(repo), f"{at.commit.oid}/{CARD_FILE}")
            if file.data is None:
                raise Invalid(f"{CARD_FILE} is stored as a large file")
            text = file.data.decode("utf-8", "surrogateescape")
        changed = with_result(text, repo.name, card_result(result, base_url))
        if changed == text:
            return at.commit.oid
        blob = self._writing.store_blobs(repo, [changed.encode("utf-8", "surrogateescape")])[0]
        message = CommitMessage(f"Add evaluation {number} to the card: {result.suite}")
        return self._writing.commit(viewer, repo, ref, message, [Put(CARD_FILE, blob)], at.commit.oid).oid

    def _visible(self, viewer: Viewer, found: Iterable[EvaluationRow]) -> list[Result]:
        listed = list(found)
        ids = {row.repo_id for row in listed} | {
            row.dataset_id for row in listed if row.dataset_id is not None
        }
        seen = self._repos.by_id(viewer, ids)
        return [
            Result(row, seen[row.repo_id], seen[row.dataset_id] if row.dataset_id is not None else None)
            for row in listed
            if row.repo_id in seen and (row.dataset_id is None or row.dataset_id in seen)
        ]


def card_result(result: Result, base_url: str) -> CardResult:
    """What a card says of a result."""
    row = result.row
    shipped = SUITES.get(row.suite)
    return CardResult(
        dataset_name=result.dataset.repo_id
        if result.dataset
        else f"Seedstock {shipped.title if shipped else row.suite}",
        dataset_type=result.dataset.repo_id if result.dataset else f"seedstock-{row.suite}",
        revision=row.dataset_commit or row.suite_digest,
        args={"seed": row.seed, "items": row.n, "items_sha256": row.items_digest}
        | ({"file": row.file} if row.file else {}),
        score=row.score,
        metric_args={
            "commit": row.commit,
            "stderr": round(row.stderr, 6),
            "confidence_interval_95": [round(row.low, 6), round(row.high, 6)],
            **{key: value for key, value in row.settings.items() if key != "limit"},
        },
        source_name=f"Seedstock evaluation {row.id}, by {row.library}",
        source_url=f"{base_url}/{result.repo.url_path}/evaluation?result={row.id}",
    )


def _scores(row: EvaluationRow) -> list[float]:
    return [float(digit) for digit in row.scores]


def _ranked(results: list[Result]) -> tuple[Ranked, ...]:
    """Best first; equals share a place."""
    ordered = sorted(results, key=lambda result: (-result.row.score, result.model.lower()))
    best = ordered[0]
    lines: list[Ranked] = []
    for number, result in enumerate(ordered, 1):
        level = lines and lines[-1].result.row.score == result.row.score
        difference = None if result is best else compare(_scores(best.row), _scores(result.row))
        lines.append(Ranked(lines[-1].place if level else number, result, difference))
    return tuple(lines)
