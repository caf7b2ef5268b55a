"""Replications that a user asks for: what would run, the job that runs and judges it, and the records that it leaves."""

from __future__ import annotations

from typing import Any

import msgspec

from seedstock.accounts.permissions import Action, check
from seedstock.accounts.service import Accounts
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
from seedstock.recipes.reading import read_recipe, recipe_digest
from seedstock.recipes.recipe import Recipe
from seedstock.recipes.record import sign_run
from seedstock.replications.request import Request, part_for, published_stage
from seedstock.replications.run import ReplicationRun, Workplace
from seedstock.replications.sources import Sources

REPLICATE_MODEL = "replicate_model"
RECIPE_FILE = "recipe.toml"
_SHOWN = 200


class ReplicationProposal(msgspec.Struct, frozen=True):
    """What would run."""

    repo: str
    commit: str
    stage: str
    recipe: Recipe
    changes: tuple[str, ...]
    """Inputs that are not as pinned, or cannot be had by the viewer: the run would fail for them."""
    foreign_code: tuple[str, ...]


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
        stage = request.stage or published_stage(recipe, at.repo.repo_id)
        part = part_for(recipe, stage)
        found = self._sources.find(viewer, at, part, code_allowed=viewer.is_admin)
        changes = tuple(str(change) for change in found.changes)
        return ReplicationProposal(at.repo.repo_id, at.commit.oid, stage, part, changes, part.foreign_code)

    def start(self, viewer: Viewer, repo_id: RepoId, request: Request) -> tuple[int, ReplicationProposal]:
        """Queue a replication; its number. Raises like `propose`, and LimitExceeded."""
        proposal = self.propose(viewer, repo_id, request)
        repo = self._repos.get(viewer, repo_id, Action.DOWNLOAD)
        job = {
            "account": viewer.name,
            "repo_id": repo.id,
            "commit": proposal.commit,
            "stage": proposal.stage,
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
        request = msgspec.convert(job["request"], Request)
        recipe = part_for(self._recipe(viewer, at), job["stage"])
        found = self._sources.find(viewer, at, recipe, code_allowed=viewer.is_admin)
        run = ReplicationRun(self._workplace, context, recipe, job["stage"], request, found)
        finished = run.run(
            lambda folder: self._sources.original(viewer, at, folder), self._records.key.public.id
        )
        if finished is None:
            return None
        assert finished.judgement is not None
        envelope = sign_run(finished, self._records.key).decode()
        with self._database.write() as connection:
            number = rows.add_replication(
                connection,
                repo_id=repo.id,
                commit=at.commit.oid,
                recipe_digest=recipe_digest(recipe),
                stage=job["stage"],
                verdict=finished.judgement.verdict.value,
                trust=finished.trust.label,
                ran_by=viewer.name,
                smoke=request.smoke,
                record=envelope,
                created_at=self._clock(),
            )
        judgement = msgspec.to_builtins(finished.judgement)
        scores = msgspec.to_builtins(finished.scores)
        where = {"replication": number, "repo": at.repo.repo_id, "commit": at.commit.oid}
        return {**where, "scores": scores, **judgement}

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
