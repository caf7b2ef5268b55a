"""Workers: lanes, what a job says, databases that go away, and processes that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from seedstock.core.clock import now_ms
from seedstock.db import job_attempts, job_claims
from seedstock.db.engine import Database
from seedstock.jobs import attempt
from seedstock.jobs.kinds import JobContext, JobKind, Lane
from seedstock.jobs.queue import Queue
from seedstock.jobs.worker import Worker
from tests.unit.jobs.conftest import is_alive, read, until

ROOT = Path(__file__).parents[3]
LEASE_MS = int(attempt.FIRST_LEASE_S * 1000)


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database, now_ms)


@contextmanager
def working(worker: Worker, stop: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def kinds(*given: JobKind) -> dict[str, JobKind]:
    return {kind.name: kind for kind in given}


def test_quick_jobs_do_not_wait_behind_slow_ones(database: Database, queue: Queue, tmp_path: Path) -> None:
    stop, release = threading.Event(), threading.Event()
    slow = JobKind("slow", lambda *_: release.wait(20) and None, lane=Lane.SLOW)
    worker = Worker(database, kinds(slow, JobKind("quick", lambda *_: None)), tmp_path, now_ms, stop)
    with working(worker, stop):
        long = queue.enqueue("slow", {})
        until(lambda: queue.get(long).state == "running")
        short = queue.enqueue("quick", {})
        until(lambda: queue.get(short).state == "done")
        assert queue.get(long).state == "running"
        release.set()
        until(lambda: queue.get(long).state == "done")


def test_a_running_job_hears_of_its_cancellation(database: Database, queue: Queue, tmp_path: Path) -> None:
    stop = threading.Event()

    def work(context: JobContext, _spec: dict[str, Any]) -> None:
        until(context.cancelled)

    with working(Worker(database, kinds(JobKind("k", work)), tmp_path, now_ms, stop), stop):
        number = queue.enqueue("k", {})
        until(lambda: queue.get(number).state == "running")
        queue.cancel(number)
        until(lambda: queue.get(number).state == "cancelled")


def test_a_stopping_worker_finishes_quick_jobs_and_gives_slow_ones_back(
    database: Database, queue: Queue, tmp_path: Path
) -> None:
    stop, begun = threading.Event(), threading.Barrier(3)

    def slow(context: JobContext, _spec: dict[str, Any]) -> None:
        begun.wait(20)
        until(context.cancelled)

    def quick(context: JobContext, _spec: dict[str, Any]) -> dict[str, Any]:
        begun.wait(20)
        stop.wait(20)
        return {"told": context.cancelled()}

    given = kinds(JobKind("slow", slow, lane=Lane.SLOW), JobKind("quick", quick))
    numbers = [queue.enqueue("slow", {}), queue.enqueue("quick", {})]
    with working(Worker(database, given, tmp_path, now_ms, stop), stop):
        begun.wait(20)
    slow_job, quick_job = (queue.get(number) for number in numbers)
    assert (slow_job.state, slow_job.attempts) == ("queued", 0)
    assert (quick_job.state, quick_job.result) == ("done", {"told": False})


def test_what_a_job_says_is_seen_while_it_runs(database: Database, queue: Queue, tmp_path: Path) -> None:
    stop, release = threading.Event(), threading.Event()

    def work(context: JobContext, _spec: dict[str, Any]) -> None:
        for step in range(100):
            context.progress(step / 100)
            context.log(f"step {step}")
        release.wait(20)
        context.log("last word")

    with working(Worker(database, kinds(JobKind("k", work)), tmp_path, now_ms, stop), stop):
        number = queue.enqueue("k", {})
        until(lambda: len(queue.log(number)) == 100)
        assert queue.get(number).progress == {"fraction": 0.99, "message": ""}
        release.set()
        until(lambda: queue.get(number).state == "done")
    assert [text for _, _, text in queue.log(number)][-2:] == ["step 99", "last word"]


def test_an_unexpected_exception_leaves_its_traceback_in_the_log(
    database: Database, queue: Queue, tmp_path: Path
) -> None:
    def work(_context: JobContext, _spec: dict[str, Any]) -> None:
        raise ZeroDivisionError("first line\nsecond line")

    number = queue.enqueue("k", {}, max_attempts=1)
    Worker(database, kinds(JobKind("k", work)), tmp_path, now_ms, threading.Event()).step()
    assert queue.get(number).error == "ZeroDivisionError: first line"
    assert "in work" in queue.log(number)[0][2]


class Flaky(Database):
    """A database that can be made to break off in the middle of transactions."""

    broken = 0

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        with super().write() as connection:
            yield connection
            if self.broken:
                self.broken -= 1
                raise sa.exc.OperationalError("COMMIT", {}, Exception("server closed the connection"))


@pytest.fixture
def flaky(database_url: str) -> Iterator[Flaky]:
    database = Flaky(database_url)
    yield database
    database.close()


def test_an_outcome_is_written_once_the_database_is_back(flaky: Flaky, tmp_path: Path) -> None:
    queue, ran = Queue(flaky, now_ms), []

    def work(context: JobContext, _spec: dict[str, Any]) -> None:
        ran.append(1)
        context.log("kept")
        flaky.broken = 3

    number = queue.enqueue("k", {})
    Worker(flaky, kinds(JobKind("k", work)), tmp_path, now_ms, threading.Event()).step()
    assert (queue.get(number).state, len(ran)) == ("done", 1)
    assert [text for _, _, text in queue.log(number)] == ["kept"]


def test_a_worker_outlives_a_database_that_breaks_off(flaky: Flaky, tmp_path: Path) -> None:
    queue, stop = Queue(flaky, now_ms), threading.Event()
    number = queue.enqueue("k", {})
    flaky.broken = 2
    worker = Worker(flaky, kinds(JobKind("k", lambda *_: None)), tmp_path, now_ms, stop)
    with working(worker, stop):
        until(lambda: queue.get(number).state == "done")


def test_a_lease_that_could_not_be_extended_is_lost(
    flaky: Flaky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker may run the job by then, so this one must stop."""
    monkeypatch.setattr(attempt, "FIRST_LEASE_S", 0.3)
    monkeypatch.setattr(attempt, "_TICK_S", 0.01)
    monkeypatch.setattr(attempt, "_LONGEST_SILENCE_S", 0.05)
    queue, heard = Queue(flaky, now_ms), []

    def work(context: JobContext, _spec: dict[str, Any]) -> None:
        flaky.broken = 10**9
        until(context.cancelled)
        heard.append(1)
        flaky.broken = 0

    queue.enqueue("k", {})
    Worker(flaky, kinds(JobKind("k", work)), tmp_path, now_ms, threading.Event()).step()
    assert heard


@contextmanager
def worker_process(url: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.unit.jobs.worker_process", url, str(folder)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def pid_of(folder: Path, number: int) -> Callable[[], str]:
    return lambda: read(folder / str(number) / "pid")


def test_the_job_of_a_killed_worker_dies_with_it_and_runs_elsewhere(
    database: Database, queue: Queue, tmp_path: Path
) -> None:
    folder = tmp_path / "jobs"
    number = queue.enqueue("sleep", {})
    with worker_process(database.url, folder) as process:
        until(pid_of(folder, number))
        process.kill()
        process.wait()
    until(lambda: not is_alive(int(pid_of(folder, number)())))
    elsewhere = kinds(JobKind("sleep", lambda *_: {"by": "another"}))
    early = Worker(database, elsewhere, folder, now_ms, threading.Event())
    assert not early.step(), "the lease still holds"
    later = Worker(database, elsewhere, folder, lambda: now_ms() + LEASE_MS + 1000, threading.Event())
    assert later.step()
    job = queue.get(number)
    assert (job.state, job.attempts, job.result) == ("done", 2, {"by": "another"})


def test_sigterm_lets_a_job_save_its_state_and_gives_it_back(
    database: Database, queue: Queue, tmp_path: Path
) -> None:
    number = queue.enqueue("save", {})
    for expected in (("queued", 0, None), ("done", 1, {"resumed": "yes"})):
        with worker_process(database.url, tmp_path) as process:
            if expected[0] == "queued":
                until(pid_of(tmp_path, number))
            else:
                until(lambda: queue.get(number).state == "done")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        job = queue.get(number)
        assert (job.state, job.attempts, job.result) == expected
    assert not (tmp_path / str(number)).exists()


def test_outcomes_of_a_taken_over_job_are_dropped(database: Database, queue: Queue, tmp_path: Path) -> None:
    def work(_context: JobContext, _spec: dict[str, Any]) -> dict[str, Any]:
        with database.write() as connection:
            job_attempts.expire(connection, now_ms() + LEASE_MS + 1000)
            assert job_claims.claim(connection, "other", now_ms() + 2 * LEASE_MS, 1000) is not None
        return {"by": "the slow one"}

    number = queue.enqueue("k", {})
    Worker(database, kinds(JobKind("k", work)), tmp_path, now_ms, threading.Event()).step()
    job = queue.get(number)
    assert (job.state, job.lease_owner, job.result) == ("running", "other", None)
