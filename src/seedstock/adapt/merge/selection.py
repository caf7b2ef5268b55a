"""The largest changes of a tensor, found without sorting it and without holding it in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from seedstock.core.errors import Invalid
from seedstock.weights.elements import Floats

Magnitudes = Callable[[int, int], Floats]
_SAMPLES = 64
_SAMPLE_ELEMENTS = 4096
# The sample brackets the threshold; what lies between is collected. Where it missed, all values are.
_MARGIN = 0.03


class Largest:
    """Which elements are the largest in size; of equal ones those that come first, as a stable sort has it.

    Everything above `threshold`, and the first `ties` elements that equal it.
    """

    def __init__(self, threshold: np.float32, ties: int) -> None:
        self.threshold = threshold
        self.ties = ties
        self._left = ties

    def next_mask(self, sizes: Floats) -> NDArray[np.bool_]:
        """What is kept of the next piece of magnitudes."""
        kept: NDArray[np.bool_] = sizes > self.threshold
        if self._left:
            equal = np.flatnonzero(sizes == self.threshold)[: self._left]
            kept[equal] = True
            self._left -= equal.size
        return kept


def find_largest(magnitudes: Magnitudes, elements: int, count: int, piece: int) -> Largest:
    """The `count` largest of `elements`; `magnitudes(start, stop)` gives a piece, of no more than `piece` elements."""
    if elements > _SAMPLES * _SAMPLE_ELEMENTS:
        low, high = _bracket(magnitudes, elements, count)
        found = _within(magnitudes, elements, count, piece, low, high)
        if found is not None:
            return found
    found = _within(magnitudes, elements, count, piece, np.float32(0), np.float32(np.inf))
    if found is None:
        raise Invalid("The weights hold values that are not numbers")
    return found


def _bracket(magnitudes: Magnitudes, elements: int, count: int) -> tuple[np.float32, np.float32]:
    """Values between which the threshold most likely lies, from parts spread over the tensor."""
    starts = np.linspace(0, elements - _SAMPLE_ELEMENTS, _SAMPLES).astype(int)
    sample = np.sort(np.concatenate([magnitudes(at, at + _SAMPLE_ELEMENTS) for at in starts.tolist()]))
    place = 1 - count / elements
    last = sample.size - 1
    low = sample[max(0, int((place - _MARGIN) * last))] if place > _MARGIN else np.float32(0)
    high = sample[int((place + _MARGIN) * last)] if place + _MARGIN < 1 else np.float32(np.inf)
    return low, high


def _within(
    magnitudes: Magnitudes, elements: int, count: int, piece: int, low: np.float32, high: np.float32
) -> Largest | None:
    above = 0
    inside = []
    for start in range(0, elements, piece):
        sizes = magnitudes(start, min(start + piece, elements))
        above += int(np.count_nonzero(sizes > high))
        inside.append(sizes[(sizes >= low) & (sizes <= high)])
    between = np.concatenate(inside)
    rank = count - above
    if not 1 <= rank <= between.size:
        return None
    threshold = np.partition(between, between.size - rank)[between.size - rank]
    return Largest(threshold, rank - int(np.count_nonzero(between > threshold)))
