"""One model's tensors, whatever files hold them: safetensors shards, a GGUF, or the parts of a split GGUF.

Nothing is read but headers until a tensor is asked for, and never more than what is asked for. Shapes are
logical and row-major, (out, in) for a linear layer, in both formats.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import msgspec
import numpy as np

from seedstock.core.errors import UnsupportedFormat
from seedstock.metadata.gguf_header import GgufHeader, GgufTensor, read_gguf_header
from seedstock.metadata.safetensors_header import DTYPE_BITS, read_safetensors_header
from seedstock.metadata.source import RangeReader
from seedstock.weights.elements import BLOCKS, Floats, decode

MAX_TENSORS = 250_000
MAX_FILES = 4096
# One call returns at most this many elements (512 MiB as float32): callers sample or read by rows.
MAX_READ_ELEMENTS = 1 << 27
_MAX_METADATA_BYTES = 4096
_PIECE_BYTES = 8 << 20


class TensorInfo(msgspec.Struct, frozen=True):
    """Where a tensor lies; `start` and `stop` are byte offsets in the file at `path`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: str
    start: int
    stop: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Stored length."""
        return self.stop - self.start

    @property
    def row_elements(self) -> int:
        """Elements of one row; a vector's rows are its elements."""
        return math.prod(self.shape[1:])


class Checkpoint:
    """Tensors by name, read on demand. `bytes_read` counts what was asked of the files, headers left out."""

    def __init__(
        self,
        format: str,
        readers: Mapping[str, RangeReader],
        tensors: Mapping[str, TensorInfo],
        metadata: Mapping[str, str | int | float],
    ) -> None:
        self.format = format
        self.tensors = tensors
        self.metadata = metadata
        self.bytes_read = 0
        self.tensors_read: set[str] = set()
        self.size_bytes = sum(reader.size_bytes for reader in readers.values())
        self._readers = dict(readers)

    def read(self, name: str, first_row: int = 0, last_row: int | None = None) -> Floats:
        """Return rows [first_row, last_row) as float32 in the tensor's shape, dequantised."""
        info = self.tensors[name]
        shape = info.shape or (1,)
        last_row = shape[0] if last_row is None else min(last_row, shape[0])
        first_row = min(first_row, last_row)
        width = info.row_elements
        values = self.values(name, first_row * width, last_row * width)
        return values.reshape(last_row - first_row, *shape[1:])

    def values(self, name: str, start: int, stop: int) -> Floats:
        """Return elements [start, stop) in stored order as a flat float32 array."""
        info = self.tensors[name]
        stop = min(stop, info.elements)
        if stop - start > MAX_READ_ELEMENTS:
            raise UnsupportedFormat(f"Tensor {name[:80]!r} has rows too long to be read")
        if stop <= start:
            return np.empty(0, dtype=np.float32)
        per_block, block_bytes = _block(info)
        first, last = start // per_block, -(-stop // per_block)
        decoded = decode(self.raw(name, first * block_bytes, last * block_bytes), info.dtype)
        return decoded[start - first * per_block : stop - first * per_block]

    def raw(self, name: str, start: int, stop: int) -> bytes:
        """Return stored bytes [start, stop) of the tensor; raises UnsupportedFormat if the file is shorter."""
        info = self.tensors[name]
        stop = min(stop, info.size_bytes)
        if stop <= start:
            return b""
        data = self._readers[info.path].read(info.start + start, info.start + stop)
        if len(data) != stop - start:
            raise UnsupportedFormat(f"Tensor {name[:80]!r} is cut off")
        self.bytes_read += len(data)
        self.tensors_read.add(name)
        return data

    def pieces(self, name: str, piece_bytes: int = _PIECE_BYTES) -> Iterator[bytes]:
        """Yield all stored bytes of the tensor in order."""
        for start in range(0, self.tensors[name].size_bytes, piece_bytes):
            yield self.raw(name, start, start + piece_bytes)

    @property
    def elements(self) -> int:
        """Elements of all tensors."""
        return sum(info.elements for info in self.tensors.values())

    def close(self) -> None:
        """Close the readers that can be closed."""
        for reader in self._readers.values():
            close = getattr(reader, "close", None)
            if close is not None:
                close()
        self._readers.clear()


def open_checkpoint(files: Mapping[str, RangeReader]) -> Checkpoint:
    """Read the headers of one model's weight files. Raises UnsupportedFormat for what is not understood."""
    if not files:
        raise UnsupportedFormat("No weight files were given")
    if len(files) > MAX_FILES:
        raise UnsupportedFormat(f"{len(files)} weight files; at most {MAX_FILES} make one model")
    kinds = {_kind(path, reader) for path, reader in files.items()}
    if len(kinds) > 1:
        raise UnsupportedFormat("Safetensors and GGUF files do not make one model")
    tensors: dict[str, TensorInfo] = {}
    metadata: dict[str, str | int | float] = {}
    add = _add_gguf if kinds == {"gguf"} else _add_safetensors
    for path in sorted(files):
        for info in add(path, files[path], metadata):
            if info.name in tensors:
                raise UnsupportedFormat(f"Tensor {info.name[:80]!r} is in two files")
            tensors[info.name] = info
        if len(tensors) > MAX_TENSORS:
            raise UnsupportedFormat(f"More than {MAX_TENSORS} tensors")
    return Checkpoint(kinds.pop(), files, tensors, metadata)


def _kind(path: str, reader: RangeReader) -> str:
    if reader.size_bytes >= 4 and reader.read(0, 4) == b"GGUF":
        return "gguf"
    if path.lower().endswith(".gguf"):
        raise UnsupportedFormat("Not a GGUF file: the first four bytes are not 'GGUF'")
    return "safetensors"


def _add_safetensors(
    path: str, reader: RangeReader, metadata: dict[str, str | int | float]
) -> Iterator[TensorInfo]:
    header = read_safetensors_header(reader)
    for key, value in list(header.metadata.items())[:64]:
        metadata.setdefault(key[:200], value[:_MAX_METADATA_BYTES])
    for tensor in header.tensors:
        start, stop = (header.header_bytes + offset for offset in tensor.data_offsets)
        yield TensorInfo(tensor.name, tensor.dtype, tensor.shape, path, start, stop)


def _add_gguf(path: str, reader: RangeReader, metadata: dict[str, str | int | float]) -> Iterator[TensorInfo]:
    header = read_gguf_header(reader)
    if int.from_bytes(reader.read(4, 8), "little") & 0xFFFF == 0:
        raise UnsupportedFormat("Tensors of big-endian GGUF files are not read")
    _keep_metadata(header, metadata)
    unit = header.values.get("general.alignment")
    unit = unit if isinstance(unit, int) and unit > 0 else 32
    data = -(-header.header_bytes // unit) * unit
    for tensor in header.tensors:
        start = data + tensor.offset
        yield TensorInfo(
            tensor.name, tensor.type, tensor.shape[::-1], path, start, start + _stored_bytes(tensor)
        )


def _keep_metadata(header: GgufHeader, metadata: dict[str, str | int | float]) -> None:
    """Keep the numbers and short texts; not tokens and templates."""
    for key, value in header.values.items():
        if isinstance(value, int | float) or (isinstance(value, str) and len(value) <= _MAX_METADATA_BYTES):
            metadata.setdefault(key, value)


def _stored_bytes(tensor: GgufTensor) -> int:
    """Length of a GGUF tensor; of a type that is not known it cannot be told, and nothing is read."""
    if tensor.type not in BLOCKS:
        return 0
    per_block, block_bytes = BLOCKS[tensor.type]
    row = tensor.shape[0] if tensor.shape else 1
    if row % per_block:
        raise UnsupportedFormat(f"Rows of tensor {tensor.name[:80]!r} do not fill blocks of {tensor.type}")
    return tensor.parameters // per_block * block_bytes


def _block(info: TensorInfo) -> tuple[int, int]:
    if info.dtype in DTYPE_BITS and DTYPE_BITS[info.dtype] >= 8:
        return 1, DTYPE_BITS[info.dtype] // 8
    if info.dtype in BLOCKS:
        return BLOCKS[info.dtype]
    raise UnsupportedFormat(f"Elements of type {info.dtype[:40]!r} cannot be read")
