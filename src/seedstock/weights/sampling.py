"""Samples of a tensor at drawn places, equal in both of two models whatever files hold them.

Places depend on a seed that is drawn for each comparison and kept with it: whoever knew them beforehand could
plant a thirtieth of another model's values there and look like its child.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.elements import Floats
from seedstock.weights.layout import Slot, read_rows

# Starts are multiples of this, so that a sample begins with a block in every GGUF type.
_UNIT = 256
_RUNS = 8
_CLIP = 4.0


def drawn(count: int, wanted: int, seed: int) -> NDArray[np.int64]:
    """`wanted` of `count` positions, rising: one from each of as many equal stretches; all if there are few."""
    if count <= wanted:
        return np.arange(count, dtype=np.int64)
    edges = np.arange(wanted + 1, dtype=np.int64) * count // wanted
    rng = np.random.default_rng([seed, count, wanted])
    return edges[:-1] + (rng.random(wanted) * np.diff(edges)).astype(np.int64)


def sample_places(elements: int, count: int, seed: int) -> list[tuple[int, int]]:
    """Ranges of flat positions: all if there are few, else eight runs, each somewhere in its own eighth.

    Of two runs, one falls into a planted tenth of the tensor in a fifth of all draws, which is half the sample.
    """
    if elements <= count:
        return [(0, elements)]
    length = max(_UNIT, count // _RUNS // _UNIT * _UNIT)
    starts = (drawn(max(1, elements // _UNIT), max(1, count // length), seed) * _UNIT).tolist()
    lasts = [*starts[1:], elements]  # a run ends where the next begins
    return [(start, min(start + length, last)) for start, last in zip(starts, lasts, strict=True)]


def sample(checkpoint: Checkpoint, slot: Slot, count: int, seed: int) -> Floats:
    """Return about `count` values in logical row-major order."""
    places = sample_places(slot.elements, count, seed)
    if slot.transposed:
        flat = read_rows(checkpoint, slot).reshape(-1)
        return np.concatenate([flat[start:stop] for start, stop in places])
    offset = slot.first * slot.columns
    return np.concatenate(
        [checkpoint.values(slot.name, offset + start, offset + stop) for start, stop in places]
    )


def sample_pair(
    a: Checkpoint, slot_a: Slot, b: Checkpoint, slot_b: Slot, count: int, seed: int
) -> tuple[Floats, Floats]:
    """Return the same places of two slots of one shape."""
    if slot_a.transposed and slot_b.transposed:  # both stored so: no need to read them whole
        slot_a, slot_b = _as_stored(slot_a), _as_stored(slot_b)
    return sample(a, slot_a, count, seed), sample(b, slot_b, count, seed)


def _as_stored(slot: Slot) -> Slot:
    return Slot(slot.name, 0, slot.columns, slot.last - slot.first, slot.dtype)


def is_constant(values: Floats) -> bool:
    """Whether values cannot tell two models apart: nearly all the same."""
    if values.size == 0:
        return True
    return bool(np.count_nonzero(values == values[0]) > 0.9 * values.size) or bool(np.ptp(values) == 0)


def standardised(values: Floats) -> NDArray[np.float64]:
    """Centred, clipped at four standard deviations so that no outlier decides, and of unit length; or zeros."""
    centred = values.astype(np.float64) - values.mean(dtype=np.float64)
    spread = float(centred.std())
    if not spread > 0:
        return np.zeros(centred.shape)
    clipped = np.clip(centred, -_CLIP * spread, _CLIP * spread)
    return np.asarray(clipped / np.linalg.norm(clipped))


def cosine(a: Floats, b: Floats) -> float:
    """Correlation of two samples, robust against outliers; 0 where one is constant."""
    return float(standardised(a) @ standardised(b))
