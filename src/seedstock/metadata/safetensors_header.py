"""Safetensors headers: 8 bytes of little-endian length, then JSON; tensors follow without gaps.

Every fault of the file is UnsupportedFormat with a one-line reason. Memory is bounded by the header limit
and by the number of entries, which is counted before anything is decoded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Annotated

import msgspec

from seedstock.core.errors import TooLarge, UnsupportedFormat
from seedstock.metadata.source import RangeReader, read_exact, read_whole

MAX_HEADER_BYTES = 25_000_000
MAX_INDEX_BYTES = 25_000_000
# A tensor spends four colons (name, dtype, shape, data_offsets): this allows 250,000 of them.
MAX_COLONS = 1_000_000
MAX_RANK = 32

DTYPE_BITS: Mapping[str, int] = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
    "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip

_Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Shape = Annotated[tuple[_Size, ...], msgspec.Meta(max_length=MAX_RANK)]


class TensorHeader(msgspec.Struct, frozen=True):
    """One tensor; `data_offsets` are [start, stop) in bytes after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]

    @property
    def parameters(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class SafetensorsHeader(msgspec.Struct, frozen=True):
    """A checked header: tensors in the order of their bytes, and the free metadata map."""

    tensors: tuple[TensorHeader, ...]
    metadata: dict[str, str]
    header_bytes: int


class _RawTensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: _Shape
    data_offsets: tuple[_Size, _Size]


class _RawIndex(msgspec.Struct, frozen=True):
    weight_map: dict[str, str]


_ENTRIES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TENSOR = msgspec.json.Decoder(_RawTensor)
_METADATA = msgspec.json.Decoder(dict[str, str])
_INDEX = msgspec.json.Decoder(_RawIndex)


def read_safetensors_header(reader: RangeReader) -> SafetensorsHeader:
    """Read and check the header of a safetensors file in two range reads. Raises UnsupportedFormat."""
    length = int.from_bytes(read_exact(reader, 0, 8), "little")
    if length > MAX_HEADER_BYTES:
        raise UnsupportedFormat(f"Header of {length} bytes; at most {MAX_HEADER_BYTES} are allowed")
    raw = read_exact(reader, 8, 8 + length)
    if not raw.startswith(b"{"):
        raise UnsupportedFormat("The header does not start with '{'")
    if raw.count(b":") > MAX_COLONS:
        raise UnsupportedFormat(f"The header has more than {MAX_COLONS // 4} entries")
    metadata, tensors = _decode(raw)
    ordered = tuple(sorted(tensors, key=lambda tensor: (tensor.data_offsets, tensor.name)))
    _check_layout(ordered, reader.size_bytes - 8 - length)
    return SafetensorsHeader(tensors=ordered, metadata=metadata, header_bytes=8 + length)


def _decode(raw: bytes) -> tuple[dict[str, str], list[TensorHeader]]:
    metadata: dict[str, str] = {}
    tensors: list[TensorHeader] = []
    try:
        for name, entry in _ENTRIES.decode(raw).items():
            if name == "__metadata__":
                metadata = _METADATA.decode(entry)
                continue
            tensor = _TENSOR.decode(entry)
            tensors.append(TensorHeader(name, tensor.dtype, tensor.shape, tensor.data_offsets))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnsupportedFormat(f"The header is not valid: {str(error)[:200]}") from error
    return metadata, tensors


def _check_layout(ordered: Iterable[TensorHeader], data_bytes: int) -> None:
    """Tensors must fill the rest of the file one after another, each as long as dtype and shape say."""
    position = 0
    for tensor in ordered:
        start, stop = tensor.data_offsets
        label = f"Tensor {tensor.name[:80]!r}"
        bits = DTYPE_BITS.get(tensor.dtype)
        if bits is None:
            raise UnsupportedFormat(f"{label} has the unknown dtype {tensor.dtype[:40]!r}")
        if start != position:
            fault = "overlaps the one before" if start < position else "leaves a gap before it"
            raise UnsupportedFormat(f"{label} {fault}: it starts at {start}, not {position}")
        if (stop - start) * 8 != tensor.parameters * bits:
            raise UnsupportedFormat(f"{label} has {stop - start} bytes, which dtype and shape contradict")
        if stop > data_bytes:
            raise UnsupportedFormat(f"{label} ends at {stop}, beyond the {data_bytes} bytes of data")
        position = stop
    if position != data_bytes:
        raise UnsupportedFormat(f"{data_bytes - position} bytes follow the last tensor")


def parameters_by_dtype(headers: Iterable[SafetensorsHeader]) -> dict[str, int]:
    """Element counts by dtype, summed over the files of one model."""
    counts: Counter[str] = Counter()
    for header in headers:
        for tensor in header.tensors:
            counts[tensor.dtype] += tensor.parameters
    return dict(counts)


def read_shard_index(reader: RangeReader, path: str) -> tuple[str, ...]:
    """Paths of the shards that the index file at `path` names, sorted. Raises UnsupportedFormat."""
    try:
        raw = read_whole(reader, MAX_INDEX_BYTES)
        if raw.count(b":") > MAX_COLONS:
            raise UnsupportedFormat(f"The index has more than {MAX_COLONS} entries")
        names = sorted(set(_INDEX.decode(raw).weight_map.values()))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TooLarge) as error:
        raise UnsupportedFormat(f"The index is not valid: {str(error)[:200]}") from error
    for name in names:
        if not name or name.startswith("/") or ".." in name.split("/"):
            raise UnsupportedFormat(f"The index names a shard outside its folder: {name[:80]!r}")
    return tuple(str(PurePosixPath(path).parent / name) for name in names)
