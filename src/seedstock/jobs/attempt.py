"""One run of one job: what the job is told and says, and the lease that makes it this worker's.

What the job says is kept in memory and stored with the heartbeats, in one transaction a second at most:
a job that reports every step costs the database no more than one that is silent.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from seedstock.core.clock import Clock
from seedstock.db import job_attempts
from seedstock.db import job_events as events
from seedstock.db.engine import Database
from seedstock.db.jobs import JobRow
from seedstock.jobs.events import Said, Stream, clean_text

log = logging.getLogger("seedstock.jobs")

FIRST_LEASE_S = 60.0
_TICK_S = 1.0
_LEAST_DONE, _LEAST_SPENT_S = 0.005, 3.0  # an estimate from less would jump about
_LONGEST_SILENCE_S = 20.0  # a third of the first lease


class Pace:
    """Estimates how long the rest takes from what this attempt has done; a resumed one began in the middle."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None

    def seconds_left(self, fraction: float) -> float | None:
        """Seconds until 1.0 at the pace so far; None while too little is known."""
        now_s = time.monotonic()
        if self._began is None or fraction < self._began[0]:  # a new stage counts from 0 again
            self._began = (fraction, now_s)
        first, since_s = self._began
        done, spent_s = fraction - first, now_s - since_s
        if done < _LEAST_DONE or spent_s < _LEAST_SPENT_S:
            return None
        return spent_s * max(0.0, 1.0 - fraction) / done


class Attempt:
    """A claimed job, its context and its lease."""

    def __init__(
        self, database: Database, clock: Clock, job: JobRow, owner: str, folder: Path, stop: threading.Event
    ) -> None:
        self.job = job
        self.owner = owner
        self.lost = threading.Event()
        self.cancel = threading.Event()
        self.told_to_stop = False
        """Whether the job was told that its worker is stopping: it may have returned early then."""
        self._database = database
        self._clock = clock
        self._state_dir = folder / str(job.id)
        self._stop = stop
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._stream = Stream(clock)
        self._progress: dict[str, Any] | None = None
        self._pace = Pace()
        self._lease_ends_s = time.monotonic() + FIRST_LEASE_S

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
        self._stream.log(text)

    def event(self, kind: str, data: dict[str, Any]) -> None:
        """See JobContext."""
        self._stream.event(kind, data)

    def progress(self, fraction: float, message: str = "") -> None:
        """See JobContext."""
        with self._lock:
            left_s = self._pace.seconds_left(fraction)
            self._progress = {"fraction": round(fraction, 4), "message": clean_text(message)} | (
                {} if left_s is None else {"eta_s": round(left_s)}
            )

    def cancelled(self) -> bool:
        """See JobContext."""
        if self._stop.is_set():
            self.told_to_stop = True
        return self.told_to_stop or self.cancel.is_set() or self.lost.is_set()

    def interrupted(self) -> bool:
        """Whether the worker itself is stopping."""
        return self._stop.is_set()

    def keep_lease(self, lease_s: float) -> None:
        """Extend the lease and store what the job says until the attempt ends; run in a thread.

        A lease that could not be extended in time is lost, for another worker may have taken the job.
        """
        silence_s = min(lease_s / 3, _LONGEST_SILENCE_S)
        beat_at_s = time.monotonic() + silence_s
        while not self._ended.wait(min(_TICK_S, silence_s)):
            try:
                if time.monotonic() >= beat_at_s or self._stream or self._progress:
                    beat_at_s = time.monotonic() + silence_s
                    asked = self._beat(lease_s)
                else:
                    with self._database.read() as connection:
                        asked = job_attempts.look(connection, self.job.id, self.owner)
            except job_attempts.HICCUPS as error:
                log.warning("job %d: no heartbeat: %s", self.job.id, error)
                beat_at_s = 0.0
                asked = None if self.lease_is_over() else False
            if asked is None:
                self.lost.set()
                return
            if asked:
                self.cancel.set()

    def lease_is_over(self) -> bool:
        """Whether the lease ran out, as far as this worker knows."""
        return time.monotonic() > self._lease_ends_s

    def _beat(self, lease_s: float) -> bool | None:
        began_s = time.monotonic()
        said = self._stream.take()
        with self._lock:
            progress, self._progress = self._progress, None
        try:
            with self._database.write() as connection:
                until = self._clock() + int(lease_s * 1000)
                asked = job_attempts.heartbeat(connection, self.job.id, self.owner, until)
                if asked is not None:
                    self._store(connection, said, progress)
        except job_attempts.HICCUPS:
            self._stream.put_back(said)
            with self._lock:
                self._progress = self._progress or progress
            raise
        self._lease_ends_s = began_s + lease_s
        return asked

    def _store(self, connection: sa.Connection, said: list[Said], progress: dict[str, Any] | None) -> None:
        events.add(connection, self.job.id, [(one.at, one.kind, one.text, one.data) for one in said])
        if progress:
            job_attempts.set_progress(connection, self.job.id, self.owner, progress)

    def end(self) -> None:
        """Stop extending the lease."""
        self._ended.set()

    def store_rest(self, connection: sa.Connection) -> None:
        """Store what the job said last, in the transaction that ends the attempt; after `end`."""
        if not (self._stream or self._progress):  # most quick jobs are silent: no query for them
            return
        said = self._stream.take()
        try:
            # Locked, so that no later attempt can have stored anything before this: readers go by the order of ids.
            if job_attempts.hold(connection, self.job.id, self.owner):
                self._store(connection, said, self._progress)
        finally:
            self._stream.put_back(said)  # the transaction may fail yet and be tried again
