"""Intervals: for a share of items, and for the paired difference of two models over the same items and several seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

from seedstock.adapt.rewards import intervals
from seedstock.core.errors import Invalid

Scores = NDArray[np.float64]
"""(seeds, items): the score of each item, the mean over its samples, between 0 and 1."""

RESAMPLES = 10_000
MAX_SCORES = 10_000_000
_NORMAL = NormalDist()
_PIECE_NUMBERS = 1 << 22


class Interval(msgspec.Struct, frozen=True):
    """From `low` to `high`, both inclusive."""

    low: float
    high: float


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Replica minus original: the mean, its interval, and what its uncertainty is made of."""

    mean: float
    interval: Interval
    items: int
    item_sd: float
    """Of one item's difference."""
    seed_variance: float
    """Of the mean, from the choice of seeds; 0 where each side has one seed."""


def wilson(share: float, n: float, confidence: float = 0.95) -> Interval:
    """Wilson's interval for a share of `n` independent items."""
    return Interval(*intervals.wilson(share * n, n, confidence))


def as_scores(values: Sequence[Sequence[float]] | Scores) -> Scores:
    """Check item-level results: seeds x items, all between 0 and 1. Raises Invalid."""
    try:
        scores = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise Invalid("Item-level results must be numbers, as many for each seed") from None
    if scores.ndim != 2 or not 0 < scores.size <= MAX_SCORES:
        raise Invalid(f"Item-level results have the shape {scores.shape}, not (seeds, items)")
    if not bool(((scores >= 0) & (scores <= 1)).all()):
        raise Invalid("Item-level results must lie between 0 and 1")
    return scores


def paired_difference(
    original: Scores, replica: Scores, *, confidence: float = 0.90, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """Bootstrap interval of the mean difference over the same items.

    Items are drawn again jointly for both sides, seeds for each side by itself. Percentiles of so few draws are too
    narrow: deviations are scaled by sqrt(n / (n - 1)) and the level is that of Student's t with Satterthwaite's degrees of
    freedom (T. Hesterberg, "What teachers should know about the bootstrap", 2015, section 5.3).
    """
    if original.shape[1] != replica.shape[1]:
        raise Invalid(f"{original.shape[1]} items of the original, {replica.shape[1]} of the replica")
    items = original.shape[1]
    by_item = replica.mean(axis=0) - original.mean(axis=0)
    mean = float(by_item.mean())
    item_sd = float(by_item.std(ddof=1)) if items > 1 else math.inf
    parts = [(item_sd**2 / items, items - 1)] + [_seed_part(side) for side in (original, replica)]
    seed_variance = sum(variance for variance, _ in parts[1:])
    if not math.isfinite(item_sd):
        interval = Interval(-1.0, 1.0)
    elif sum(variance for variance, _ in parts) == 0:
        interval = Interval(mean, mean)
    else:
        tail = _tail(parts, (1 - confidence) / 2)
        spread = _resampled(original, replica, resamples, np.random.default_rng(seed))
        low, high = np.quantile(spread, [tail, 1 - tail])
        interval = Interval(mean + float(low), mean + float(high))
    return Difference(mean=mean, interval=interval, items=items, item_sd=item_sd, seed_variance=seed_variance)


def _seed_part(side: Scores) -> tuple[float, int]:
    """Variance of one side's mean from its seeds, and its degrees of freedom."""
    seeds = side.shape[0]
    if seeds < 2:
        return 0.0, 1
    return float(side.mean(axis=1).var(ddof=1)) / seeds, seeds - 1


def _tail(parts: list[tuple[float, int]], alpha: float) -> float:
    """The normal tail that is as far out as Student's at `alpha`."""
    from scipy.stats import t as student

    total = sum(variance for variance, _ in parts)
    freedom = total**2 / sum(variance**2 / degrees for variance, degrees in parts if variance)
    return _NORMAL.cdf(float(student.ppf(alpha, freedom)))


def _resampled(original: Scores, replica: Scores, resamples: int, rng: np.random.Generator) -> Scores:
    """Deviations of the resampled mean difference from the mean difference."""
    items = original.shape[1]
    by_item = replica.mean(axis=0) - original.mean(axis=0)
    # Items with equal differences are drawn together: the same distribution, and scores take few values.
    values, counts = np.unique(np.round(by_item, 12), return_counts=True)
    rows = max(1, min(resamples, _PIECE_NUMBERS // len(values)))
    found = []
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        weights = rng.multinomial(items, counts / items, size=count) / items
        deviation = (weights @ values - by_item.mean()) * math.sqrt(items / (items - 1))
        for side in (original, replica):
            deviation += _seed_deviation(side, count, rng)
        found.append(deviation)
    return np.concatenate(found)


def _seed_deviation(side: Scores, count: int, rng: np.random.Generator) -> Scores:
    seeds = side.shape[0]
    if seeds < 2:
        return np.zeros(count)
    means = side.mean(axis=1)
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=count) / seeds
    return np.asarray((weights @ means - means.mean()) * math.sqrt(seeds / (seeds - 1)))
