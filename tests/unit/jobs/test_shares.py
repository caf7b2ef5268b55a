"""How accounts share the lanes: the most that each may run and queue, who goes first, and who may say so."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from seedstock.accounts.service import Accounts
from seedstock.core.clock import now_ms
from seedstock.core.errors import Conflict, Forbidden, Invalid, LimitExceeded, NotFound, Unauthenticated
from seedstock.core.viewer import ANONYMOUS, TokenRole, Viewer
from seedstock.db import job_attempts, job_claims
from seedstock.db import jobs as rows
from seedstock.db.engine import Database
from seedstock.jobs.kinds import JobKind, Lane
from seedstock.jobs.service import Jobs, priority_of
from seedstock.jobs.worker import Worker
from tests.unit.jobs.conftest import until
from tests.unit.jobs.test_worker import working

TRAIN = frozenset({"train"})


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database, now_ms, queued_per_account=3)


def someone(database: Database, name: str, **options: bool) -> Viewer:
    accounts = Accounts(database, now_ms)
    accounts.create_user(name, **options)  # type: ignore[arg-type]
    return accounts.viewer_for_token(accounts.create_token(name, role=TokenRole.WRITE))


def take(database: Database, most: int = 2, only: frozenset[str] = TRAIN) -> int | None:
    with database.write() as connection:
        job = job_claims.claim(connection, "w", now_ms(), 60_000, only=only, most_per_account=most)
    return job.id if job else None


def has_due(database: Database, most: int) -> bool:
    with database.read() as connection:
        return job_claims.has_due(connection, now_ms(), only=TRAIN, most_per_account=most)


def test_an_account_with_a_running_job_waits_behind_one_without(database: Database, jobs: Jobs) -> None:
    ada, bob = someone(database, "ada"), someone(database, "bob")
    first, second, third = (jobs.enqueue(ada, "train", {}) for _ in range(3))
    other = jobs.enqueue(bob, "train", {})
    assert [take(database) for _ in range(4)] == [first, other, second, None]
    assert not has_due(database, 2)
    assert has_due(database, 3)
    with database.write() as connection:
        assert job_attempts.finish(connection, first, "w", rows.DONE, now_ms())
    assert has_due(database, 2)
    assert take(database) == third


def test_jobs_of_nobody_and_of_other_lanes_are_not_counted(database: Database, jobs: Jobs) -> None:
    ada = someone(database, "ada")
    with database.write() as connection:
        ours = [rows.enqueue(connection, "train", {}, at=1, max_attempts=1) for _ in range(3)]
    jobs.enqueue(ada, "convert", {})
    assert take(database, only=frozenset({"convert"})) is not None
    mine = jobs.enqueue(ada, "train", {})
    assert [take(database, most=1) for _ in range(4)] == [*ours, mine]


def test_urgency_comes_before_shares(database: Database, jobs: Jobs) -> None:
    ada, root = someone(database, "ada"), someone(database, "root", admin=True)
    low = jobs.enqueue(ada, "train", {}, priority="low")
    normal = jobs.enqueue(ada, "train", {})
    high = jobs.enqueue(root, "train", {}, priority="high")
    assert [priority_of(jobs.get(root, number)) for number in (low, normal, high)] == [
        "low",
        "normal",
        "high",
    ]
    assert [take(database) for _ in range(3)] == [high, normal, low]


def test_priorities_are_words_and_high_is_for_admins(database: Database, jobs: Jobs) -> None:
    ada = someone(database, "ada")
    with pytest.raises(Forbidden):
        jobs.enqueue(ada, "train", {}, priority="high")
    with pytest.raises(Invalid):
        jobs.enqueue(ada, "train", {}, priority="9")
    assert jobs.page(ada) == []


def test_so_many_jobs_may_wait_and_a_repeated_one_counts_once(database: Database, jobs: Jobs) -> None:
    ada, bob = someone(database, "ada"), someone(database, "bob")
    numbers = [jobs.enqueue(ada, "train", {}, dedup_key=f"{n}") for n in range(3)]
    with pytest.raises(LimitExceeded) as refused:
        jobs.enqueue(ada, "train", {})
    assert "cancel one" in (refused.value.hint or "")
    assert jobs.enqueue(ada, "train", {}, dedup_key="0") == numbers[0]
    jobs.enqueue(bob, "train", {})
    jobs.cancel(ada, numbers[0])
    jobs.enqueue(ada, "train", {})
    with pytest.raises(LimitExceeded):
        jobs.retry(ada, numbers[0])
    assert jobs.get(ada, numbers[0]).state == "cancelled"


def test_the_limits_hold_when_many_ask_at_once(database: Database, jobs: Jobs) -> None:
    ada = someone(database, "ada")
    gate = threading.Barrier(8)

    def ask(_: int) -> bool:
        gate.wait(20)
        try:
            jobs.enqueue(ada, "train", {})
        except LimitExceeded:
            return False
        return True

    def claim(_: int) -> bool:
        gate.wait(20)
        return take(database) is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 3
        assert sum(pool.map(claim, range(8))) == 2


def test_jobs_of_others_do_not_exist(database: Database, jobs: Jobs) -> None:
    ada, bob = someone(database, "ada"), someone(database, "bob")
    root = someone(database, "root", admin=True)
    number = jobs.enqueue(ada, "train", {})
    messages = set()
    for viewer, wanted in ((bob, number), (ANONYMOUS, number), (ada, 0), (ada, 10**30)):
        for act in (jobs.get, jobs.cancel, jobs.retry, jobs.said):
            with pytest.raises(NotFound) as refused:
                act(viewer, wanted)
            messages.add(refused.value.message.replace(str(wanted)[:20], "N"))
    assert messages == {"There is no job N"}
    assert [job.id for job in jobs.page(root, everyone=True)] == [number]
    assert jobs.page(bob) == jobs.page(root) == []
    with pytest.raises(Forbidden):
        jobs.page(ada, everyone=True)
    with pytest.raises(Unauthenticated):
        jobs.page(ANONYMOUS)
    jobs.cancel(root, number)
    with pytest.raises(Conflict):
        jobs.cancel(ada, number)
    jobs.retry(ada, number)


def test_a_token_that_may_only_read_stops_nothing(database: Database, jobs: Jobs) -> None:
    ada = someone(database, "ada")
    accounts = Accounts(database, now_ms)
    reader = accounts.viewer_for_token(accounts.create_token("ada", role=TokenRole.READ))
    number = jobs.enqueue(ada, "train", {})
    assert jobs.get(reader, number).state == "queued"
    for act in (jobs.cancel, jobs.retry):
        with pytest.raises(Forbidden):
            act(reader, number)


def test_lists_are_narrowed_and_paged(database: Database, jobs: Jobs) -> None:
    ada = someone(database, "ada")
    numbers = [jobs.enqueue(ada, kind, {}) for kind in ("train", "convert", "train")]
    jobs.cancel(ada, numbers[0])
    assert [job.id for job in jobs.page(ada, kinds=["train"])] == [numbers[2], numbers[0]]
    assert [job.id for job in jobs.page(ada, states=["cancelled", "dead"])] == [numbers[0]]
    assert [job.id for job in jobs.page(ada, limit=1, before=numbers[2])] == [numbers[1]]
    assert jobs.counts(ada) == {"queued": 2, "cancelled": 1}
    with pytest.raises(Invalid):
        jobs.page(ada, states=["late"])


def test_a_training_does_not_hold_up_an_analysis(database: Database, jobs: Jobs, tmp_path: object) -> None:
    ada, stop, release = someone(database, "ada"), threading.Event(), threading.Event()
    kinds = {
        "train": JobKind("train", lambda *_: release.wait(20) and None, lane=Lane.TRAINING),
        "analyse": JobKind("analyse", lambda *_: None, lane=Lane.SLOW),
    }
    with working(Worker(database, kinds, tmp_path, now_ms, stop), stop):  # type: ignore[arg-type]
        long = jobs.enqueue(ada, "train", {})
        until(lambda: jobs.get(ada, long).state == "running")
        short = jobs.enqueue(ada, "analyse", {})
        until(lambda: jobs.get(ada, short).state == "done")
        assert jobs.get(ada, long).state == "running"
        release.set()
        until(lambda: jobs.get(ada, long).state == "done")
