"""Takes jobs off the queue and runs them.

A claimed job is leased. A thread extends the lease while the job runs; when a worker dies the lease runs
out and another worker takes the job over, from its state folder if it left something there.
"""

from __future__ import annotations

import logging
import random
import shutil
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seedstock.core.clock import DAY_MS, Clock
from seedstock.core.errors import HubError
from seedstock.db import jobs as rows
from seedstock.db.engine import Database
from seedstock.db.jobs import JobRow
from seedstock.jobs.kinds import JobKind
from seedstock.jobs.sandbox import Interrupted, run_isolated

log = logging.getLogger("seedstock.jobs")

BUSY_POLL_S = 0.02
IDLE_POLL_S = 0.5
_IDLE_AFTER_POLLS = 100
_HOUSEKEEPING_S = 5.0
_BACK_OFF_MS = (1_000, 5_000, 30_000, 120_000, 600_000)
_KEEP_DONE_MS = 14 * DAY_MS


class Attempt:
    """One run of one job: its context, and the lease that it holds."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        job: JobRow,
        owner: str,
        state_dir: Path,
        stop: threading.Event,
    ) -> None:
        self.job = job
        self.owner = owner
        self.lost = threading.Event()
        self.cancel = threading.Event()
        self._database = database
        self._clock = clock
        self._state_dir = state_dir
        self._stop = stop
        self._ended = threading.Event()

    @property
    def job_id(self) -> int:
        """See JobContext."""
        return self.job.id

    @property
    def state_dir(self) -> Path:
        """See JobContext."""
        self._state_dir.mkdir(parents=True, exist_ok=True)
        return self._state_dir

    def log(self, text: str) -> None:
        """See JobContext."""
        with self._database.write() as connection:
            rows.add_log(connection, self.job.id, self._clock(), text)

    def progress(self, fraction: float, message: str = "") -> None:
        """See JobContext."""
        with self._database.write() as connection:
            rows.set_progress(
                connection, self.job.id, self.owner, {"fraction": round(fraction, 4), "message": message}
            )

    def cancelled(self) -> bool:
        """See JobContext."""
        return self.cancel.is_set() or self.lost.is_set()

    def interrupted(self) -> bool:
        """Whether the worker itself is stopping."""
        return self._stop.is_set()

    def keep_lease(self, lease_s: float) -> None:
        """Extend the lease until the attempt ends; run in a thread."""
        while not self._ended.wait(lease_s / 3):
            try:
                with self._database.write() as connection:
                    until = self._clock() + int(lease_s * 1000)
                    asked = rows.heartbeat(connection, self.job.id, self.owner, until)
            except HubError as error:
                log.warning("job %d: no heartbeat: %s", self.job.id, error)
                continue
            if asked is None:
                self.lost.set()
                return
            if asked:
                self.cancel.set()

    def end(self) -> None:
        """Stop extending the lease."""
        self._ended.set()


class Worker:
    """Runs jobs one after another until told to stop."""

    def __init__(
        self,
        database: Database,
        kinds: Mapping[str, JobKind],
        folder: Path,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self._database = database
        self._kinds = kinds
        self._folder = folder
        self._clock = clock
        self._stop = stop
        self._name = uuid.uuid4().hex[:12]
        self._next_housekeeping = 0

    def run(self) -> None:
        """Work until `stop` is set; a database that is away is waited for."""
        idle = 0
        while not self._stop.is_set():
            try:
                busy = self.step()
            except HubError as error:
                log.warning("worker waits: %s", error)
                busy, idle = False, _IDLE_AFTER_POLLS
            idle = 0 if busy else idle + 1
            if not busy:
                self._stop.wait(BUSY_POLL_S if idle < _IDLE_AFTER_POLLS else IDLE_POLL_S)

    def step(self) -> bool:
        """Run one job if one is due; whether there was one."""
        if self._clock() >= self._next_housekeeping:
            self._next_housekeeping = self._clock() + int(_HOUSEKEEPING_S * 1000)
            self._keep_house()
        with self._database.read() as connection:
            if not rows.has_due(connection, self._clock()):
                return False
        owner = f"{self._name}-{uuid.uuid4().hex[:12]}"
        with self._database.write() as connection:
            job = rows.claim(connection, owner, self._clock(), lease_ms=60_000)
        if job is None:
            return False
        self._run(job, owner)
        return True

    def _keep_house(self) -> None:
        at = self._clock()
        with self._database.write() as connection:
            rows.expire(connection, at)
            rows.prune(connection, at - _KEEP_DONE_MS)
            for kind in self._kinds.values():
                last = rows.newest_of_kind(connection, kind.name) if kind.every_s else None
                if kind.every_s and (last is None or last + kind.every_s * 1000 <= at):
                    key = f"every:{kind.name}"
                    rows.enqueue(
                        connection,
                        kind.name,
                        {},
                        at=at,
                        max_attempts=kind.max_attempts,
                        priority=-10,
                        dedup_key=key,
                    )

    def _run(self, job: JobRow, owner: str) -> None:
        kind = self._kinds.get(job.kind)
        if kind is None:
            self._end(
                job, owner, rows.DEAD, error=f"This version of Seedstock has no jobs of kind {job.kind!r}"
            )
            return
        state_dir = self._folder / str(job.id)
        attempt = Attempt(self._database, self._clock, job, owner, state_dir, self._stop)
        keeper = threading.Thread(target=attempt.keep_lease, args=(kind.lease_s,), daemon=True)
        keeper.start()
        try:
            result = run_isolated(kind, attempt) if kind.work is None else kind.work(attempt, job.spec)
        except Interrupted:
            self._give_back(job, owner)
        except Exception as error:  # noqa: BLE001 - whatever a job raises is its own failure, not the worker's
            self._fail(job, owner, kind, error, attempt)
        else:
            state = rows.CANCELLED if attempt.cancel.is_set() else rows.DONE
            self._end(job, owner, state, result=result)
            shutil.rmtree(state_dir, ignore_errors=True)
        finally:
            attempt.end()
            keeper.join()

    def _fail(self, job: JobRow, owner: str, kind: JobKind, error: Exception, attempt: Attempt) -> None:
        text = f"{type(error).__name__}: {error}" if not isinstance(error, HubError) else error.message
        if not isinstance(error, HubError):
            log.error("job %d (%s) failed", job.id, job.kind, exc_info=error)
        if attempt.cancel.is_set():
            self._end(job, owner, rows.CANCELLED, error=text)
        elif job.attempts >= min(job.max_attempts, kind.max_attempts):
            self._end(job, owner, rows.DEAD, error=text)
        else:
            back_off = _BACK_OFF_MS[min(job.attempts, len(_BACK_OFF_MS)) - 1]
            jitter = random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, guards nothing
            with self._database.write() as connection:
                after = self._clock() + int(back_off * jitter)
                rows.give_back(connection, job.id, owner, after, error=text, counts=True)

    def _give_back(self, job: JobRow, owner: str) -> None:
        with self._database.write() as connection:
            rows.give_back(connection, job.id, owner, self._clock(), error=None, counts=False)

    def _end(
        self,
        job: JobRow,
        owner: str,
        state: str,
        *,
        result: dict[str, Any] | None = None,
        error: str | None = None,
    ) -> None:
        with self._database.write() as connection:
            if not rows.finish(connection, job.id, owner, state, self._clock(), result=result, error=error):
                log.warning("job %d was taken over by another worker; this result is dropped", job.id)
