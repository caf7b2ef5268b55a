"""Traces of quantisation: a 4-bit or 8-bit grid that weights lie on, even after they were stored as floats."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from seedstock.core.errors import UnsupportedFormat
from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.elements import Floats, is_block_type
from seedstock.weights.layout import Layout, Slot, read_rows

_BLOCK = 32
_MAX_BLOCKS = 256
# Distinct values of 32 drawn bf16 weights: 30 and more; of 4-bit blocks at most 16.
_FOUR_BIT_LEVELS = 16
_FEWEST_LEVELS = 3
_Q8_SHARE = 0.9


def find_grid(checkpoint: Checkpoint, layout: Layout) -> str | None:
    """Return "q8_0", "4-bit" or another GGUF width such as "5-bit"; None where no grid is seen."""
    slot = _probe(layout)
    stored = main_dtype(checkpoint)
    if is_block_type(stored):
        return grid_of_type(stored)
    if slot is None:
        return None
    try:
        values = read_rows(checkpoint, slot, 0, _rows_for(slot, _MAX_BLOCKS * _BLOCK))
    except UnsupportedFormat:
        return None
    return grid_of_values(values)


def main_dtype(checkpoint: Checkpoint) -> str:
    """The element type that most stored bytes have."""
    sizes: Counter[str] = Counter()
    for info in checkpoint.tensors.values():
        sizes[info.dtype] += info.size_bytes
    return sizes.most_common(1)[0][0] if sizes else ""


def grid_of_type(dtype: str) -> str | None:
    """The grid that a GGUF block type implies."""
    if dtype == "Q8_0":
        return "q8_0"
    if dtype.startswith(("Q4", "IQ4", "MXFP4", "NVFP4")):
        return "4-bit"
    digit = next((letter for letter in dtype if letter.isdigit()), None)
    return f"{digit}-bit" if digit else None


def grid_of_values(values: Floats) -> str | None:
    """Look for a grid in rows of floats: few levels in each block of 32, or all multiples of the block's step."""
    columns = values.shape[-1] // _BLOCK * _BLOCK
    if columns == 0:
        return None
    blocks = values[..., :columns].reshape(-1, _BLOCK)[:_MAX_BLOCKS]
    blocks = blocks[np.isfinite(blocks).all(axis=1)]
    levels = distinct_levels(blocks)
    lively = levels >= _FEWEST_LEVELS
    if np.count_nonzero(lively) * 2 < len(blocks) or len(blocks) == 0:
        return None
    if (levels[lively] <= _FOUR_BIT_LEVELS).mean() > 0.98:
        return "4-bit"
    return "q8_0" if _eight_bit_share(blocks[lively]) > _Q8_SHARE else None


def distinct_levels(blocks: Floats) -> NDArray[np.int64]:
    """Number of distinct values in each row."""
    ordered = np.sort(blocks, axis=1)
    return np.asarray(1 + np.count_nonzero(np.diff(ordered, axis=1), axis=1), dtype=np.int64)


def _eight_bit_share(blocks: Floats) -> float:
    """Share of blocks whose small values are multiples of max/127; larger ones are blurred by bf16 rounding."""
    step = np.abs(blocks).max(axis=1, keepdims=True) / 127
    codes = blocks / step
    small = np.abs(codes) <= 24
    off = np.where(small, np.abs(codes - np.round(codes)), 0.0)
    enough = np.count_nonzero(small, axis=1) >= 3
    if np.count_nonzero(enough) < 8:
        return 0.0
    return float((off.max(axis=1)[enough] < 0.2).mean())


def _probe(layout: Layout) -> Slot | None:
    """The weight that is looked at: of the middle layer, one whose rows are not transposed or cut."""
    if not layout.layers:
        return None
    slots = layout.layers[len(layout.layers) // 2].slots
    for role in ("gate", "up", "o", "down"):
        slot = slots.get(role)
        if slot is not None and not slot.transposed:
            return slot
    return None


def _rows_for(slot: Slot, elements: int) -> int:
    return max(1, min(slot.shape[0] // 8, elements // max(slot.columns, 1)))
