"""Element types of a merge: how stored bytes become float32, how a step's result is rounded, how it is stored again.

The arithmetic is done in float32. A narrower type is imitated by rounding after every step, which is what torch does
with tensors of that type on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from seedstock.core.errors import Invalid, UnsupportedFormat
from seedstock.weights.elements import Floats

ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
BY_NAME = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_NAN_BF16 = 0x7FC0


def promoted(dtypes: Iterable[str]) -> str:
    """The type that holds the values of all given ones: float16 and bfloat16 meet in float32."""
    found = set(dtypes)
    return found.pop() if len(found) == 1 else "F32"


def decode_into(raw: NDArray[np.uint8], dtype: str, out: Floats) -> None:
    """Stored bytes to float32."""
    if dtype == "F32":
        out[:] = raw.view("<f4")
    elif dtype == "F16":
        out[:] = raw.view("<f2")
    elif dtype == "BF16":
        np.left_shift(raw.view("<u2"), 16, out=out.view(np.uint32), dtype=np.uint32)
    else:
        raise UnsupportedFormat(f"Elements of type {dtype[:40]!r} cannot be merged")


def encode(values: Floats, dtype: str, name: str) -> memoryview:
    """Values as they are stored. Raises Invalid where float16 cannot hold them; `values` may be overwritten."""
    if dtype == "F32":
        return np.ascontiguousarray(values).data.cast("B")
    if dtype == "BF16":
        return _bf16_bits(values).data.cast("B")
    with np.errstate(over="ignore"):
        half = values.astype("<f2")
    if np.isinf(half).any():
        raise Invalid(
            f"Tensor {name!r} holds numbers too large for float16", hint="Choose bfloat16 or float32 as dtype"
        )
    return half.data.cast("B")


def round_to(values: Floats, dtype: str) -> Floats:
    """Round in place to a narrower type; returns `values`."""
    if dtype == "F16":
        with np.errstate(over="ignore"):
            values[:] = values.astype(np.float16)
    elif dtype == "BF16":
        np.left_shift(_bf16_bits(values), 16, out=values.view(np.uint32), dtype=np.uint32)
    return values


def rounded(number: float, dtype: str) -> np.float32:
    """A single number as that type holds it."""
    return np.float32(round_to(np.array([number], np.float32), dtype)[0])


def _bf16_bits(values: Floats) -> NDArray[np.uint16]:
    """Nearest bfloat16, ties to even; NaN stays NaN."""
    bits = values.view(np.uint32)
    work = bits >> np.uint32(16)
    work &= np.uint32(1)
    work += np.uint32(0x7FFF)
    work += bits
    work >>= np.uint32(16)
    out = work.astype("<u2")
    if values.size and np.isnan(values.max()):  # the greatest value is NaN where any is: one fast pass
        out[np.isnan(values)] = _NAN_BF16
    return out
