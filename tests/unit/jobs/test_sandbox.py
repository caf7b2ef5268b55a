"""Jobs in a process of their own: limits, stopping, and what they leave behind. One database suffices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seedstock.core.clock import now_ms
from seedstock.db import migrate
from seedstock.db.engine import Database, default_url
from seedstock.db.jobs import JobRow
from seedstock.jobs.kinds import JobKind
from seedstock.jobs.queue import Queue
from seedstock.jobs.worker import Worker
from tests.unit.jobs.conftest import is_alive, read, until

HERE = "tests.unit.jobs.entries"
MIB = 1 << 20


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    database = Database(default_url(tmp_path))
    migrate.upgrade(database)
    yield Queue(database, now_ms)
    database.close()


def isolated(name: str, **limits: Any) -> JobKind:
    return JobKind("k", None, f"{HERE}:{name}", **limits)


def run(
    queue: Queue, folder: Path, kind: JobKind, spec: dict[str, Any], stop: threading.Event | None = None
) -> JobRow:
    number = queue.enqueue("k", spec, max_attempts=1)
    Worker(queue._database, {"k": kind}, folder, now_ms, stop or threading.Event()).step()
    return queue.get(number)


def test_memory_is_counted_over_all_processes_of_a_job(queue: Queue, tmp_path: Path) -> None:
    kind = isolated("share_memory_use", memory_bytes=300 * MIB, timeout_s=20)
    job = run(queue, tmp_path, kind, {"processes": 4, "each_bytes": 120 * MIB})
    assert job.error == "The job needs more memory than its limit of 300 MiB"


def test_a_limit_that_is_kept_is_not_felt(queue: Queue, tmp_path: Path) -> None:
    job = run(queue, tmp_path, isolated("add", memory_bytes=300 * MIB), {"a": 1, "b": 1})
    assert (job.state, job.result) == ("done", {"sum": 2})


def test_processes_that_a_job_started_end_with_it(queue: Queue, tmp_path: Path) -> None:
    job = run(queue, tmp_path, isolated("sleep_with_child", timeout_s=1.0), {})
    assert "longer than its limit" in (job.error or "")
    until(lambda: not is_alive(int(read(tmp_path / str(job.id) / "other"))))


def test_a_death_is_noticed_while_another_process_holds_the_pipes(queue: Queue, tmp_path: Path) -> None:
    job = run(queue, tmp_path, isolated("die_with_child", timeout_s=20), {})
    assert "killed by SIGKILL" in (job.error or "")


def test_a_cancelled_job_may_save_its_state(queue: Queue, tmp_path: Path) -> None:
    number = queue.enqueue("k", {})
    worker = Worker(queue._database, {"k": isolated("save_and_stop")}, tmp_path, now_ms, threading.Event())
    thread = threading.Thread(target=worker.step)
    thread.start()
    until(lambda: read(tmp_path / str(number) / "pid"))
    queue.cancel(number)
    thread.join()
    job = queue.get(number)
    assert (job.state, job.error) == ("cancelled", "The job was cancelled")
    assert not (tmp_path / str(number)).exists()


def test_scratch_space_is_empty_at_first_and_gone_at_last(queue: Queue, tmp_path: Path) -> None:
    result = run(queue, tmp_path, isolated("use_scratch"), {}).result
    assert result is not None
    assert Path(result["file"]).parent == Path(result["cwd"])
    assert not Path(result["cwd"]).exists()


def test_services_are_opened_and_closed_in_the_job_s_process(queue: Queue, tmp_path: Path) -> None:
    kind = isolated("greet", services=f"{HERE}:Services", services_options={"greeting": "hello"})
    job = run(queue, tmp_path, kind, {"name": "ada"})
    assert job.result == {"said": "hello ada"}


def test_long_specs_and_results_pass_whole(queue: Queue, tmp_path: Path) -> None:
    spec = {"a": ["x" * 300_000], "b": ["é" * 300_000]}
    job = run(queue, tmp_path, isolated("add"), spec)
    assert job.result == {"sum": spec["a"] + spec["b"]}
