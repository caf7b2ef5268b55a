"""How far a replica may be off: the author's margin, within what seeds, items and a hard cap allow."""

from __future__ import annotations

import math

import msgspec

from seedstock.recipes.recipe import Claim
from seedstock.recipes.statistics import wilson

CAP = 0.10
"""No result that is ten points off is the same result, whoever declares it so."""
MAX_ITEMS = 10_000_000


class Margin(msgspec.Struct, frozen=True):
    """What a claim is judged by. `refused` says why no margin that is allowed can be told apart with so few items."""

    value: float
    floor: float
    """Half of Wilson's 95 % interval: what the items of the claim can tell apart."""
    refused: str | None = None


def allowed_margin(declared: float, seed_sd: float, *, value: float, items: int, samples: int = 1) -> Margin:
    """The larger of what is declared and twice the spread over seeds, at most `CAP`; refused below the floor."""
    margin = min(max(declared, 2 * seed_sd), CAP)
    floor = resolution(value, items, samples)
    if margin >= floor:
        return Margin(margin, floor)
    needed = items_for(margin, value, samples)
    reason = (
        f"{items} items tell {floor:.3f} apart at best, the margin is {margin:.3f}: it takes {needed} items"
    )
    return Margin(margin, floor, reason)


def margin_of(claim: Claim) -> Margin:
    """The margin that a claim is judged by."""
    how = claim.eval
    return allowed_margin(claim.margin, claim.seed_sd, value=claim.value, items=how.n, samples=how.samples)


def resolution(value: float, items: int, samples: int = 1) -> float:
    """Half the width of Wilson's 95 % interval for a share of `value`."""
    interval = wilson(value, _effective(items, samples))
    return (interval.high - interval.low) / 2


def items_for(margin: float, value: float, samples: int = 1) -> int:
    """The fewest items that tell `margin` apart, at most `MAX_ITEMS`."""
    low, high = 1, MAX_ITEMS
    while low < high:
        middle = (low + high) // 2
        if resolution(value, middle, samples) <= margin:
            high = middle
        else:
            low = middle + 1
    return low


def items_to_decide(sd: float, margin: float, mean: float) -> int | None:
    """Items at which a 90 % interval around `mean` would no longer straddle the margin: (1.645 sd / gap)^2.

    None: the difference is so near the margin that no number of items that is practical would do.
    """
    gap = abs(margin - abs(mean))
    if not math.isfinite(sd) or gap <= 0:
        return None
    needed = math.ceil((1.645 * sd / gap) ** 2)
    return max(needed, 2) if needed <= MAX_ITEMS else None


def _effective(items: int, samples: int) -> float:
    """Independent answers that `samples` of each item are worth, at a correlation of one half within an item."""
    return items * 2 * samples / (samples + 1)
