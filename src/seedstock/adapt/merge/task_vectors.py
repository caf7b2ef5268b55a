"""Merges of changes from a common base: task arithmetic, TIES, DARE.

Every step is what mergekit's generalized task arithmetic does, rounded to the type of the arithmetic where that is
narrower than float32. TIES by hand that rounds elsewhere chooses other elements: 16-bit changes are equal in size by
the thousand at the threshold, and signs are summed after the weights were applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from seedstock.adapt.merge.job import PIECE, Job, Part, buffers
from seedstock.adapt.merge.masks import kept_pieces
from seedstock.adapt.merge.precision import round_to, rounded
from seedstock.adapt.merge.selection import Largest, find_largest
from seedstock.weights.elements import Floats

Mask = NDArray[np.bool_]
_SMALLEST_NORM = 1e-7
_SMALLEST_SUM = 1e-8


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How changes are put together; `weights` and `density` for one tensor."""

    weights: Sequence[float]
    density: Sequence[float]
    drop: str = ""
    """`smallest` (TIES), `random` (DARE) or nothing."""
    elect: bool = False
    """Only changes of the sign that weighs more are added up."""
    normalize: bool = False
    rescale: str = "norm"
    scale: float = 1.0


def merged_changes(job: Job, recipe: Recipe) -> Iterator[Floats]:
    """Base + scale * combination of the changes from it, piece by piece."""
    assert job.base is not None
    weights = [rounded(weight, job.arithmetic) for weight in recipe.weights]
    changes = [_changes(job, at, part, recipe) for at, part in enumerate(job.parts)]
    base, total, work, counted = buffers(4)
    for start, stop in job.pieces():
        size = stop - start
        under = job.load(job.base, start, base[:size])
        weighted = []
        for change, weight in zip(changes, weights, strict=True):
            delta = change.piece(start, under)
            if weight != 1:
                delta *= weight
                round_to(delta, job.arithmetic)
            weighted.append(delta)
        result = total[:size]
        if recipe.elect:
            _elect(job, recipe, weighted, weights, result, work[:size], counted[:size])
        else:
            _add_up(job, recipe, weighted, weights, result)
        if recipe.scale != 1:
            result *= np.float32(recipe.scale)
            round_to(result, job.arithmetic)
        result += under
        yield round_to(result, job.arithmetic)


def _add_up(
    job: Job, recipe: Recipe, weighted: list[Floats], weights: list[np.float32], result: Floats
) -> None:
    _sum(weighted, result, job.arithmetic)
    divisor = rounded(float(sum(weights, np.float32(0))), job.arithmetic)
    if recipe.normalize and abs(divisor) >= _SMALLEST_SUM:
        result /= divisor
        round_to(result, job.arithmetic)


def _elect(
    job: Job,
    recipe: Recipe,
    weighted: list[Floats],
    weights: list[np.float32],
    result: Floats,
    sign: Floats,
    divisor: Floats,
) -> None:
    """TIES, steps two and three. Changes are turned so that the elected sign is plus; then the others are cut to zero."""
    _sum(weighted, result, job.arithmetic)
    np.copyto(sign, np.float32(1))
    sign[result < 0] = -1
    divisor[:] = 0
    result[:] = 0
    for delta, weight in zip(weighted, weights, strict=True):
        np.multiply(delta, sign, out=delta)
        np.maximum(delta, 0, out=delta)
        result += delta
        if recipe.normalize:
            divisor += np.multiply(delta > 0, weight, dtype=np.float32)
    result *= sign
    round_to(result, job.arithmetic)
    if recipe.normalize:
        round_to(divisor, job.arithmetic)
        divisor[divisor == 0] = 1
        result /= divisor
        round_to(result, job.arithmetic)


def _sum(parts: list[Floats], out: Floats, dtype: str) -> None:
    np.copyto(out, parts[0])
    for part in parts[1:]:
        out += part
    round_to(out, dtype)


def _changes(job: Job, at: int, part: Part, recipe: Recipe) -> _Changes:
    density = recipe.density[at] if recipe.drop else 1.0
    if density >= 1:
        return _Changes(job, part)
    if recipe.drop == "smallest":
        return _LargestChanges(job, part, density)
    return _RandomChanges(job, part, density, at, recipe.rescale)


class _Changes:
    """A model's changes from the base, piece by piece in order."""

    def __init__(self, job: Job, part: Part) -> None:
        self._job = job
        self._part = part
        self._out, self._under, self._sizes = buffers(3)

    def piece(self, start: int, under: Floats) -> Floats:
        """The piece that starts at `start`, where the base is `under`. Overwritten by the next."""
        return self._all(start, under)

    def _all(self, start: int, under: Floats) -> Floats:
        delta = self._job.load(self._part, start, self._out[: under.size])
        delta -= under
        return round_to(delta, self._job.arithmetic)

    def _magnitudes(self, start: int, stop: int) -> Floats:
        """Any piece in size, with the base read again."""
        assert self._job.base is not None
        delta = self._all(start, self._job.load(self._job.base, start, self._under[: stop - start]))
        return np.abs(delta, out=delta)


class _LargestChanges(_Changes):
    """Only the largest changes; the rest is zero."""

    def __init__(self, job: Job, part: Part, density: float) -> None:
        super().__init__(job, part)
        self._chosen = Largest(np.float32(np.inf), 0)
        if density > 0 and job.elements:
            count = max(1, int(density * job.elements))
            self._chosen = find_largest(self._magnitudes, job.elements, count, PIECE)

    def piece(self, start: int, under: Floats) -> Floats:
        delta = self._all(start, under)
        delta *= self._chosen.next_mask(np.abs(delta, out=self._sizes[: delta.size]))
        return delta


class _RandomChanges(_Changes):
    """Changes that chance keeps, scaled up for those that it drops."""

    def __init__(self, job: Job, part: Part, density: float, at: int, rescale: str) -> None:
        super().__init__(job, part)
        self._factor = np.float32(1)
        # mergekit rescales float16 in float32, and bfloat16 in bfloat16.
        self._dtype = "BF16" if job.arithmetic == "BF16" else "F32"
        self._masks = kept_pieces(job.seed, job.name, at, density, job.elements, PIECE)
        if rescale == "norm":
            self._masks = self._measured(self._masks)
        elif rescale == "density" and density > 0:
            self._factor = rounded(1 / density, self._dtype)

    def piece(self, start: int, under: Floats) -> Floats:
        delta = self._all(start, under)
        delta *= next(self._masks)
        if self._factor != 1:
            delta *= self._factor
            round_to(delta, self._job.arithmetic)
        return delta

    def _measured(self, masks: Iterator[Mask]) -> Iterator[Mask]:
        """Find the factor; gives the masks again, kept in bits meanwhile."""
        kept = []
        before = after = 0.0
        for (start, stop), mask in zip(self._job.pieces(), masks, strict=True):
            sizes = self._magnitudes(start, stop)
            before += float(sizes.sum())
            sizes *= mask
            after += float(sizes.sum())
            kept.append((np.packbits(mask), stop - start))
        all_of, rest = rounded(before, self._dtype), rounded(after, self._dtype)
        if all_of >= _SMALLEST_NORM and rest >= _SMALLEST_NORM:
            self._factor = rounded(float(all_of / rest), self._dtype)
        return (np.unpackbits(bits, count=size).view(np.bool_) for bits, size in kept)
