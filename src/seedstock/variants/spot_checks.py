"""Spot checks of variants: one segment of a job's training, picked at random by the hub, run again and held against
the chain in the run's published record.

What a check found is the result of its job. It shows something of that one segment and nothing of the others, so it is
never called a proof.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any

import msgspec

from seedstock.accounts.permissions import check_may_change
from seedstock.accounts.service import Accounts
from seedstock.adapt.launch import Launcher, StageStopped
from seedstock.adapt.spot_check import segments
from seedstock.core.errors import Conflict, Invalid, NotFound, RepoNotFound
from seedstock.core.names import RepoId
from seedstock.core.viewer import Viewer
from seedstock.db import jobs as rows
from seedstock.db.engine import Database
from seedstock.db.jobs import JobRow
from seedstock.db.repos import repos_by_id
from seedstock.hub.reading import Reading
from seedstock.hub.repos import Repos, repo_id_of
from seedstock.jobs.kinds import JobContext
from seedstock.jobs.service import Jobs
from seedstock.openness.hub_records import HubRecords
from seedstock.openness.records import inspect_record
from seedstock.recipes.platform import platform_class
from seedstock.recipes.record import RunRecord, read_run
from seedstock.variants.inputs import Materialiser
from seedstock.variants.kept import Kept, KeptRuns
from seedstock.variants.plan import Plan
from seedstock.variants.result import RECORD_FILE
from seedstock.variants.service import ADAPT_MODEL
from seedstock.variants.spot_check_run import Finding, Segment, SegmentRun, chain_of, statement_of

SPOT_CHECK = "spot_check"
_SHOWN = 200


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A spot check, whatever became of it."""

    number: int
    """Of its own job."""
    state: str
    ran_by: str
    at_ms: int
    segment: Segment
    finding: Finding | None


class SpotChecks:
    """Starts, runs and shows spot checks."""

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        repos: Repos,
        reading: Reading,
        inputs: Materialiser,
        jobs: Jobs,
        records: HubRecords,
        kept: KeptRuns,
        launcher: Launcher,
        memory_bytes: int | None,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._repos = repos
        self._reading = reading
        self._inputs = inputs
        self._jobs = jobs
        self._records = records
        self._kept = kept
        self._launcher = launcher
        self._memory_bytes = memory_bytes

    def find_kept(self, viewer: Viewer, job_id: int) -> Kept | None:
        """What is kept of a job that the viewer may see. Raises NotFound."""
        return self._kept.find(self._jobs.get(viewer, job_id).id)

    def forget(self, viewer: Viewer, job_id: int) -> None:
        """Remove the checkpoints that are kept of a job. Raises NotFound, Forbidden."""
        job = self._jobs.get(viewer, job_id)
        check_may_change(viewer)
        if not self._kept.forget(job.id):
            raise _not_kept(job)

    def sweep(self) -> int:
        """Remove what is kept of jobs that the hub knows no more, or whose models were deleted; of how many."""

        def known(ids: Collection[int]) -> set[int]:
            homes = {job_id: kept.repo_id for job_id in ids if (kept := self._kept.find(job_id)) is not None}
            with self._database.read() as connection:
                alive = repos_by_id(connection, set(homes.values()))
                there = rows.known(connection, ids)
            return {job_id for job_id in there if job_id not in homes or homes[job_id] in alive}

        return self._kept.sweep(known)

    def start(self, viewer: Viewer, job_id: int, priority: str = "normal") -> tuple[int, Segment]:
        """Pick a segment and queue its check; the number of that job. Segments that nobody checked yet come first.

        Raises NotFound, also where nothing is kept, Forbidden, Conflict while the job is not done, and LimitExceeded.
        """
        job = self._jobs.get(viewer, job_id)
        check_may_change(viewer)
        if job.kind == ADAPT_MODEL and job.state not in {rows.DONE, rows.DEAD, rows.CANCELLED}:
            raise Conflict(f"Job {job.id} is {job.state}", hint="ask again when it is done")
        kept = self._kept.find(job.id)
        if kept is None or job.state != rows.DONE:
            raise _not_kept(job)
        chain = chain_of(self._published(viewer, kept)[1], kept.stage)
        possible = segments(self._kept.place(job.id), chain)
        known = {(check.segment.start, check.segment.stop) for check in self.of_job(viewer, job_id)}
        start, stop = random.SystemRandom().choice([one for one in possible if one not in known] or possible)
        segment = Segment(
            job=job.id, commit=kept.commit, stage=kept.stage, start=start, stop=stop, segments=len(chain)
        )
        number = self._jobs.enqueue(
            viewer,
            SPOT_CHECK,
            {"account": viewer.name, "segment": msgspec.to_builtins(segment)},
            priority=priority,
            repo_id=kept.repo_id,
            max_attempts=3,
        )
        return number, segment

    def run(self, context: JobContext, spec: dict[str, Any]) -> dict[str, Any] | None:
        """The job. None when it was told to stop. Every right is checked anew."""
        viewer = self._accounts.viewer_for_job(spec["account"])
        segment = msgspec.convert(spec["segment"], Segment)
        job = self._jobs.get(viewer, segment.job)
        kept = self._kept.find(job.id)
        if kept is None:
            raise _not_kept(job)
        repo, published = self._published(viewer, kept)
        again = SegmentRun(
            context,
            msgspec.convert(job.spec["plan"], Plan),
            job.spec["target"],
            kept,
            self._kept.place(job.id),
            segment,
            lambda pinned, folder: self._inputs.place(viewer, pinned, folder),
        )
        try:
            found = again.run(chain_of(published, kept.stage), self._launcher, self._memory_bytes)
        except StageStopped:
            return None
        except FileNotFoundError:
            if self._kept.find(job.id) is None:
                raise _not_kept(job) from None
            raise
        finding = Finding(
            agrees=found.agrees,
            start_as_recorded=found.start_as_recorded,
            recorded=found.recorded,
            seen=found.seen,
            same_platform=platform_class(found.platform) == published.platform_class,
        )
        signed = self._records.sign(statement_of(segment, finding, repo, viewer.name))
        found_out: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(finding, record=signed))
        return found_out

    def of_job(self, viewer: Viewer, job_id: int) -> list[Check]:
        """Spot checks of a job that the viewer may see, newest first. Raises NotFound."""
        told = (self._jobs.get(viewer, job_id).result or {}).get("checkpoints")
        found = self._about(told["repo_id"]) if told else []
        return [check for check in found if check.segment.job == job_id]

    def of(self, viewer: Viewer, repo_id: RepoId) -> list[Check]:
        """Spot checks of the runs that a repo was published from, for whoever may read it. Raises RepoNotFound."""
        return self._about(self._repos.get(viewer, repo_id).id)

    def get(self, viewer: Viewer, repo_id: RepoId, number: int) -> Finding:
        """What one of them found. Raises RepoNotFound, NotFound."""
        found = next((check.finding for check in self.of(viewer, repo_id) if check.number == number), None)
        if found is None:
            raise NotFound(f"{repo_id} has no spot check {number} that has ended")
        return found

    def _about(self, repo_id: int) -> list[Check]:
        with self._database.read() as connection:
            return [check_of(row) for row in rows.list_about(connection, repo_id, SPOT_CHECK, _SHOWN)]

    def _published(self, viewer: Viewer, kept: Kept) -> tuple[str, RunRecord]:
        """The repo that a run was published in, and the record of the run there."""
        repo = self._repos.by_id(viewer, [kept.repo_id]).get(kept.repo_id)
        if repo is None:
            raise RepoNotFound("The repository that the run was published in is gone")
        found = self._reading.file(viewer, repo_id_of(repo), f"{kept.commit}/{RECORD_FILE}")
        if found.data is None:
            raise Invalid(f"{RECORD_FILE} is stored as a large file")
        return repo.repo_id, read_run(inspect_record(found.data))


def check_of(row: JobRow) -> Check:
    """A job of this kind as the spot check that it is."""
    return Check(
        number=row.id,
        state=row.state,
        ran_by=row.spec["account"],
        at_ms=row.finished_at or row.created_at,
        segment=msgspec.convert(row.spec["segment"], Segment),
        finding=msgspec.convert(row.result, Finding) if row.state == rows.DONE and row.result else None,
    )


def _not_kept(job: JobRow) -> NotFound:
    """In one line, and what to do, whatever the reason."""
    if (job.result or {}).get("checkpoints"):
        return NotFound(
            f"The checkpoints of job {job.id} are not kept any more",
            hint="the oldest make room for newer ones; make the variant again to check it",
        )
    return NotFound(
        f"Job {job.id} kept no checkpoints",
        hint="ask for them when a variant is made: seedstock adapt --keep-checkpoints",
    )
