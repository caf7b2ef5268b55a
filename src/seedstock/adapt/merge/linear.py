"""Weighted averages (model soups, arXiv 2203.05482) and spherical interpolation (Shoemake 1985)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from seedstock.adapt.merge.job import Job, buffers
from seedstock.adapt.merge.precision import round_to
from seedstock.core.errors import Invalid
from seedstock.weights.elements import Floats

# Above this cosine the two are on one line as far as float32 can tell, and the straight way is taken.
NEARLY_PARALLEL = 0.9995
_NO_LENGTH = 1e-8


def linear(job: Job, weights: Sequence[float], normalize: bool) -> Iterator[Floats]:
    """sum(w x) / sum(w), in float32 whatever the models are stored as."""
    factors = [np.float32(weight) for weight in weights]
    total = np.float32(sum(factors, np.float32(0)))
    if normalize and total == 0:
        raise Invalid("The weights add up to zero, so that the result cannot be divided by their sum")
    value, term, out = buffers(3)
    for start, stop in job.pieces():
        size = stop - start
        result, product = out[:size], term[:size]
        for at, (part, factor) in enumerate(zip(job.parts, factors, strict=True)):
            np.multiply(job.load(part, start, value[:size]), factor, out=product if at else result)
            if at:
                result += product
        if normalize and total != 1:
            result /= total
        yield round_to(result, job.arithmetic)


def slerp(job: Job, fraction: float) -> Iterator[Floats]:
    """From the first model to the second along the arc between them, the whole tensor as one vector."""
    near, far = _coefficients(job, fraction)
    one, other = buffers(2)
    for start, stop in job.pieces():
        x = job.load(job.parts[0], start, one[: stop - start])
        y = job.load(job.parts[1], start, other[: stop - start])
        x *= near
        y *= far
        x += y
        yield round_to(x, job.arithmetic)


def _coefficients(job: Job, fraction: float) -> tuple[np.float32, np.float32]:
    """What each end is multiplied by. Sums of a piece are pairwise in float32, those over pieces in float64."""
    one, other, products = buffers(3)
    squares_x = squares_y = dot = 0.0
    for start, stop in job.pieces():
        x = job.load(job.parts[0], start, one[: stop - start])
        y = job.load(job.parts[1], start, other[: stop - start])
        product = products[: stop - start]
        dot += float(np.multiply(x, y, out=product).sum())
        squares_x += float(np.multiply(x, x, out=product).sum())
        squares_y += float(np.multiply(y, y, out=product).sum())
    lengths = [math.sqrt(squares) for squares in (squares_x, squares_y)]
    lengths = [length if length > _NO_LENGTH else 1.0 for length in lengths]
    cosine = max(-1.0, min(1.0, dot / (lengths[0] * lengths[1])))
    if abs(cosine) > NEARLY_PARALLEL:
        return np.float32(1 - fraction), np.float32(fraction)
    angle = math.acos(cosine)
    near, far = math.sin((1 - fraction) * angle), math.sin(fraction * angle)
    return np.float32(near / math.sin(angle)), np.float32(far / math.sin(angle))
