"""Results as numbers: the share of items that were right, how sure that is, and how two models compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from seedstock.core.errors import Invalid
from seedstock.recipes.statistics import Interval, as_scores, paired_difference, wilson

CONFIDENCE = 0.95
INTERVAL = "wilson"
"""Of a share: Wilson's score interval. Of a paired difference: a bootstrap over the items."""


class Figure(msgspec.Struct, frozen=True):
    """A share with its standard error and its 95 % interval."""

    n: int
    score: float
    stderr: float
    low: float
    high: float


class Comparison(msgspec.Struct, frozen=True):
    """The second result minus the first, item by item."""

    n: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    only_first: int
    """Items that only the first got right."""
    only_second: int
    distinguishable: bool
    """Whether the 95 % interval of the difference leaves 0 out."""


def figure(scores: Sequence[float]) -> Figure:
    """The figure of scores that are 0 or 1 each."""
    n = len(scores)
    share = sum(scores) / n if n else 0.0
    interval = wilson(share, n, CONFIDENCE)
    stderr = math.sqrt(share * (1 - share) / n) if n else 0.0
    return Figure(n, share, stderr, interval.low, interval.high)


def by_group(groups: Sequence[str], scores: Sequence[float]) -> dict[str, Figure]:
    """The figure of each group of items, by its name in order; empty where there is one."""
    names = sorted(set(groups))
    if len(names) < 2:
        return {}
    found = {
        name: [score for group, score in zip(groups, scores, strict=True) if group == name] for name in names
    }
    return {name: figure(values) for name, values in found.items()}


def compare(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """The paired difference of two results on the same items, scores of 0 or 1 each. Raises Invalid."""
    if len(first) != len(second):
        raise Invalid("The results are of different items")
    pairs = list(zip(first, second, strict=True))
    only_first = sum(1 for a, b in pairs if a > b)
    only_second = sum(1 for a, b in pairs if b > a)
    means = sum(first) / len(first), sum(second) / len(second)
    interval = _interval(only_first, len(pairs) - only_first - only_second, only_second)
    low, high = max(-1.0, interval.low), min(1.0, interval.high)
    return Comparison(
        n=len(first),
        first=means[0],
        second=means[1],
        difference=means[1] - means[0],
        low=low,
        high=high,
        only_first=only_first,
        only_second=only_second,
        distinguishable=low > 0 or high < 0,
    )


@lru_cache(maxsize=1 << 15)
def _interval(only_first: int, alike: int, only_second: int) -> Interval:
    """Of the mean difference. It hangs on these counts alone, and takes milliseconds to resample."""
    # With one item nothing is known; where all items agree, the difference is exactly 0 and so is its spread.
    if only_first + alike + only_second < 2:
        return Interval(-1.0, 1.0)
    first = [1.0] * only_first + [0.0] * (alike + only_second)
    second = [0.0] * (only_first + alike) + [1.0] * only_second
    return paired_difference(as_scores([first]), as_scores([second]), confidence=CONFIDENCE).interval
