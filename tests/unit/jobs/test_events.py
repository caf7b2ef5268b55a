"""What jobs say: one bounded stream in order, the same from both sides of a process, never lost once stored."""

from __future__ import annotations

import math
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from seedstock.core.clock import now_ms
from seedstock.core.errors import Invalid
from seedstock.db import job_events
from seedstock.db.engine import Database
from seedstock.jobs import events
from seedstock.jobs.kinds import JobContext, JobKind
from seedstock.jobs.queue import Queue
from seedstock.jobs.worker import Worker
from tests.unit.jobs.conftest import until
from tests.unit.jobs.test_worker import LEASE_MS, Flaky, kinds, worker_process

HERE = "tests.unit.jobs.entries"


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database, now_ms)


def step(database: Database, folder: Path, kind: JobKind) -> None:
    Worker(database, kinds(kind), folder, now_ms, threading.Event()).step()


def test_events_stand_in_order_among_the_log_lines(database: Database, queue: Queue, tmp_path: Path) -> None:
    number = queue.enqueue("train", {"steps": 10})
    step(database, tmp_path, JobKind("train", None, f"{HERE}:train"))
    assert queue.get(number).result == {"steps": 10, "resumed": 0}
    said = queue.events(number)
    assert [row.kind for row in said[:5]] == ["stage", "metrics", "log", "metrics", "log"]
    assert said[1].data == {"step": 1, "loss": 3.0, "eval_loss": None}
    assert [row.data["step"] for row in said if row.kind == "sample" and row.data] == [10]
    assert [row.text for row in said if row.kind == "log"] == [f"step {n}" for n in range(1, 11)]
    assert queue.events(number, after=said[6].id) == said[7:]


def test_events_of_an_attempt_that_died_stay_and_the_next_goes_on(
    database: Database, queue: Queue, tmp_path: Path
) -> None:
    number = queue.enqueue("train", {"steps": 6, "die_after": 4})
    kind = JobKind("train", None, f"{HERE}:train")
    step(database, tmp_path, kind)
    before = queue.events(number)
    queue.cancel(number)
    queue.retry(number)
    step(database, tmp_path, kind)
    after = queue.events(number)
    assert after[: len(before)] == before
    assert [row.data["step"] for row in after if row.kind == "metrics" and row.data] == [1, 2, 3, 4, 5, 6]
    assert queue.get(number).result == {"steps": 6, "resumed": 4}


def test_events_survive_a_database_that_goes_away(database: Database, queue: Queue, tmp_path: Path) -> None:
    flaky = Flaky(database.url)

    def work(context: JobContext, _spec: dict[str, Any]) -> None:
        for number in range(50):
            context.event("metrics", {"step": number})
        flaky.broken = 4

    number = queue.enqueue("k", {})
    step(flaky, tmp_path, JobKind("k", work))
    flaky.close()
    assert queue.get(number).state == "done"
    assert [row.data for row in queue.events(number)] == [{"step": number} for number in range(50)]


def test_a_flood_is_bounded_and_says_so(database: Database, queue: Queue, tmp_path: Path) -> None:
    def work(context: JobContext, _spec: dict[str, Any]) -> None:
        for number in range(20_000):
            context.log("x" * 10_000)
            context.event("metrics", {"step": number})

    number = queue.enqueue("k", {})
    step(database, tmp_path, JobKind("k", work))
    said = queue.events(number, limit=100_000)
    logs = [row.text for row in said if row.kind == "log"]
    assert len(said) < 18_010  # at most a few heartbeats fit into it
    assert "… lines left out: they came faster than they are stored" in logs
    assert "… metrics left out: they came faster than they are stored" in logs
    assert max(map(len, logs)) == events.MAX_TEXT


def test_what_both_databases_cannot_hold_is_replaced(
    database: Database, queue: Queue, tmp_path: Path
) -> None:
    def work(context: JobContext, _spec: dict[str, Any]) -> None:
        context.log("a\0b\ud800c")
        context.event("sample", {"step": 1, "text": "a\0b\ud800", "deep": {"nan": [math.inf, 1 << 80]}})

    number = queue.enqueue("k", {})
    step(database, tmp_path, JobKind("k", work))
    log, sample = queue.events(number)
    assert log.text == "ab?c"
    assert sample.data == {"step": 1, "text": "ab?", "deep": {"nan": [None, float(1 << 80)]}}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("weather", {}),
        ("log", {}),
        ("metrics", {"loss": 1.0}),
        ("metrics", {"step": 1.5}),
        ("metrics", {"step": True}),
    ],
)
def test_events_that_are_none_are_refused(kind: str, data: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        events.checked_event(kind, data)


def test_a_huge_event_is_stored_as_a_word() -> None:
    huge = {"step": 3} | {f"key {number}": "x" * 4000 for number in range(60)}
    assert events.checked_event("sample", huge) == {"step": 3, "left_out": "too large"}


def test_many_metrics_are_thinned_evenly_with_the_last_kept(database: Database, queue: Queue) -> None:
    number = queue.enqueue("k", {})
    with database.write() as connection:
        said = [(0, "metrics", "", {"step": step}) for step in range(1, 10_001)]
        job_events.add(connection, number, said)
    with database.read() as connection:
        thin = job_events.read_thinned(connection, number, "metrics", 400)
        last = job_events.read_last(connection, number, "metrics", 2)
        assert job_events.newest(connection, number) == last[-1].id
    steps = [row.data["step"] for row in thin if row.data]
    assert len(steps) == 400
    assert steps[-1] == 10_000
    assert {b - a for a, b in pairwise(steps)} == {25}
    assert [row.data for row in last] == [{"step": 9_999}, {"step": 10_000}]


def test_events_of_a_killed_worker_stay_and_another_goes_on(
    database: Database, queue: Queue, tmp_path: Path
) -> None:
    """Nothing that was stored, and so may have been shown, is lost or told twice by the ids."""
    number = queue.enqueue("train", {"steps": 40, "die_after": 20, "linger_s": 600, "pause_s": 0.01})
    with worker_process(database.url, tmp_path) as process:
        until(lambda: len(queue.events(number)) > 20)
        process.kill()
        process.wait()
    until((tmp_path / str(number) / "checkpoint").exists)
    shown = queue.events(number)
    kind = JobKind("train", None, f"{HERE}:train")
    later = Worker(database, kinds(kind), tmp_path, lambda: now_ms() + LEASE_MS + 1000, threading.Event())
    assert later.step()
    assert queue.get(number).result == {"steps": 40, "resumed": 20}
    said = queue.events(number)
    assert said[: len(shown)] == shown
    steps = [row.data["step"] for row in said if row.kind == "metrics" and row.data]
    assert steps[-20:] == list(range(21, 41))
    assert steps == sorted(set(steps))
