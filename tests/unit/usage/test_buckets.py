"""The arithmetic of a limit per minute, on any order of moments."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from seedstock.usage.buckets import MINUTE_US, MOST_OWED, Bucket, Rate, left, spend, wait_us

LIMITS = st.integers(1, 10**9)
HOUR_US = MOST_OWED * MINUTE_US
MOMENTS = st.lists(st.integers(0, 10 * MINUTE_US), min_size=1, max_size=60).map(sorted)


def _let_in(limit: int, moments: list[int]) -> list[int]:
    """The moments at which one unit was given, of those at which one was asked for."""
    given_at, bucket = [], Bucket()
    for now in moments:
        if wait_us(bucket, Rate(limit), 1, now) == 0:
            bucket = spend(bucket, Rate(limit), 1, now)
            given_at.append(now)
    return given_at


@given(st.integers(1, 12), MOMENTS)
@example(1, [0, MINUTE_US - 1, MINUTE_US])
def test_no_span_of_time_holds_more_than_the_limit_and_what_it_gains(limit: int, moments: list[int]) -> None:
    at = _let_in(limit, moments)
    for first in range(len(at)):
        for last in range(first, len(at)):
            assert last - first + 1 <= limit + limit * (at[last] - at[first]) / MINUTE_US


@given(st.integers(1, 12), MOMENTS)
def test_a_whole_bucket_is_there_after_a_minute_of_rest(limit: int, moments: list[int]) -> None:
    bucket = Bucket()
    for now in moments:
        bucket = spend(bucket, Rate(limit), 1, now) if not wait_us(bucket, Rate(limit), 1, now) else bucket
    rested = moments[-1] + 2 * MINUTE_US
    assert left(bucket, Rate(limit), rested) == limit
    assert len(_let_in(limit, [rested] * (limit + 5))) == limit


RATES = st.builds(Rate, LIMITS, st.sampled_from([0, MOST_OWED]))


@given(
    RATES, st.lists(st.tuples(st.integers(-MINUTE_US, 5 * MINUTE_US), st.integers(0, 10**13)), max_size=30)
)
def test_what_is_left_is_never_negative_nor_more_than_the_limit(
    rate: Rate, steps: list[tuple[int, int]]
) -> None:
    """However much is owed, and though the clock goes back now and then."""
    now, bucket = 10**15, Bucket()
    for passed, amount in steps:
        now += passed
        assert 0 <= left(bucket, rate, now) <= rate.limit
        bucket = spend(bucket, rate, amount, now)
        assert bucket.lack < 1 << 63, "as databases hold it"
        assert 0 <= left(bucket, rate, now) <= rate.limit
        assert 0 <= wait_us(bucket, rate, 1, now) <= HOUR_US + 2 * MINUTE_US


@given(st.integers(1, 10**6), st.integers(0, 10**7), st.integers(1, 100))
def test_waiting_as_told_is_enough_and_not_too_long(limit: int, amount: int, wanted: int) -> None:
    now, wanted, rate = 10**15, min(wanted, limit), Rate(limit, MOST_OWED)
    bucket = spend(Bucket(), rate, amount, now)
    wait = wait_us(bucket, rate, wanted, now)
    assert wait_us(bucket, rate, wanted, now + wait) == 0
    assert left(bucket, rate, now + wait) >= wanted
    if wait:
        assert wait_us(bucket, rate, wanted, now + wait - 1) > 0


@given(LIMITS, LIMITS, st.integers(0, 10**9))
def test_after_a_minute_of_rest_a_changed_limit_is_whole(before: int, after: int, amount: int) -> None:
    bucket = spend(Bucket(), Rate(before), amount, 10**15)
    assert left(bucket, Rate(after), 10**15 + MINUTE_US) == after


@given(LIMITS, st.lists(st.integers(0, MINUTE_US), min_size=2, max_size=20))
def test_what_is_left_only_grows_while_nothing_is_spent(limit: int, pauses: list[int]) -> None:
    now = 10**15
    bucket = spend(Bucket(), Rate(limit), limit, now)
    seen = []
    for pause in pauses:
        now += pause
        seen.append(left(bucket, Rate(limit), now))
    assert all(earlier <= later for earlier, later in pairwise(seen))


def test_servers_whose_clocks_differ_win_nothing_by_taking_turns() -> None:
    now, bucket = 10**15, Bucket()
    for turn in range(200):
        skew = 50_000 if turn % 2 else 0
        if not wait_us(bucket, Rate(60), 1, now + skew):
            bucket = spend(bucket, Rate(60), 1, now + skew)
            assert turn < 60 + 1


def test_a_debt_is_bounded() -> None:
    now = 10**15
    bucket = spend(Bucket(), Rate(1, MOST_OWED), 10**18, now)
    assert wait_us(bucket, Rate(1, MOST_OWED), 1, now) > HOUR_US
    assert wait_us(bucket, Rate(1, MOST_OWED), 1, now + HOUR_US + MINUTE_US) == 0
