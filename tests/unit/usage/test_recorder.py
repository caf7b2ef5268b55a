"""Counts in memory, their sums in databases of both kinds, and what is lost."""

from __future__ import annotations

import threading
import time
from datetime import date
from pathlib import Path

import pytest

from seedstock.accounts.service import Accounts
from seedstock.core.clock import DAY_MS
from seedstock.core.errors import Forbidden, Invalid, Unauthenticated
from seedstock.core.limits import Limits
from seedstock.core.viewer import ANONYMOUS, TokenRole
from seedstock.db.engine import Database
from seedstock.db.usage import UsageSums, usage_between
from seedstock.usage.limits import RateLimits
from seedstock.usage.metrics import Metrics
from seedstock.usage.recorder import UsageRecorder
from seedstock.usage.rules import Caller, caller_of
from seedstock.usage.service import Usage

NOW = 20_000 * DAY_MS + 5
DAY = 20_000


@pytest.fixture
def accounts(database: Database) -> Accounts:
    accounts = Accounts(database, lambda: NOW)
    accounts.create_user("ada")
    return accounts


def _caller(accounts: Accounts, name: str = "t") -> Caller:
    secret = accounts.create_token("ada", role=TokenRole.WRITE, name=name)
    found = caller_of(accounts.viewer_for_token(secret))
    assert found is not None
    return found


def _rows(database: Database) -> dict[tuple[int, str], UsageSums]:
    with database.read() as connection:
        rows = usage_between(connection, DAY, DAY + 1)
    return {
        (row.token_id, row.model): UsageSums(*(getattr(row, name) for name in UsageSums.__struct_fields__))
        for row in rows
    }


def test_several_workers_add_to_the_same_sums(database: Database, accounts: Accounts) -> None:
    caller = _caller(accounts)
    workers = [UsageRecorder(database, lambda: NOW, flush_s=0.005) for _ in range(3)]

    def work(recorder: UsageRecorder) -> None:
        for number in range(200):
            model = f"ada/m{number % 3}"
            recorder.record(caller, model, UsageSums(1, number % 2, 10, 3, 7, 5))

    threads = [threading.Thread(target=work, args=(one,)) for one in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in workers:
        one.close()
    rows = _rows(database)
    assert sum(row.requests for row in rows.values()) == 600
    assert sum(row.prompt_tokens for row in rows.values()) == 6000
    assert rows[caller.token_id or 0, "ada/m0"] == UsageSums(201, 99, 2010, 603, 1407, 1005)


def test_counts_are_written_without_being_asked(database: Database, accounts: Accounts) -> None:
    recorder = UsageRecorder(database, lambda: NOW, flush_s=0.01)
    recorder.record(_caller(accounts), "ada/m", UsageSums(1))
    deadline_s = time.monotonic() + 10
    while not _rows(database):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    recorder.close()


def test_what_cannot_be_written_is_kept(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/a.db")
    recorder = UsageRecorder(database, lambda: NOW, flush_s=60)
    recorder.record(Caller(1, token_id=None), "ada/m", UsageSums(1, prompt_tokens=5))
    with pytest.raises(Exception, match="no such table"):
        recorder.flush()
    from seedstock.db.migrate import upgrade

    upgrade(database)
    Accounts(database, lambda: NOW).create_user("ada")
    recorder.record(Caller(1, token_id=None), "ada/m", UsageSums(1, prompt_tokens=6))
    recorder.close()
    assert _rows(database) == {(0, "ada/m"): UsageSums(2, prompt_tokens=11)}
    database.close()


def test_a_revoked_token_leaves_its_use_and_not_its_id(database: Database, accounts: Accounts) -> None:
    first, second = _caller(accounts, "a"), _caller(accounts, "b")
    recorder = UsageRecorder(database, lambda: NOW, flush_s=60)
    for caller in (first, second):
        recorder.record(caller, "ada/m", UsageSums(1, prompt_tokens=5))
    recorder.flush()
    ada = accounts.viewer_for_job("ada")
    for caller in (first, second):
        recorder.record(caller, "ada/m", UsageSums(1, prompt_tokens=2))
        assert caller.token_id is not None
        accounts.revoke_token(ada, caller.token_id)
    recorder.close()
    assert _rows(database) == {(-1, "ada/m"): UsageSums(4, prompt_tokens=14)}


def test_who_may_see_what(database: Database, accounts: Accounts, tmp_path: Path) -> None:
    accounts.create_user("root", admin=True)
    accounts.create_user("bob")
    recorder = UsageRecorder(database, lambda: NOW, flush_s=60)
    mine, fine = (
        _caller(accounts, "mine"),
        accounts.create_token("ada", role=TokenRole.FINE_GRAINED, name="fine"),
    )
    narrow = accounts.viewer_for_token(fine)
    narrow_caller = caller_of(narrow)
    assert narrow_caller is not None
    recorder.record(mine, "ada/secret", UsageSums(3, prompt_tokens=30))
    recorder.record(narrow_caller, "ada/open", UsageSums(1, prompt_tokens=1))
    recorder.close()
    limits = RateLimits(database, tmp_path, Limits(), lambda: NOW)
    usage, today = Usage(database, accounts, limits, recorder, Metrics(), lambda: NOW), date(2024, 10, 4)
    assert usage.today() == today
    ada, bob, root = (accounts.viewer_for_job(name) for name in ("ada", "bob", "root"))
    assert usage.report(ada, today, today).totals == UsageSums(4, prompt_tokens=31)
    assert {row.model for row in usage.report(narrow, today, today).rows} == {"ada/open"}
    assert [token.name for token in usage.report(narrow, today, today).tokens] == ["fine"]
    assert usage.report(bob, today, today).rows == []
    assert usage.report(root, today, today, account="ada").totals.requests == 4
    assert usage.report(root, today, today, everyone=True).totals.requests == 4
    with pytest.raises(Forbidden):
        usage.report(bob, today, today, account="ada")
    with pytest.raises(Forbidden):
        usage.report(bob, today, today, everyone=True)
    with pytest.raises(Unauthenticated):
        usage.report(ANONYMOUS, today, today)
    with pytest.raises(Invalid):
        usage.report(ada, today, date(2024, 10, 3))


def test_counting_takes_no_time(database: Database, accounts: Accounts) -> None:
    """A tenth of a millisecond would be much; it takes some microseconds."""
    recorder, caller = UsageRecorder(database, lambda: NOW, flush_s=60), _caller(accounts)
    began_s = time.process_time()
    for _ in range(1000):
        recorder.record(caller, "ada/m", UsageSums(1, 0, 10, 3, 7, 5))
    assert time.process_time() - began_s < 0.1
    recorder.close()
