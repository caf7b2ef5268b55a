"""Is a difference of two matrices of low rank, up to the rounding of the stored type? The trace of a merged LoRA.

The leading singular parts of the difference are added to the one matrix until they foretell the other, to
within rounding, at most places that changed. For a merged LoRA that share peaks at its rank (0.79 to 0.98 was
seen) and falls beyond, where rounding is fitted. For a fine-tune of all weights it creeps up to the last rank
tried, and stays below 0.68, even where so little changed that only last digits flipped.
"""

from __future__ import annotations

import msgspec
import numpy as np

from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.elements import Floats, round_bf16
from seedstock.weights.layout import Slot, read_rows

_SIDE = 768
_LEAST_SIDE = 32
# Bits of the fraction; float32 and wider count as 20 because sums of products are not exact to the last bits.
_FRACTION = {"BF16": 7, "F16": 10, "F32": 20, "F64": 20}
# Rounding alone leaves at most half a unit in the last place; the low-rank part is itself known only roughly.
_WITHIN_UNITS = 0.75
_LEAST_EXPLAINED = 0.73
_FLAT = 0.02
_LEAST_CHANGED = 256
# More of the differences than this within rounding, and nothing but rounding is seen.
_MOST_ROUNDING = 0.5
_RANKS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 192)


class LowRank(msgspec.Struct, frozen=True):
    """`explained`: share of the changed places that a part of `rank` foretells; `tried`: the largest rank tried."""

    rank: int
    explained: float
    tried: int

    @property
    def low(self) -> bool:
        """Whether the difference is of low rank."""
        return self.explained >= _LEAST_EXPLAINED and self.rank * 4 <= self.tried * 3


def low_rank(a: Checkpoint, slot_a: Slot, b: Checkpoint, slot_b: Slot) -> LowRank | None:
    """Test the leading block of the difference. None if types cannot be judged or hardly anything differs."""
    if slot_a.dtype not in _FRACTION or slot_b.dtype not in _FRACTION or slot_a.shape != slot_b.shape:
        return None
    rows = min(_SIDE, slot_a.shape[0])
    left, right = read_rows(a, slot_a, 0, rows)[:, :_SIDE], read_rows(b, slot_b, 0, rows)[:, :_SIDE]
    if min(left.shape) < _LEAST_SIDE or not (np.isfinite(left).all() and np.isfinite(right).all()):
        return None
    return _judge(left, right, np.maximum(_units(left, slot_a.dtype), _units(right, slot_b.dtype)))


def _units(values: Floats, dtype: str) -> Floats:
    """A unit in the last place at each value: of the type, or of bfloat16 where a wider type holds nothing finer."""
    fraction = _FRACTION["BF16"] if np.array_equal(round_bf16(values), values) else _FRACTION[dtype]
    _, exponent = np.frexp(values)
    return np.asarray(np.ldexp(1.0, exponent - 1 - fraction), dtype=np.float32)


def _judge(one: Floats, other: Floats, units: Floats) -> LowRank | None:
    delta = other.astype(np.float64) - one
    changed = delta != 0
    if np.count_nonzero(changed) < _LEAST_CHANGED:
        return None
    u, singular, vt = np.linalg.svd(delta, full_matrices=False)
    ranks = [rank for rank in _RANKS if rank <= min(delta.shape) // 4]
    left, done = delta, 0
    if float((np.abs(delta) <= _WITHIN_UNITS * units)[changed].mean()) > _MOST_ROUNDING:
        return None
    shares = []
    for rank in ranks:
        left = left - (u[:, done:rank] * singular[done:rank]) @ vt[done:rank]
        done = rank
        shares.append(float((np.abs(left) <= _WITHIN_UNITS * units)[changed].mean()))
    best = int(np.argmax(np.array(shares) >= max(shares) - _FLAT))  # the first: noise alone adds a little
    return LowRank(ranks[best], shares[best], ranks[-1])
