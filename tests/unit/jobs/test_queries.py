"""What several connections do to the queue at once, on both databases."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from seedstock.db import job_attempts, job_claims
from seedstock.db import jobs as rows
from seedstock.db.engine import Database

NOW = 1_700_000_000_000
DAY = 86_400_000


def put(database: Database, kind: str = "k", **options: object) -> int:
    with database.write() as connection:
        return rows.enqueue(connection, kind, {}, **{"at": NOW, "max_attempts": 3} | options)  # type: ignore[arg-type]


def take(database: Database, owner: str = "w", at: int = NOW, **which: object) -> rows.JobRow | None:
    with database.write() as connection:
        return job_claims.claim(connection, owner, at, 1000, **which)  # type: ignore[arg-type]


def get(database: Database, job_id: int) -> rows.JobRow:
    with database.read() as connection:
        job = rows.find_job(connection, job_id)
    assert job is not None
    return job


def test_the_most_urgent_goes_first_then_the_longest_due(database: Database) -> None:
    late = put(database, at=NOW - 5)
    early = put(database, at=NOW - 10)
    urgent = put(database, at=NOW, priority=1)
    put(database, at=NOW + 1, priority=9)  # not due yet
    order = [take(database, f"w{n}") for n in range(4)]
    assert [job and job.id for job in order] == [urgent, early, late, None]


def test_a_claim_can_be_narrowed_to_kinds(database: Database) -> None:
    put(database, "slow", priority=9)
    put(database, "quick")
    with database.read() as connection:
        assert job_claims.has_due(connection, NOW, only={"slow"})
        assert not job_claims.has_due(connection, NOW, but={"slow", "quick"})
    quick = take(database, but={"slow"})
    assert quick is not None
    assert quick.kind == "quick"
    assert take(database, only={"quick"}) is None
    assert take(database, only={"slow"}) is not None


def test_a_twin_found_in_a_transaction_is_not_claimed_before_it_commits(database: Database) -> None:
    """Else the job could run without seeing what the transaction is about to commit."""
    job_id = put(database, dedup_key="same")
    claimed = threading.Event()

    def claim() -> None:
        while take(database) is None:
            pass
        claimed.set()

    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            twin = rows.enqueue(connection, "k", {}, at=NOW, max_attempts=3, dedup_key="same")
            assert twin == job_id
            pool.submit(claim)
            assert not claimed.wait(0.2)
        assert claimed.wait(20)


def test_every_enqueue_is_followed_by_a_run_however_they_race(database: Database) -> None:
    stop = threading.Event()
    claimed: list[int] = []

    def claim() -> None:
        while not stop.is_set():
            job = take(database)
            if job:
                claimed.append(job.id)

    with ThreadPoolExecutor(2) as pool:
        worker = pool.submit(claim)
        for _ in range(60):
            assert put(database, dedup_key="same") > 0
        stop.set()
        worker.result()
    assert len(claimed) == len(set(claimed))


def test_a_cancelled_job_of_a_dead_worker_is_not_run_again(database: Database) -> None:
    job_id = put(database)
    take(database)
    with database.write() as connection:
        rows.request_cancel(connection, job_id, NOW)
        assert job_attempts.expire(connection, NOW + 2000) == 1
    job = get(database, job_id)
    assert (job.state, job.finished_at) == ("cancelled", NOW + 2000)


def test_a_job_is_expired_by_one_worker(database: Database) -> None:
    """Done twice, the second could take the job from whoever claimed it in between."""
    for number in range(3):
        put(database)
        take(database, f"w{number}")

    def expire() -> int:
        with database.write() as connection:
            return job_attempts.expire(connection, NOW + 2000)

    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            assert job_attempts.expire(connection, NOW + 2000) == 3
            other = pool.submit(expire)
            wait([other], 0.3)
        assert other.result(20) == 0


def test_claims_do_not_wait_for_each_other(database: Database) -> None:
    first, second = put(database), put(database)
    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            job = job_claims.claim(connection, "w1", NOW, 1000)
            other = pool.submit(take, database, "w2")
            if not database.is_sqlite:  # which has one writer at a time
                other.result(20)
        taken = other.result(20)
    assert job is not None
    assert taken is not None
    assert (job.id, taken.id) == (first, second)


def due(database: Database, at: int) -> int:
    with database.write() as connection:
        return rows.enqueue_if_due(connection, "clean", 60_000, at=at, max_attempts=1, priority=0)


def test_a_recurring_kind_is_queued_once_by_two_workers(database: Database) -> None:
    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            rows.enqueue_if_due(connection, "clean", 60_000, at=NOW, max_attempts=1, priority=0)
            other = pool.submit(due, database, NOW)
            wait([other], 0.3)
        assert other.result(20) == NOW + 60_000
    with database.read() as connection:
        assert rows.count_by_state(connection) == {"queued": 1}


def test_a_recurring_kind_waits_for_its_last_run(database: Database) -> None:
    assert due(database, NOW) == NOW + 60_000
    assert due(database, NOW + 1) == NOW + 60_000
    job = take(database)
    assert job is not None
    assert due(database, NOW + 90_000) > NOW + 90_000
    with database.read() as connection:
        assert rows.count_by_state(connection) == {"running": 1}
    with database.write() as connection:
        job_attempts.finish(connection, job.id, "w", rows.DONE, NOW + 91_000)
    due(database, NOW + 92_000)
    with database.read() as connection:
        assert rows.count_by_state(connection) == {"done": 1, "queued": 1}


def test_pruning_keeps_the_newest_of_a_kind_and_all_that_is_not_over(database: Database) -> None:
    for _ in range(3):
        put(database, "clean")
        job = take(database)
        assert job is not None
        with database.write() as connection:
            job_attempts.finish(connection, job.id, "w", rows.DONE, NOW)
    waiting = put(database, "other")
    with database.write() as connection:
        assert rows.prune(connection, NOW) == 0
        assert rows.prune(connection, NOW + DAY) == 2
        left = rows.list_jobs(connection)
    assert [(row.id, row.state) for row in left] == [(waiting, "queued"), (job.id, "done")]


@pytest.mark.parametrize("backlog", [20_000])
def test_a_claim_walks_the_index(database: Database, backlog: int) -> None:
    import sqlalchemy as sa

    from seedstock.db.schema import jobs

    row = {"kind": "k", "spec": {}, "state": "queued", "attempts": 0, "max_attempts": 1}
    row |= {"cancel_requested": False, "created_at": NOW}
    with database.write() as connection:
        many = [row | {"priority": n % 3, "run_after": NOW - n} for n in range(backlog)]
        connection.execute(sa.insert(jobs), many)
    plans: list[str] = []

    def explain(
        connection: sa.Connection, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        if statement.startswith("UPDATE jobs") and not plans:
            prefix = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
            plans.append("")
            plans[0] = "\n".join(
                str(line) for line in connection.exec_driver_sql(prefix + statement, parameters)
            )  # type: ignore[arg-type]

    sa.event.listen(database.engine, "before_cursor_execute", explain)
    if not database.is_sqlite:
        with database.write() as connection:
            connection.exec_driver_sql("ANALYZE jobs")
    take(database)
    assert "TEMP B-TREE FOR ORDER BY" not in plans[0]
    assert "Seq Scan" not in plans[0]
    assert plans[0].count("ix_jobs_state_priority_run_after") >= 2
