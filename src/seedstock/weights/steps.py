"""The step of a quantised value: how far apart the values lie that its block, or its float type, can hold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from seedstock.weights.elements import BLOCKS, Floats, decode

# Bytes of a block that hold codes: (start, stop, byte that adds one to every code); then those of high bits.
CODES: Mapping[str, tuple[tuple[int, int, int], tuple[tuple[int, int], ...]]] = {
    "Q4_0": ((2, 18, 0x11), ()),
    "Q4_1": ((4, 20, 0x11), ()),
    "Q5_0": ((6, 22, 0x11), ((2, 6),)),
    "Q5_1": ((8, 24, 0x11), ((4, 8),)),
    "Q8_0": ((2, 34, 0x01), ()),
    "Q2_K": ((16, 80, 0x55), ()),
    "Q4_K": ((16, 144, 0x11), ()),
    "Q5_K": ((48, 176, 0x11), ((16, 48),)),
    "Q6_K": ((0, 128, 0x11), ((128, 192),)),
}
_LEVELS = {"Q2_K": 4, "Q4_K": 16, "Q5_K": 32, "Q6_K": 64}
# Bits of the fraction, and the exponent of the smallest normal number.
_FRACTIONS = {
    "BF16": (7, -126), "F16": (10, -14), "F8_E4M3": (3, -6), "F8_E5M2": (2, -14), "F8_E4M3FNUZ": (3, -7),
    "F8_E5M2FNUZ": (2, -15), "F8_E8M0": (0, -126),
}  # fmt: skip


def code_steps(raw: bytes, dtype: str) -> Floats:
    """Step of every value: the same blocks decoded with all codes one, less all codes zero."""
    lowest, unit = _codes_set(raw, dtype)
    return np.asarray(np.abs(unit - lowest))


def within_range(raw: bytes, dtype: str, source: Floats) -> NDArray[np.bool_]:
    """Whether source values lie between the smallest and the largest that their block can hold."""
    lowest, unit = _codes_set(raw, dtype)
    highest = lowest + (unit - lowest) * (_LEVELS[dtype] - 1)
    return (source >= np.minimum(lowest, highest)) & (source <= np.maximum(lowest, highest))


def _codes_set(raw: bytes, dtype: str) -> tuple[Floats, Floats]:
    blocks = np.frombuffer(raw, dtype=np.uint8).reshape(-1, BLOCKS[dtype][1])
    (start, stop, one), high = CODES[dtype]
    zero, unit = blocks.copy(), blocks.copy()
    for low, up in high:
        zero[:, low:up] = unit[:, low:up] = 0
    zero[:, start:stop], unit[:, start:stop] = 0, one
    return decode(zero.tobytes(), dtype), decode(unit.tobytes(), dtype)


def float_steps(values: Floats, dtype: str) -> Floats:
    """Distance to the next value that the float type can hold, at each value."""
    fraction, smallest = _FRACTIONS[dtype]
    _, exponent = np.frexp(values)
    return np.asarray(np.ldexp(1.0, np.maximum(exponent - 1, smallest) - fraction), dtype=np.float32)
