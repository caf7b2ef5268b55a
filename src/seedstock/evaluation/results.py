"""Results: filed once, shown to whoever may see the model (and the dataset), compared, and written into cards.

A model that runs elsewhere is seen by those who may ask it, and has no card.

The sample-level log is a stored file that no repo names, so that it is read by way of its result alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

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
from seedstock.evaluation.boards import Board, Result, boards_of
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
from seedstock.remotes.service import Remotes
from seedstock.run.remote.upstream import RemoteName, find_remote_name, remote_id

CARD_FILE = "README.md"
MOST_READ_BYTES = 32 << 20
"""Of a log that is read as a whole."""
_SHOWN = 500
_RANKED = 2000
_SUITES = 1000
_NAMES = 20
NO_CARD = "A model that runs elsewhere has no card on this hub"


class Results:
    """Files and shows results."""

    def __init__(
        self,
        database: Database,
        repos: Repos,
        reading: Reading,
        writing: Writing,
        remotes: Remotes,
        content: Content,
        clock: Clock,
    ) -> None:
        self._database = database
        self._repos = repos
        self._reading = reading
        self._writing = writing
        self._remotes = remotes
        self._content = content
        self._clock = clock

    def file(
        self,
        job_id: int,
        viewer: Viewer,
        repo: RepoRow | None,
        plan: Plan,
        items: Sequence[Item],
        found: Found,
    ) -> EvaluationRow:
        """Store what a job found of a repo, or of the plan's remote; a job that runs twice has one result."""
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
                repo_id=repo.id if repo else None,
                commit=plan.commit,
                file=plan.file,
                **self._of_remote(viewer, plan, found),
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

    def of(self, viewer: Viewer, model: RepoId | RemoteName) -> list[Result]:
        """Results of a model that the viewer may see, newest first. Raises RepoNotFound, and what `Remotes.offer` does."""
        if isinstance(model, RemoteName):
            offer = self._remotes.offer(viewer, remote_id(model.remote, model.model))
            with self._database.read() as connection:
                found = rows.list_remote_evaluations(connection, offer.id, model.model, _SHOWN)
        else:
            repo = self._repos.get(viewer, model)
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

    def get_of(self, viewer: Viewer, model: RepoId | RemoteName, number: int) -> Result:
        """One result of a model. Raises NotFound, and what `of` does."""
        if isinstance(model, RemoteName):
            found = self.get(viewer, number)
            same = found.closed and find_remote_name(found.model) == model
        else:
            repo = self._repos.get(viewer, model)
            found = self.get(viewer, number)
            same = found.repo is not None and found.repo.id == repo.id
        if not same:
            raise NotFound(f"This model has no evaluation {number}")
        return found

    def open_log(self, viewer: Viewer, result: Result) -> Iterator[bytes]:
        """The sample-level log. Raises GatedRepo where the viewer may not read the files of model or dataset."""
        if result.repo is not None:
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
        return one, two, compare(one.scores, two.scores)

    def boards(self, viewer: Viewer, suite: str) -> list[Board]:
        """Leaderboards of a suite, the one with the most models first; empty where there are none to see."""
        with self._database.read() as connection:
            found = rows.newest_of_suite(connection, suite, _RANKED)
        return boards_of(self._visible(viewer, found))

    def suites(self, viewer: Viewer) -> list[str]:
        """Suites that come with the hub, and datasets with results that the viewer may see."""
        with self._database.read() as connection:
            found = rows.suites_with_results(connection, _SUITES)
        seen = self._repos.by_id(viewer, {id for _, id in found if id is not None})
        return [*SUITES, *dict.fromkeys(suite for suite, id in found if id in seen)]

    def write_card(self, viewer: Viewer, model: RepoId | RemoteName, number: int, base_url: str) -> str:
        """Write a result into the `model-index` of the card, by one commit; its id.

        Raises as `get_of`, Forbidden, Invalid (a card that cannot be read), RefMoved.
        """
        if isinstance(model, RemoteName):
            raise Invalid(NO_CARD, hint="the result is filed all the same")
        repo, ref = self._writing.begin(viewer, model, "main")
        result = self.get_of(viewer, repo_id_of(repo), number)
        at = self._reading.repo_at(viewer, repo_id_of(repo))
        held = {entry.path for entry in at.entries}
        text = ""
        if CARD_FILE in held:
            file = self._reading.file(viewer, repo_id_of(repo), f"{at.commit.oid}/{CARD_FILE}")
            if file.data is None:
                raise Invalid(f"{CARD_FILE} is stored as a large file")
            text = file.data.decode("utf-8", "surrogateescape")
        changed = with_result(text, repo.name, card_result(result, repo, base_url))
        if changed == text:
            return at.commit.oid
        blob = self._writing.store_blobs(repo, [changed.encode("utf-8", "surrogateescape")])[0]
        message = CommitMessage(f"Add evaluation {number} to the card: {result.suite}")
        return self._writing.commit(viewer, repo, ref, message, [Put(CARD_FILE, blob)], at.commit.oid).oid

    def _of_remote(self, viewer: Viewer, plan: Plan, found: Found) -> dict[str, Any]:
        """What is filed of a model elsewhere. Raises NotFound if it is not there any more."""
        closed = plan.closed
        if closed is None:
            return {}
        now = self._remotes.offer(viewer, plan.model).revision
        answered_as = sorted({sample.answered_as for sample in found.samples if sample.answered_as})
        known = {
            "kind": closed.kind,
            "revisions": sorted({closed.revision, now}),
            "answered_as": answered_as[:_NAMES],
        }
        return {"remote_id": closed.remote_id, "remote_model": closed.model, "closed": known}

    def _visible(self, viewer: Viewer, found: Iterable[EvaluationRow]) -> list[Result]:
        listed = list(found)
        ids = {id for row in listed for id in (row.repo_id, row.dataset_id) if id is not None}
        seen = self._repos.by_id(viewer, ids)
        offers = self._remotes.offers(viewer) if any(row.remote_id for row in listed) else {}
        visible = []
        for row in listed:
            repo, dataset = seen.get(row.repo_id or 0), seen.get(row.dataset_id or 0)
            offer = offers.get(row.remote_id or 0)
            there = offer is not None and offer.has(row.remote_model or "")
            if (repo is not None or there) and (row.dataset_id is None or dataset is not None):
                visible.append(Result(row, repo, dataset, offer.name if offer else ""))
        return visible


def card_result(result: Result, repo: RepoRow, base_url: str) -> CardResult:
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
        source_url=f"{base_url}/{repo.url_path}/evaluation?result={row.id}",
    )
