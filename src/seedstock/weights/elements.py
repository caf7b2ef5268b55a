"""Raw bytes of a tensor to float32, for every element type that has a plain meaning.

Safetensors dtypes of 8 bits and more, and every GGUF type that the `gguf` package decodes. What only makes
sense together with other tensors (4-bit packings, complex numbers) is UnsupportedFormat, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from seedstock.core.errors import UnsupportedFormat
from seedstock.metadata.gguf_types import TENSOR_TYPES

Floats = NDArray[np.float32]

_PLAIN: Mapping[str, str] = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1", "BOOL": "u1", "I16": "<i2", "U16": "<u2",
    "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8",
}  # fmt: skip
# exponent bits, mantissa bits, exponent bias, how the largest codes are read
_FLOAT8: Mapping[str, tuple[int, int, int, str]] = {
    "F8_E4M3": (4, 3, 7, "nan at the end"),
    "F8_E5M2": (5, 2, 15, "as IEEE"),
    "F8_E4M3FNUZ": (4, 3, 8, "nan at minus zero"),
    "F8_E5M2FNUZ": (5, 2, 16, "nan at minus zero"),
    "F8_E8M0": (8, 0, 127, "unsigned power"),
}
# elements and bytes of one block
BLOCKS: Mapping[str, tuple[int, int]] = {
    name: (elements, size_bytes) for name, elements, size_bytes in TENSOR_TYPES.values()
}
FLOAT_TYPES = frozenset({"F64", "F32", "F16", "BF16"} | set(_FLOAT8))
_DECODED_AT_ONCE = 1 << 18
_GGUF_PLAIN = frozenset({"F64", "F32", "F16", "BF16", "I8", "I16", "I32", "I64"})


def is_block_type(dtype: str) -> bool:
    """Whether elements are stored in blocks that share a scale (GGUF quantisation)."""
    return dtype in BLOCKS and dtype not in _GGUF_PLAIN


def decode(raw: bytes, dtype: str) -> Floats:
    """Return the elements as a flat array; `raw` holds whole elements or whole blocks."""
    if dtype in _PLAIN:
        with np.errstate(all="ignore"):
            return np.frombuffer(raw, dtype=_PLAIN[dtype]).astype(np.float32)
    if dtype == "BF16":
        return (np.frombuffer(raw, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype in _FLOAT8:
        return _float8_values(dtype)[np.frombuffer(raw, dtype=np.uint8)]
    if is_block_type(dtype):
        return _decode_blocks(raw, dtype)
    raise UnsupportedFormat(f"Elements of type {dtype[:40]!r} cannot be read as numbers")


def _decode_blocks(raw: bytes, dtype: str) -> Floats:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    elements, block_bytes = BLOCKS[dtype]
    # One long row a call: `dequantize` loops over rows in groups of 16, which made blocks as rows 5 times slower.
    step = max(1, _DECODED_AT_ONCE // elements) * block_bytes
    out = np.empty(len(raw) // block_bytes * elements, dtype=np.float32)
    try:
        for start in range(0, len(raw), step):
            row = np.frombuffer(raw[start : start + step], dtype=np.uint8).reshape(1, -1)
            at = start // block_bytes * elements
            with np.errstate(all="ignore"):
                values = dequantize(row, GGMLQuantizationType[dtype])
            out[at : at + values.size] = values.reshape(-1)
    except (NotImplementedError, KeyError) as error:
        raise UnsupportedFormat(f"GGUF blocks of type {dtype!r} cannot be decoded") from error
    return out


@cache
def _float8_values(dtype: str) -> Floats:
    exponent_bits, mantissa_bits, bias, ending = _FLOAT8[dtype]
    codes = np.arange(256, dtype=np.int64)
    if ending == "unsigned power":
        powers = np.ldexp(1.0, np.minimum(codes, 254) - bias)
        powers[255] = np.nan
        return np.asarray(powers, dtype=np.float32)
    mantissa = (codes & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    exponent = (codes >> mantissa_bits) & ((1 << exponent_bits) - 1)
    size = np.where(exponent == 0, np.ldexp(mantissa, 1 - bias), np.ldexp(1 + mantissa, exponent - bias))
    values = np.where(codes >= 128, -size, size)
    if ending == "nan at the end":
        values[[0x7F, 0xFF]] = np.nan
    elif ending == "nan at minus zero":
        values[0x80] = np.nan
    else:
        top = exponent == (1 << exponent_bits) - 1
        values[top] = np.where(mantissa[top] == 0, np.where(codes[top] >= 128, -np.inf, np.inf), np.nan)
    return values.astype(np.float32)


def round_bf16(values: Floats) -> Floats:
    """Round to the nearest bfloat16, ties to even, as every training framework does."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32)
