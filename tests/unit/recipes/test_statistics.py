"""Intervals and margins, against known values, another implementation and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from seedstock.core.errors import Invalid
from seedstock.recipes.margins import CAP, allowed_margin, items_for, items_to_decide, resolution
from seedstock.recipes.statistics import Scores, as_scores, paired_difference, wilson


@pytest.mark.parametrize(("right", "items"), [(0, 5), (21, 30), (94, 313), (500, 500)])
def test_wilson_agrees_with_scipy(right: int, items: int) -> None:
    ours, theirs = wilson(right / items, items), binomtest(right, items).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_thirty_items_tell_no_margin_that_is_allowed() -> None:
    assert resolution(0.7, 30) == pytest.approx(0.155, abs=0.005)
    margin = allowed_margin(0.5, 0.0, value=0.7, items=30)
    assert margin.value == CAP
    assert margin.refused == "30 items tell 0.156 apart at best, the margin is 0.100: it takes 78 items"
    assert resolution(0.7, 78) <= CAP < resolution(0.7, 77)


def test_the_margin_is_the_larger_of_two_under_a_cap() -> None:
    def value(declared: float, seed_sd: float) -> float:
        return allowed_margin(declared, seed_sd, value=0.3, items=5000).value

    assert value(0.05, 0.02) == 0.05
    assert value(0.03, 0.02) == 0.04
    assert value(5.0, 0.0) == value(0.01, 9.0) == CAP


def test_several_samples_of_an_item_are_worth_less_than_as_many_items() -> None:
    assert resolution(0.3, 313) > resolution(0.3, 313, samples=8) > resolution(0.3, 313 * 8)
    assert items_for(0.05, 0.3) > items_for(0.05, 0.3, samples=8)


def test_how_many_items_would_decide() -> None:
    assert items_to_decide(0.5, 0.05, 0.0) == 271  # (1.645 * 0.5 / 0.05)^2 = 270.6
    assert items_to_decide(0.5, 0.05, 0.03) == 1692
    assert items_to_decide(0.5, 0.05, -0.05) is None
    assert items_to_decide(0.5, 0.05, 0.0500001) is None


def test_equal_scores_have_no_difference_at_all() -> None:
    scores = as_scores([[0.0, 1.0, 0.5]])
    found = paired_difference(scores, scores)
    assert (found.mean, found.interval.low, found.interval.high) == (0, 0, 0)


def test_one_item_says_nothing() -> None:
    found = paired_difference(as_scores([[0.0]]), as_scores([[0.0]]))
    assert (found.interval.low, found.interval.high) == (-1, 1)


@pytest.mark.parametrize("bad", [[[0.5, 1.5]], [[0.5], [0.5, 0.5]], [0.5], [[]], [[float("nan")]], [["a"]]])
def test_results_that_are_none_are_refused(bad: list[list[float]]) -> None:
    with pytest.raises(Invalid, match="Item-level results"):
        as_scores(bad)


def test_sides_must_have_the_same_items() -> None:
    with pytest.raises(Invalid, match="2 items of the original, 1 of the replica"):
        paired_difference(as_scores([[0.0, 1.0]]), as_scores([[0.0]]))


def test_pairing_makes_the_interval_narrower() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random((1, 400))
    scores, shifted = (hard < 0.5).astype(float), (hard < 0.52).astype(float)
    paired = paired_difference(scores, shifted, resamples=2000)
    unpaired = paired_difference(scores, rng.permuted(shifted, axis=1), resamples=2000)
    assert 3 * (paired.interval.high - paired.interval.low) < unpaired.interval.high - unpaired.interval.low


def _side(rng: np.random.Generator, hard: Scores, share: float, seeds: int, seed_sd: float) -> Scores:
    """Half of the items are right for a reason that both sides share, the others by chance."""
    shares = np.clip(share + rng.normal(0, seed_sd, (seeds, 1)), 0, 1)
    own = np.where(rng.random((seeds, hard.size)) < 0.5, hard, rng.random((seeds, hard.size)))
    return np.asarray(own < shares, dtype=np.float64)


@pytest.mark.parametrize(
    ("items", "seeds", "seed_sd", "margin"), [(80, 1, 0.0, 0.1), (150, 3, 0.04, 0.1), (150, 2, 0.02, 0.1)]
)
def test_a_replica_that_is_worse_by_the_margin_passes_at_most_once_in_twenty(
    items: int, seeds: int, seed_sd: float, margin: float
) -> None:
    rng = np.random.default_rng(7)
    passed = covered = 0
    runs = 1000
    for run in range(runs):
        hard = rng.random(items)
        sides = [_side(rng, hard, share, seeds, seed_sd) for share in (0.5, 0.5 - margin)]
        interval = paired_difference(*sides, resamples=400, seed=run).interval
        passed += -margin <= interval.low and interval.high <= margin
        covered += interval.low <= -margin <= interval.high
    assert passed <= 0.05 * runs
    assert covered >= 0.87 * runs, "the interval is a 90 % interval"


def test_a_true_replica_passes_when_there_are_items_enough() -> None:
    rng = np.random.default_rng(8)
    passed = 0
    for run in range(50):
        hard = rng.random(1500)
        sides = [_side(rng, hard, 0.5, 1, 0.0) for _ in range(2)]
        interval = paired_difference(*sides, resamples=400, seed=run).interval
        passed += interval.low >= -0.05 and interval.high <= 0.05
    assert passed > 40
