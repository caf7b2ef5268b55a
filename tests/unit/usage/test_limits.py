"""Limits over a database of each kind, on a clock that the test sets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from seedstock.accounts.service import Accounts
from seedstock.core.clock import DAY_MS
from seedstock.core.errors import Forbidden, Invalid, NotFound
from seedstock.core.limits import UNLIMITED, LimitKind, Limits
from seedstock.core.viewer import TokenRole, Viewer
from seedstock.db.allowances import open_allowances, read_allowances
from seedstock.db.engine import Database
from seedstock.db.usage import UsageSums
from seedstock.usage.limits import Admission, RateLimits
from seedstock.usage.recorder import UsageRecorder
from seedstock.usage.rules import Caller, caller_of
from seedstock.usage.settings import LimitSettings

NOON = 20_000 * DAY_MS + DAY_MS // 2


class Bench:
    """A hub's limits and whom they hold for."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.now = NOON
        self.database = database
        self.folder = folder
        self.accounts = Accounts(database, self.clock)
        self.opened: list[RateLimits] = []
        self.accounts.create_user("ada")
        self.secrets = {
            name: self.accounts.create_token("ada", role=TokenRole.WRITE, name=name) for name in "xy"
        }

    def clock(self) -> int:
        return self.now

    def limits(self, **defaults: int) -> RateLimits:
        """As one web worker opens them."""
        found = RateLimits(self.database, self.folder, Limits(**defaults), self.clock)
        self.opened.append(found)
        return found

    @property
    def settings(self) -> LimitSettings:
        return LimitSettings(self.database, self.accounts, self.clock)

    def viewer(self, token: str = "x") -> Viewer:
        return self.accounts.viewer_for_token(self.secrets[token])

    def caller(self, token: str = "x") -> Caller:
        found = caller_of(self.viewer(token))
        assert found is not None
        return found


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(database, tmp_path)
    yield bench
    for limits in bench.opened:
        limits.close()


def _remaining(admission: Admission) -> dict[str, int]:
    return {one.rule.kind.value: one.left for one in admission.standings}


def test_without_limits_nothing_is_written(bench: Bench) -> None:
    limits = bench.limits()
    assert limits.admit(bench.caller()) == Admission()
    assert not limits.charges(bench.caller())
    assert not (bench.folder / "limits.db").exists()


def test_requests_of_a_minute(bench: Bench) -> None:
    limits = bench.limits(requests_per_minute=3)
    answers = [limits.admit(bench.caller()) for _ in range(4)]
    assert [_remaining(one)["requests_per_minute"] for one in answers] == [2, 1, 0, 0]
    assert [one.refusal is None for one in answers] == [True, True, True, False]
    refusal = answers[3].refusal
    assert refusal is not None
    assert refusal.retry_after_s == 20
    assert "3 requests per minute" in refusal.message
    bench.now += 19_999
    assert limits.admit(bench.caller()).refusal is not None
    bench.now += 1
    assert limits.admit(bench.caller()).refusal is None


def test_tokens_of_a_minute_are_owed(bench: Bench) -> None:
    limits = bench.limits(tokens_per_minute=100)
    assert limits.admit(bench.caller()).refusal is None
    limits.charge(bench.caller(), 250)
    refused = limits.admit(bench.caller())
    assert _remaining(refused) == {"tokens_per_minute": 0}
    assert refused.refusal is not None
    assert refused.refusal.retry_after_s == 91  # 90.6: what is owed, and one token
    bench.now += 91_000
    assert limits.admit(bench.caller()).refusal is None


def test_tokens_of_a_day_begin_anew_at_midnight(bench: Bench) -> None:
    limits = bench.limits(tokens_per_day=100)
    limits.admit(bench.caller())
    limits.charge(bench.caller(), 99)
    assert _remaining(limits.admit(bench.caller())) == {"tokens_per_day": 1}
    limits.charge(bench.caller(), 50)
    refused = limits.admit(bench.caller())
    assert _remaining(refused) == {"tokens_per_day": 0}
    assert refused.refusal is not None
    assert refused.refusal.retry_after_s == DAY_MS // 2000
    bench.now += DAY_MS // 2
    assert _remaining(limits.admit(bench.caller())) == {"tokens_per_day": 100}


def test_a_limit_set_at_noon_counts_the_morning(bench: Bench) -> None:
    recorder = UsageRecorder(bench.database, bench.clock)
    recorder.record(bench.caller("x"), "ada/m", UsageSums(requests=1, prompt_tokens=30, completion_tokens=10))
    recorder.record(bench.caller("y"), "ada/m", UsageSums(requests=1, prompt_tokens=5))
    recorder.close()
    limits = bench.limits(tokens_per_day=100)
    assert _remaining(limits.admit(bench.caller())) == {"tokens_per_day": 55}
    settings = bench.settings
    settings.set_limits("ada", Limits(tokens_per_day=50), "y", actor="root")
    assert _remaining(limits.admit(bench.caller("y"))) == {"tokens_per_day": 45}


def test_a_refused_request_uses_up_nothing(bench: Bench) -> None:
    limits = bench.limits(requests_per_minute=5, tokens_per_day=10)
    limits.admit(bench.caller())
    limits.charge(bench.caller(), 10)
    for _ in range(7):
        assert limits.admit(bench.caller()).refusal is not None
    assert _remaining(limits.admit(bench.caller()))["requests_per_minute"] == 4


def test_all_tokens_of_an_account_share_its_limit(bench: Bench) -> None:
    limits = bench.limits(requests_per_minute=2)
    assert [limits.admit(bench.caller(token)).refusal is None for token in "xyx"] == [True, True, False]


def test_what_an_admin_sets_for_an_account_replaces_the_default(bench: Bench) -> None:
    limits = bench.limits(requests_per_minute=1)
    bench.settings.set_limits("ada", Limits(requests_per_minute=2), actor="root")
    assert [limits.admit(bench.caller()).refusal is None for _ in range(3)] == [True, True, False]
    bench.settings.set_limits("ada", Limits(requests_per_minute=UNLIMITED), actor="root")
    assert limits.admit(bench.caller()) == Admission()
    bench.settings.set_limits("ada", Limits(), actor="root")
    assert limits.admit(bench.caller()).refusal is not None


def test_what_an_admin_sets_for_a_token_replaces_the_accounts(bench: Bench) -> None:
    limits = bench.limits(requests_per_minute=1)
    bench.settings.set_limits("ada", Limits(requests_per_minute=3), "x", actor="root")
    assert [limits.admit(bench.caller("x")).refusal is None for _ in range(4)] == [True] * 3 + [False]
    assert [limits.admit(bench.caller("y")).refusal is None for _ in range(2)] == [True, False]


def test_an_owner_can_only_lower(bench: Bench) -> None:
    limits = bench.limits(requests_per_minute=2)
    settings, mine = bench.settings, bench.caller("x").token_id
    assert mine is not None
    settings.set_own_limits(bench.viewer("x"), mine, Limits(requests_per_minute=50))
    assert [limits.admit(bench.caller("x")).refusal is None for _ in range(3)] == [True, True, False]
    bench.now += 60_000
    settings.set_own_limits(bench.viewer("y"), mine, Limits(requests_per_minute=1))
    assert [limits.admit(bench.caller("x")).refusal is None for _ in range(2)] == [True, False]
    assert limits.admit(bench.caller("y")).refusal is None, "the account has one left"


def test_who_may_set_what(bench: Bench) -> None:
    settings, mine = bench.settings, bench.caller("x").token_id
    assert mine is not None
    bench.accounts.create_user("bob")
    bob = bench.accounts.viewer_for_token(bench.accounts.create_token("bob", role=TokenRole.WRITE))
    with pytest.raises(NotFound):
        settings.set_own_limits(bob, mine, Limits(requests_per_minute=1))
    reader = bench.accounts.viewer_for_token(bench.accounts.create_token("ada", role=TokenRole.READ))
    with pytest.raises(Forbidden):
        settings.set_own_limits(reader, mine, Limits())
    with pytest.raises(NotFound):
        settings.set_limits("ada", Limits(), "no-such", actor="root")
    with pytest.raises(Invalid, match="requests_per_minute"):
        settings.set_limits("ada", Limits(requests_per_minute=-1), actor="root")


@pytest.mark.parametrize("limit", [7, 20])
def test_workers_together_let_in_exactly_as_many_as_the_limit(bench: Bench, limit: int) -> None:
    """Four workers with connections of their own, ten requests each at once, while the clock stands."""
    workers = [bench.limits(requests_per_minute=limit) for _ in range(4)]
    caller, outcomes = bench.caller(), []
    barrier = threading.Barrier(len(workers) * 5)

    def ask(limits: RateLimits) -> None:
        barrier.wait()
        for _ in range(2):
            outcomes.append(limits.admit(caller).refusal is None)

    threads = [threading.Thread(target=ask, args=(limits,)) for limits in workers for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 40
    assert sum(outcomes) == limit


def test_looking_spends_nothing(bench: Bench) -> None:
    limits = bench.limits(requests_per_minute=2, tokens_per_day=10)
    limits.admit(bench.caller())
    limits.charge(bench.caller(), 4)
    for _ in range(3):
        found = limits.standings(bench.caller().account_id, [bench.caller()])
        assert {one.rule.kind: one.left for one in found} == {
            LimitKind.REQUESTS_PER_MINUTE: 1,
            LimitKind.TOKENS_PER_DAY: 6,
        }


def test_a_clock_that_is_set_back_grants_nothing_and_locks_nobody_out_for_long(bench: Bench) -> None:
    limits = bench.limits(requests_per_minute=1)
    limits.admit(bench.caller())
    bench.now -= 365 * DAY_MS
    assert limits.admit(bench.caller()).refusal is not None
    bench.now += 61 * 60_000
    assert limits.admit(bench.caller()).refusal is None


def test_rows_that_say_nothing_any_more_are_forgotten(bench: Bench) -> None:
    bench.limits(requests_per_minute=5, tokens_per_day=50).admit(bench.caller())
    of_ada, of_x = (f"account:{bench.caller().account_id}", f"token:{bench.caller().token_id}")
    bench.now += DAY_MS + 1
    later = bench.limits()
    unlimited = Limits(requests_per_minute=9, tokens_per_day=UNLIMITED)
    bench.settings.set_limits("ada", unlimited, "x", actor="root")
    later.admit(bench.caller())
    rows = open_allowances(bench.database, bench.folder)
    with rows.read() as connection:
        found = read_allowances(connection, [of_ada, of_x])
    if rows is not bench.database:
        rows.close()
    assert list(found) == [(of_x, "requests_per_minute")]
