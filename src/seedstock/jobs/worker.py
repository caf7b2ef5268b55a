"""Takes jobs off the queue and runs them.

A claimed job is leased. A thread extends the lease while the job runs; when a worker dies the lease runs
out and another worker takes the job over, from its state folder if it left something there. Quick jobs run
one after another in one lane, slow ones and trainings in lanes of their own.
"""

from __future__ import annotations

import logging
import random
import shutil
import threading
import traceback
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from seedstock.core.clock import DAY_MS, Clock
from seedstock.core.errors import HubError
from seedstock.db import job_attempts, job_claims
from seedstock.db import jobs as rows
from seedstock.db.engine import Database
from seedstock.db.jobs import JobRow
from seedstock.jobs.attempt import FIRST_LEASE_S, Attempt
from seedstock.jobs.failures import in_one_line, is_final
from seedstock.jobs.kinds import JobKind, Lane
from seedstock.jobs.sandbox import Interrupted, run_isolated

log = logging.getLogger("seedstock.jobs")

LANES = {Lane.SLOW: 1, Lane.TRAINING: 1}
BUSY_POLL_S = 0.02
IDLE_POLL_S = 0.5
_IDLE_GROWTH = 1.25
"""A poll costs about a millisecond of CPU: in the two seconds after a job 15 of them, where equal pauses made 100."""
_HOUSEKEEPING_MS = 5_000
_PRUNE_MS = 3_600_000
_BACK_OFF_MS = (1_000, 5_000, 30_000, 120_000, 600_000)
_KEEP_DONE_MS = 14 * DAY_MS
_HOUSEKEEPING_PRIORITY = -10


class Worker:
    """Runs jobs until told to stop."""

    def __init__(
        self,
        database: Database,
        kinds: Mapping[str, JobKind],
        folder: Path,
        clock: Clock,
        stop: threading.Event,
        *,
        lanes: Mapping[Lane, int] = LANES,
        most_per_account: int = 2,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._kinds = kinds
        self._folder = folder
        self._clock = clock
        self._stop = stop
        self._slow = frozenset(kind.name for kind in kinds.values() if kind.runs_in is not Lane.QUICK)
        self._lasting = frozenset(kind.name for kind in kinds.values() if kind.lasting)
        self._lanes = lanes
        self._most_per_account = most_per_account
        self._random = random
        self._name = uuid.uuid4().hex[:12]
        self._next_housekeeping = 0
        self._next_prune = 0
        self._next_run: dict[str, int] = {}

    def run(self) -> None:
        """Work until `stop` is set; a database that is away is waited for.

        Then quick jobs are finished, and slow ones given back to the queue once they have saved their state.
        """
        long = [
            names for lane, count in self._lanes.items() for names in [self._in_lane(lane)] * count if names
        ]
        with ThreadPoolExecutor(max(1, len(long)), thread_name_prefix="long-jobs") as pool:
            lanes = [pool.submit(self._lane, only=names) for names in long]
            self._lane(but=self._slow)
        for lane in lanes:
            lane.result()

    def _in_lane(self, lane: Lane) -> frozenset[str]:
        return frozenset(kind.name for kind in self._kinds.values() if kind.runs_in is lane)

    def _lane(self, **which: frozenset[str]) -> None:
        pause_s = BUSY_POLL_S
        try:
            while not self._stop.is_set():
                try:
                    busy = self.step(**which)
                except job_attempts.HICCUPS as error:
                    log.warning("worker waits: %s", error)
                    busy, pause_s = False, IDLE_POLL_S
                if busy:
                    pause_s = BUSY_POLL_S
                    continue
                self._stop.wait(pause_s)
                pause_s = min(pause_s * _IDLE_GROWTH, IDLE_POLL_S)
        finally:
            self._stop.set()  # a lane that broke takes the others along, for somebody to notice

    def step(self, *, only: frozenset[str] | None = None, but: frozenset[str] = frozenset()) -> bool:
        """Run one job if one is due; whether there was one. Of the kinds `only`, accounts get an equal share."""
        most = None if only is None else self._most_per_account
        if only is None:
            self._keep_house()
        with self._database.read() as connection:
            if not job_claims.has_due(connection, self._clock(), only=only, but=but, most_per_account=most):
                return False
        owner = f"{self._name}-{uuid.uuid4().hex[:12]}"
        lease_ms = int(FIRST_LEASE_S * 1000)
        with self._database.write() as connection:
            job = job_claims.claim(
                connection, owner, self._clock(), lease_ms, only=only, but=but, most_per_account=most
            )
        if job is None:
            return False
        self._run(job, owner)
        return True

    def _keep_house(self) -> None:
        at = self._clock()
        if at < self._next_housekeeping:
            return
        with self._database.write() as connection:
            job_attempts.expire(connection, at)
            for kind in self._kinds.values():
                if kind.every_s and at >= self._next_run.get(kind.name, 0):
                    self._next_run[kind.name] = rows.enqueue_if_due(
                        connection,
                        kind.name,
                        int(kind.every_s * 1000),
                        at=at,
                        max_attempts=kind.max_attempts,
                        priority=_HOUSEKEEPING_PRIORITY,
                    )
            if at >= self._next_prune:
                rows.prune(connection, at - _KEEP_DONE_MS, but=self._lasting)
                self._next_prune = at + _PRUNE_MS
        self._next_housekeeping = at + _HOUSEKEEPING_MS

    def _run(self, job: JobRow, owner: str) -> None:
        kind = self._kinds.get(job.kind)
        # Quick jobs are finished before the worker stops, so they are not told.
        stop = self._stop if kind and kind.name in self._slow else threading.Event()
        attempt = Attempt(self._database, self._clock, job, owner, self._folder, stop)
        if kind is None:
            text = f"This version of Seedstock has no jobs of kind {job.kind!r}"
            self._end(attempt, rows.DEAD, error=text)
            return
        keeper = threading.Thread(target=attempt.keep_lease, args=(kind.lease_s,), daemon=True)
        keeper.start()
        result: dict[str, Any] | None = None
        failure: Exception | None = None
        try:
            result = run_isolated(kind, attempt) if kind.work is None else kind.work(attempt, job.spec)
        except Exception as error:  # noqa: BLE001 - whatever a job raises is its own failure, not the worker's
            failure = error
        finally:
            attempt.end()
            keeper.join()
        self._settle(attempt, kind, result, failure)

    def _settle(
        self, attempt: Attempt, kind: JobKind, result: dict[str, Any] | None, failure: Exception | None
    ) -> None:
        """Say how an attempt ended: cancelled, interrupted, failed or done, in this order."""
        job = attempt.job
        if failure and not isinstance(failure, HubError | Interrupted):
            attempt.log("".join(traceback.format_exception(failure)).rstrip())
            log.error("job %d (%s) failed", job.id, job.kind, exc_info=failure)
        text = None if failure is None else in_one_line(failure)
        if attempt.cancel.is_set():
            self._end(attempt, rows.CANCELLED, result=result, error=text)
        elif isinstance(failure, Interrupted) or attempt.told_to_stop:
            self._give_back(attempt, self._clock(), error=None, counts=False)
        elif failure is None:
            self._end(attempt, rows.DONE, result=result)
        elif is_final(failure) or job.attempts >= min(job.max_attempts, kind.max_attempts):
            self._end(attempt, rows.DEAD, error=text)
        else:
            back_off = _BACK_OFF_MS[min(job.attempts, len(_BACK_OFF_MS)) - 1]
            after = self._clock() + int(back_off * (0.8 + 0.4 * self._random()))
            self._give_back(attempt, after, error=text, counts=True)

    def _give_back(self, attempt: Attempt, run_after: int, *, error: str | None, counts: bool) -> None:
        self._write(
            attempt,
            lambda connection: job_attempts.give_back(
                connection, attempt.job.id, attempt.owner, run_after, error=error, counts=counts
            ),
        )

    def _end(
        self,
        attempt: Attempt,
        state: str,
        *,
        result: dict[str, Any] | None = None,
        error: str | None = None,
    ) -> None:
        ended = self._write(
            attempt,
            lambda connection: job_attempts.finish(
                connection, attempt.job.id, attempt.owner, state, self._clock(), result=result, error=error
            ),
        )
        if ended and state != rows.DEAD:  # a dead one may be retried from its state
            shutil.rmtree(self._folder / str(attempt.job.id), ignore_errors=True)

    def _write(self, attempt: Attempt, change: Callable[[sa.Connection], bool]) -> bool:
        """Write the outcome, again while the database is away and the lease still holds."""
        pause_s = 0.05
        while True:
            try:
                with self._database.write() as connection:
                    attempt.store_rest(connection)
                    kept = change(connection)
            except job_attempts.HICCUPS as error:
                if attempt.lease_is_over():
                    log.error("job %d: its outcome is lost, it will run again: %s", attempt.job.id, error)
                    return False
                attempt.lost.wait(pause_s)
                pause_s = min(2 * pause_s, 2.0)
                continue
            if not kept:
                log.warning("job %d was taken over by another worker; this result is dropped", attempt.job.id)
            return kept
