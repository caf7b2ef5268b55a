"""Float32 to the element types of GGUF.

`ggml_quantize_chunk` of the library inside the `xllamacpp` wheel does all of them, K-quants included; the symbol is
not public, so that a test holds it to `gguf`'s decoder. Without the wheel, `gguf` does those that it can encode.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from seedstock.convert.mixtures import stored_bytes
from seedstock.core.errors import UnsupportedFormat
from seedstock.weights.elements import Floats, round_bf16

_PLAIN = frozenset({"F32", "F16", "BF16"})
_WITHOUT_WHEEL = frozenset({"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"})
_LARGEST_F16 = 65504.0

_Chunk = Callable[..., int]


def can_quantise(dtype: str) -> bool:
    """Whether this machine can write elements of that type."""
    return dtype in _PLAIN or dtype in _WITHOUT_WHEEL or _chunk() is not None


def quantise(values: Floats, dtype: str, width: int) -> bytes:
    """Flat float32 in rows of `width` to stored bytes. Raises UnsupportedFormat for what no block can hold."""
    if not np.isfinite(values).all():
        raise UnsupportedFormat("The weights hold numbers that are infinite or not a number")
    if dtype == "F32":
        return values.astype("<f4").tobytes()
    if dtype == "BF16":
        return (round_bf16(values).view(np.uint32) >> 16).astype("<u2").tobytes()
    if values.size and float(np.abs(values).max()) > _LARGEST_F16:
        # As an element of F16, or as the scale of a block, it would become infinite.
        raise UnsupportedFormat("The weights hold numbers too large for this type", hint="choose BF16")
    if dtype == "F16":
        return values.astype("<f2").tobytes()
    chunk = _chunk()
    return _with_gguf(values, dtype, width) if chunk is None else _with_ggml(chunk, values, dtype, width)


def _with_gguf(values: Floats, dtype: str, width: int) -> bytes:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import quantize

    if dtype not in _WITHOUT_WHEEL:
        raise UnsupportedFormat(
            f"Nothing installed here can write {dtype}", hint="pip install 'seedstock[run]'"
        )
    return quantize(values.reshape(-1, width), GGMLQuantizationType[dtype]).tobytes()


def _with_ggml(chunk: _Chunk, values: Floats, dtype: str, width: int) -> bytes:
    from gguf.constants import GGMLQuantizationType

    source = np.ascontiguousarray(values, dtype=np.float32)
    size_bytes = stored_bytes(dtype, source.size)
    out = np.empty(size_bytes, dtype=np.uint8)
    rows = source.size // width
    written = chunk(
        int(GGMLQuantizationType[dtype]), source.ctypes.data, out.ctypes.data, 0, rows, width, None
    )
    if written != size_bytes:
        raise UnsupportedFormat(f"The installed llama.cpp wrote {written} bytes of {dtype}, not {size_bytes}")
    return out.tobytes()


@cache
def _chunk() -> _Chunk | None:
    """The library's function; None where the wheel is not installed or hides it. The module itself is not run."""
    spec = find_spec("xllamacpp")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("xllamacpp*.so")):
            try:
                function = ctypes.CDLL(str(path)).ggml_quantize_chunk
            except (OSError, AttributeError):
                continue
            function.restype = ctypes.c_size_t
            pointer, number = ctypes.c_void_p, ctypes.c_int64
            function.argtypes = [ctypes.c_int, pointer, pointer, number, number, number, pointer]
            return function
    return None
