"""The queue and its workers, on both databases."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seedstock.core.errors import (
    Conflict,
    DigestMismatch,
    Forbidden,
    GatedRepo,
    Invalid,
    NotFound,
    RepoNotFound,
    Unauthenticated,
    Unavailable,
)
from seedstock.db import job_attempts, job_claims
from seedstock.db.engine import Database
from seedstock.jobs.kinds import JobContext, JobKind
from seedstock.jobs.queue import Queue
from seedstock.jobs.worker import Worker

HERE = "tests.unit.jobs.entries"


class Time:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def queue(database: Database, clock: Time) -> Queue:
    return Queue(database, clock)


def worker(database: Database, clock: Callable[[], int], folder: Path, *kinds: JobKind) -> Worker:
    return Worker(database, {kind.name: kind for kind in kinds}, folder, clock, threading.Event())


def test_a_job_runs_once_and_its_result_is_kept(
    database: Database, clock: Time, queue: Queue, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def work(context: JobContext, spec: dict[str, Any]) -> dict[str, Any]:
        context.log("hello")
        seen.append(spec)
        return {"ok": 1}

    number = queue.enqueue("k", {"x": 1})
    hand = worker(database, clock, tmp_path, JobKind("k", work))
    assert hand.step()
    assert not hand.step()
    job = queue.get(number)
    assert (job.state, job.result, job.attempts) == ("done", {"ok": 1}, 1)
    assert [text for _, _, text in queue.log(number)] == ["hello"]
    assert seen == [{"x": 1}]


def test_two_workers_never_run_one_job(database: Database, queue: Queue, tmp_path: Path) -> None:
    ran: list[int] = []
    lock = threading.Lock()

    def work(_context: JobContext, spec: dict[str, Any]) -> None:
        with lock:
            ran.append(spec["n"])

    for n in range(40):
        queue.enqueue("k", {"n": n})
    clock = queue._clock

    def drain() -> None:
        hand = worker(database, clock, tmp_path, JobKind("k", work))
        while hand.step():
            pass

    threads = [threading.Thread(target=drain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran) == list(range(40))


def test_queued_twins_are_one(database: Database, clock: Time, queue: Queue, tmp_path: Path) -> None:
    first = queue.enqueue("k", {}, dedup_key="same")
    assert queue.enqueue("k", {}, dedup_key="same") == first
    worker(database, clock, tmp_path, JobKind("k", lambda *_: None)).step()
    assert queue.enqueue("k", {}, dedup_key="same") != first


def test_failures_back_off_and_then_die(
    database: Database, clock: Time, queue: Queue, tmp_path: Path
) -> None:
    def work(_context: JobContext, _spec: dict[str, Any]) -> None:
        raise Unavailable("not now", hint="wait")

    number = queue.enqueue("k", {}, max_attempts=3)
    hand = worker(database, clock, tmp_path, JobKind("k", work, max_attempts=3))
    assert hand.step()
    assert not hand.step(), "a failed job is not due at once"
    for _ in range(2):
        clock.now += 3_600_000
        assert hand.step()
    job = queue.get(number)
    assert (job.state, job.attempts, job.error) == ("dead", 3, "not now (wait)")
    queue.retry(number)
    assert queue.get(number).state == "queued"


@pytest.mark.parametrize("error", [Invalid("no good"), RepoNotFound(), Forbidden("not yours")])
def test_what_another_attempt_cannot_change_is_not_tried_again(
    database: Database, clock: Time, queue: Queue, tmp_path: Path, error: Exception
) -> None:
    def work(_context: JobContext, _spec: dict[str, Any]) -> None:
        raise error

    number = queue.enqueue("k", {}, max_attempts=3)
    assert worker(database, clock, tmp_path, JobKind("k", work, max_attempts=3)).step()
    job = queue.get(number)
    assert (job.state, job.attempts) == ("dead", 1)


def test_a_lost_lease_is_taken_over_and_fenced(database: Database, clock: Time, queue: Queue) -> None:
    number = queue.enqueue("k", {})
    with database.write() as connection:
        assert job_claims.claim(connection, "first", clock(), 1000) is not None
        assert job_claims.claim(connection, "other", clock(), 1000) is None
    clock.now += 2000
    with database.write() as connection:
        assert job_attempts.expire(connection, clock()) == 1
        assert job_claims.claim(connection, "second", clock(), 1000) is not None
    with database.write() as connection:
        assert job_attempts.heartbeat(connection, number, "first", clock() + 1000) is None
        assert not job_attempts.finish(connection, number, "first", "done", clock())
        assert job_attempts.heartbeat(connection, number, "second", clock() + 1000) is False
        assert job_attempts.finish(connection, number, "second", "done", clock())


def test_silence_buries_a_job_that_has_no_attempt_left(database: Database, clock: Time, queue: Queue) -> None:
    number = queue.enqueue("k", {}, max_attempts=1)
    with database.write() as connection:
        job_claims.claim(connection, "first", clock(), 1000)
        job_attempts.expire(connection, clock() + 2000)
    assert queue.get(number).state == "dead"


def test_cancelling(database: Database, clock: Time, queue: Queue, tmp_path: Path) -> None:
    number = queue.enqueue("k", {})
    queue.cancel(number)
    assert queue.get(number).state == "cancelled"
    assert not worker(database, clock, tmp_path, JobKind("k", lambda *_: None)).step()
    with pytest.raises(Conflict):
        queue.cancel(number)
    with pytest.raises(NotFound):
        queue.get(999)


def test_unknown_kinds_are_buried_with_their_name(
    database: Database, clock: Time, queue: Queue, tmp_path: Path
) -> None:
    number = queue.enqueue("from-the-future", {})
    worker(database, clock, tmp_path).step()
    assert "from-the-future" in (queue.get(number).error or "")


def test_housekeeping_is_queued_when_due_and_once(
    database: Database, clock: Time, queue: Queue, tmp_path: Path
) -> None:
    ran: list[int] = []
    kind = JobKind("clean", lambda *_: ran.append(1), every_s=60)
    hands = [worker(database, clock, tmp_path, kind) for _ in range(2)]
    for hand in hands:
        while hand.step():
            pass
    assert len(ran) == 1
    clock.now += 61_000
    for hand in hands:
        while hand.step():
            pass
    assert len(ran) == 2


def run_one(
    database: Database, clock: Time, queue: Queue, folder: Path, kind: JobKind, spec: dict[str, Any]
) -> Any:
    number = queue.enqueue(kind.name, spec, max_attempts=1)
    worker(database, clock, folder, kind).step()
    return queue.get(number)


def test_isolated_jobs(database: Database, clock: Time, queue: Queue, tmp_path: Path) -> None:
    job = run_one(database, clock, queue, tmp_path, JobKind("k", None, f"{HERE}:add"), {"a": 2, "b": 3})
    assert (job.state, job.result) == ("done", {"sum": 5})
    assert job.progress == {"fraction": 0.5, "message": "half"}
    printed = "noise on standard output must not disturb the protocol"
    assert sorted(text for _, _, text in queue.log(job.id)) == ["adding", printed]


@pytest.mark.parametrize(
    ("kind", "error", "state"),
    [
        (JobKind("k", None, f"{HERE}:die"), "killed by SIGKILL", "queued"),
        (JobKind("k", None, f"{HERE}:refuse"), "this spec is no good (write another)", "dead"),
        (JobKind("k", None, f"{HERE}:be_busy"), "the store is away", "queued"),
        (
            JobKind("k", None, f"{HERE}:eat_memory", memory_bytes=1 << 30, memory_hint="eat less"),
            "more memory than its limit of 1,024 MiB (eat less)",
            "dead",
        ),
        (JobKind("k", None, f"{HERE}:sleep", timeout_s=0.5), "longer than its limit", "queued"),
        (JobKind("k", None, f"{HERE}:missing"), "AttributeError", "queued"),
    ],
    ids=["killed", "refused", "busy", "memory", "timeout", "missing"],
)
def test_isolated_jobs_that_fail_say_why_and_run_again_if_that_may_help(
    database: Database, clock: Time, queue: Queue, tmp_path: Path, kind: JobKind, error: str, state: str
) -> None:
    number = queue.enqueue("k", {})
    worker(database, clock, tmp_path, kind).step()
    job = queue.get(number)
    assert error in (job.error or "")
    assert (job.state, job.attempts) == (state, 1)


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (Invalid("no"), "dead"),
        (RepoNotFound(), "dead"),
        (GatedRepo("no"), "dead"),
        (Unauthenticated("no"), "dead"),
        (Unavailable("later"), "queued"),
        (DigestMismatch("damaged"), "queued"),
        (OSError(28, "No space left on device", "/x"), "queued"),
    ],
)
def test_what_trying_again_cannot_change_is_tried_once(
    database: Database, clock: Time, queue: Queue, tmp_path: Path, failure: Exception, state: str
) -> None:
    def work(*_: Any) -> None:
        raise failure

    number = queue.enqueue("k", {})
    worker(database, clock, tmp_path, JobKind("k", work)).step()
    assert queue.get(number).state == state


def test_a_killed_job_resumes_from_its_checkpoint(
    database: Database, clock: Time, queue: Queue, tmp_path: Path
) -> None:
    kind = JobKind("k", None, f"{HERE}:resume")
    number = queue.enqueue("k", {})
    hand = worker(database, clock, tmp_path, kind)
    hand.step()
    clock.now += 3_600_000
    hand.step()
    assert queue.get(number).result == {"from": 7}


def test_a_stopping_worker_gives_its_isolated_job_back(
    database: Database, clock: Time, queue: Queue, tmp_path: Path
) -> None:
    number = queue.enqueue("k", {})
    stop = threading.Event()
    hand = Worker(database, {"k": JobKind("k", None, f"{HERE}:sleep", grace_s=0.1)}, tmp_path, clock, stop)
    thread = threading.Thread(target=hand.step)
    thread.start()
    pid_file = tmp_path / str(number) / "pid"
    deadline = time.monotonic() + 20
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join()
    job = queue.get(number)
    assert (job.state, job.attempts) == ("queued", 0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_waiting_returns_when_nothing_is_left(
    queue: Queue, database: Database, clock: Time, tmp_path: Path
) -> None:
    queue.enqueue("k", {})
    heard: list[int] = []
    hand = worker(database, clock, tmp_path, JobKind("k", lambda *_: None))
    queue.wait(heard.append, pytest.fail, sleep=lambda _: hand.step() and None)
    assert heard == [1, 0]
