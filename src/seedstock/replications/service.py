"""Replications that a user asks for: what would run, the job that runs and judges it, and the records that it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from seedstock.accounts.permissions import Action, check
from seedstock.accounts.service import Accounts
from seedstock.adapt.methods import GIVES_DATA
from seedstock.core.clock import Clock
from seedstock.core.errors import EntryNotFound, Invalid, NotFound, RepoNotFound, Unauthenticated
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.db import replications as rows
from seedstock.db.engine import Database
from seedstock.db.replications import ReplicationRow
from seedstock.hub.reading import Reading, RepoAt
from seedstock.hub.repos import Repos, repo_id_of
from seedstock.jobs.kinds import JobContext
from seedstock.jobs.service import Jobs
from seedstock.openness.hub_records import HubRecords
from seedstock.recipes.parts import file_of, part_for, published_stages
from seedstock.recipes.reading import read_recipe, recipe_digest
from seedstock.recipes.recipe import Recipe
from seedstock.recipes.record import RunRecord, StageScore, sign_run
from seedstock.recipes.verdict import Judgement, Verdict
from seedstock.replications.request import Request
from seedstock.replications.run import ReplicationRun, Workplace
from seedstock.replications.sources import Sources

REPLICATE_MODEL = "replicate_model"
RECIPE_FILE = "recipe.toml"
_SHOWN = 200


class ReplicationProposal(msgspec.Struct, frozen=True):
    """What would run."""

    repo: str
    commit: str
    stages: tuple[str, ...]
    """Whose outputs are judged, each by itself."""
    recipe: Recipe
    """The part of the repo's that they need."""
    changes: tuple[str, ...]
    """Inputs that are not as pinned, or cannot be had by the viewer: the run would fail for them."""
    foreign_code: tuple[str, ...]


_NAME_A_MODEL = "name the stage that makes the model; evaluations of it run with it"


class _Outcome(msgspec.Struct, frozen=True):
    """What became of one stage; `file` is the one that it makes, if it is just one."""

    stage: str
    file: str | None
    replication: int
    judgement: Judgement
    scores: Sequence[StageScore]


class Replications:
    """Proposes, starts, runs and shows replications."""

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        repos: Repos,
        reading: Reading,
        sources: Sources,
        jobs: Jobs,
        records: HubRecords,
        workplace: Workplace,
        clock: Clock,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._repos = repos
        self._reading = reading
        self._sources = sources
        self._jobs = jobs
        self._records = records
        self._workplace = workplace
        self._clock = clock

    def propose(self, viewer: Viewer, repo_id: RepoId, request: Request) -> ReplicationProposal:
        """Say what would run, and which inputs are not as pinned.

        Raises Unauthenticated, RepoNotFound, GatedRepo, EntryNotFound (no recipe), Invalid (a wrong one).
        """
        if viewer.anonymous:
            raise Unauthenticated("Sign in or send a token to replicate a model")
        if repo_id.type is not RepoType.MODEL:
            raise Invalid("Only models are replicated")
        at = self._reading.repo_at(viewer, repo_id, request.revision)
        check(viewer, Action.DOWNLOAD, at.repo)
        recipe = self._recipe(viewer, at)
        held = {entry.path for entry in at.entries if not entry.is_tree}
        asked = recipe.stage.get(request.stage or "")
        if asked is not None and asked.op in GIVES_DATA:
            raise Invalid(
                f"Stage {request.stage} makes a dataset; a replication is of a model", hint=_NAME_A_MODEL
            )
        stages = [request.stage] if request.stage else published_stages(recipe, at.repo.repo_id, held)
        part = part_for(recipe, stages)
        found = self._sources.find(viewer, at, part, code_allowed=viewer.is_admin)
        changes = tuple(str(change) for change in found.changes)
        return ReplicationProposal(
            at.repo.repo_id, at.commit.oid, tuple(stages), part, changes, part.foreign_code
        )

    def start(self, viewer: Viewer, repo_id: RepoId, request: Request) -> tuple[int, ReplicationProposal]:
        """Queue a replication; its number. Raises like `propose`, and LimitExceeded."""
        proposal = self.propose(viewer, repo_id, request)
        repo = self._repos.get(viewer, repo_id, Action.DOWNLOAD)
        job = {
            "account": viewer.name,
            "repo_id": repo.id,
            "commit": proposal.commit,
            "stages": proposal.stages,
            "request": msgspec.to_builtins(request),
        }
        number = self._jobs.enqueue(
            viewer, REPLICATE_MODEL, job, priority=request.priority, repo_id=repo.id, max_attempts=3
        )
        return number, proposal

    def run(self, context: JobContext, job: dict[str, Any]) -> dict[str, Any] | None:
        """The job: run, compare, judge, sign and file. None when it was told to stop."""
        viewer = self._accounts.viewer_for_job(job["account"])
        repo = self._repos.by_id(viewer, [job["repo_id"]]).get(job["repo_id"])
        if repo is None:
            raise RepoNotFound
        at = self._reading.repo_at(viewer, repo_id_of(repo), job["commit"])
        check(viewer, Action.DOWNLOAD, at.repo)
        whole = self._recipe(viewer, at)
        stages: list[str] = job.get("stages") or [job["stage"]]
        runs: list[tuple[Recipe, RunRecord]] = []
        for stage in stages:
            part = part_for(whole, [stage])
            finished = self._run_one(context, job, viewer, at, part, stage)
            if finished is None:
                return None
            runs.append((part, finished))
        request = msgspec.convert(job["request"], Request)
        signed = [sign_run(run, self._records.key).decode() for _, run in runs]
        numbers = []
        with self._database.write() as connection:
            for stage, (part, run), envelope in zip(stages, runs, signed, strict=True):
                assert run.judgement is not None
                numbers.append(
                    rows.add_replication(
                        connection,
                        repo_id=repo.id,
                        commit=at.commit.oid,
                        recipe_digest=recipe_digest(part),
                        stage=stage,
                        verdict=run.judgement.verdict.value,
                        trust=run.trust.label,
                        ran_by=viewer.name,
                        smoke=request.smoke,
                        record=envelope,
                        created_at=self._clock(),
                    )
                )
        outcomes = [
            _Outcome(stage, file_of(part.stage[stage]), number, run.judgement, run.scores)
            for stage, (part, run), number in zip(stages, runs, numbers, strict=True)
            if run.judgement is not None
        ]
        return _result(at, outcomes)

    def _run_one(
        self,
        context: JobContext,
        job: dict[str, Any],
        viewer: Viewer,
        at: RepoAt,
        part: Recipe,
        stage: str,
    ) -> RunRecord | None:
        """One stage with what it needs, run and judged; None when it was told to stop."""
        request = msgspec.convert(job["request"], Request)
        found = self._sources.find(viewer, at, part, code_allowed=viewer.is_admin)
        run = ReplicationRun(self._workplace, context, part, stage, request, found)
        file = file_of(part.stage[stage])
        return run.run(
            lambda folder, made: self._sources.original(viewer, at, file, made, folder),
            self._records.key.public.id,
        )

    def of(self, viewer: Viewer, repo_id: RepoId) -> list[ReplicationRow]:
        """Replications of a repo that the viewer may read, newest first. Raises RepoNotFound."""
        repo = self._repos.get(viewer, repo_id)
        with self._database.read() as connection:
            return rows.list_replications(connection, repo.id, _SHOWN)

    def get(self, viewer: Viewer, repo_id: RepoId, number: int) -> ReplicationRow:
        """One of them. Raises RepoNotFound, NotFound."""
        repo = self._repos.get(viewer, repo_id)
        with self._database.read() as connection:
            row = rows.find_replication(connection, repo.id, number)
        if row is None:
            raise NotFound(f"{repo.repo_id} has no replication {number}")
        return row

    def _recipe(self, viewer: Viewer, at: RepoAt) -> Recipe:
        try:
            file = self._reading.file(viewer, repo_id_of(at.repo), f"{at.commit.oid}/{RECIPE_FILE}")
        except EntryNotFound:
            raise EntryNotFound(f"{at.repo.repo_id} has no {RECIPE_FILE}", commit=at.commit.oid) from None
        if file.data is None:
            raise Invalid(f"{RECIPE_FILE} is stored as a large file")
        return read_recipe(file.data, RECIPE_FILE, complete=False)


_WORST = (
    Verdict.FAILED,
    Verdict.NO_LEARNING,
    Verdict.INCONCLUSIVE,
    Verdict.WITHIN_TOLERANCE,
    Verdict.EXCEEDS,
    Verdict.NUMERICALLY_CLOSE,
    Verdict.BIT_EXACT,
)


def _result(at: RepoAt, outcomes: Sequence[_Outcome]) -> dict[str, Any]:
    """What the job says: the headline is the least good of its stages', and `outcomes` has each."""
    headline = min(outcomes, key=lambda outcome: _WORST.index(outcome.judgement.verdict))
    judgement = headline.judgement
    each = [
        {
            "stage": outcome.stage,
            "file": outcome.file,
            "replication": outcome.replication,
            "verdict": outcome.judgement.verdict.value,
            "reason": outcome.judgement.reason,
        }
        for outcome in outcomes
    ]
    found = {"replication": headline.replication, "repo": at.repo.repo_id, "commit": at.commit.oid}
    scores = [msgspec.to_builtins(score) for outcome in outcomes for score in outcome.scores]
    return {**found, **msgspec.to_builtins(judgement), "outcomes": each, "scores": scores}
