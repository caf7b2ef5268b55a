"""GGUF v2 and v3 headers, of either byte order: keys, values and tensors.

Arrays are walked, not kept (only short numeric ones are), and long strings are stepped over, so memory stays
at a few windows however large the vocabulary is. Counts and lengths are checked against what is left of the
file before anything depends on them; every fault of the file is UnsupportedFormat.
"""

from __future__ import annotations

import math
import struct
from collections import Counter

import msgspec

from seedstock.core.errors import UnsupportedFormat
from seedstock.metadata.gguf_scan import MARK_EVERY, MAX_HEADER_BYTES, Scan
from seedstock.metadata.gguf_types import ARRAY, FILE_TYPES, SCALARS, STRING, TENSOR_TYPES
from seedstock.metadata.source import RangeReader

MAX_KEYS = 65_536
MAX_TENSORS = 100_000
MAX_NAME_BYTES = 65_535
MAX_ARRAY_ITEMS = 4_000_000
MAX_KEPT_ITEMS = 1024
MAX_KEPT_STRING_BYTES = 1 << 20
MAX_KEPT_BYTES = 16 << 20


class GgufArray(msgspec.Struct, frozen=True):
    """An array value: its length, the numbers if they are few, and where every 1024th string starts."""

    count: int
    items: tuple[int | float | bool, ...] = ()
    marks: tuple[int, ...] = ()


class SkippedText(msgspec.Struct, frozen=True):
    """A string value too long to keep."""

    size_bytes: int


GgufValue = int | float | bool | str | GgufArray | SkippedText


class GgufTensor(msgspec.Struct, frozen=True):
    """One tensor; `offset` counts bytes from the start of the data section."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int

    @property
    def parameters(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class GgufHeader(msgspec.Struct, frozen=True):
    """Key/values and tensors, and what is derived from them. Absent or mistyped keys give None."""

    version: int
    values: dict[str, GgufValue]
    tensors: tuple[GgufTensor, ...]
    header_bytes: int
    bos_token: str | None
    eos_token: str | None

    @property
    def architecture(self) -> str | None:
        """The `general.architecture` key."""
        return self.text("general.architecture")

    @property
    def chat_template(self) -> str | None:
        """The Jinja chat template of the tokenizer."""
        return self.text("tokenizer.chat_template")

    @property
    def parameters(self) -> int:
        """Elements of all tensors."""
        return sum(tensor.parameters for tensor in self.tensors)

    @property
    def parameters_by_type(self) -> dict[str, int]:
        """Elements by tensor type, the largest share first."""
        counts: Counter[str] = Counter()
        for tensor in self.tensors:
            counts[tensor.type] += tensor.parameters
        return dict(counts.most_common())

    @property
    def quantisation(self) -> str | None:
        """Name of the file type; where the file does not say, the type that most elements have."""
        file_type = self.values.get("general.file_type")
        if isinstance(file_type, int) and file_type in FILE_TYPES:
            return FILE_TYPES[file_type]
        return next(iter(self.parameters_by_type), None)

    def text(self, key: str) -> str | None:
        """A string value."""
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def number(self, name: str) -> int | None:
        """An integer of the architecture, such as `context_length`; of per-layer values the largest."""
        value = self.values.get(f"{self.architecture}.{name}")
        if isinstance(value, GgufArray) and value.items:
            value = max(value.items)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_gguf_header(reader: RangeReader) -> GgufHeader:
    """Read the key/value and tensor sections of a GGUF file. Raises UnsupportedFormat."""
    scan = Scan(reader)
    if scan.take(4) != b"GGUF":
        raise UnsupportedFormat("Not a GGUF file: the first four bytes are not 'GGUF'")
    version = scan.number("I", 4)
    if version & 0xFFFF == 0:  # a small number in the other byte order
        scan.order = ">"
        version = int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in {2, 3}:
        raise UnsupportedFormat(f"GGUF version {version} is not understood; 2 and 3 are")
    tensor_count = scan.number("Q", 8)
    key_count = scan.number("Q", 8)
    scan.check_count(tensor_count, MAX_TENSORS, 24, "tensors")
    scan.check_count(key_count, MAX_KEYS, 13, "keys")
    values = _read_values(scan, key_count)
    tensors = tuple(_read_tensor(scan) for _ in range(tensor_count))
    _check_bounds(tensors, values.get("general.alignment"), scan.position, reader.size_bytes)
    return GgufHeader(
        version=version,
        values=values,
        tensors=tensors,
        header_bytes=scan.position,
        bos_token=_token_text(reader, scan.order, values, "tokenizer.ggml.bos_token_id"),
        eos_token=_token_text(reader, scan.order, values, "tokenizer.ggml.eos_token_id"),
    )


def _read_values(scan: Scan, key_count: int) -> dict[str, GgufValue]:
    values: dict[str, GgufValue] = {}
    for _ in range(key_count):
        key = scan.text(MAX_NAME_BYTES, "key")
        scan.kept_bytes += len(key)
        value_type = scan.number("I", 4)
        values[key] = _read_value(scan, value_type)
        if scan.kept_bytes > MAX_KEPT_BYTES:
            raise UnsupportedFormat(f"Keys and strings of more than {MAX_KEPT_BYTES} bytes")
    return values


def _read_value(scan: Scan, value_type: int) -> GgufValue:
    if value_type == STRING:
        return _read_string(scan)
    if value_type == ARRAY:
        return _read_array(scan)
    return _read_scalars(scan, value_type, 1)[0]


def _read_string(scan: Scan) -> str | SkippedText:
    length = scan.number("Q", 8)
    if length > MAX_KEPT_STRING_BYTES:
        scan.skip(length)
        return SkippedText(length)
    scan.kept_bytes += length
    return scan.take(length).decode("utf-8", "replace")


def _read_array(scan: Scan) -> GgufArray:
    item_type = scan.number("I", 4)
    count = scan.number("Q", 8)
    if item_type == STRING:
        scan.check_count(count, MAX_ARRAY_ITEMS, 8, "strings")
        return GgufArray(count, marks=scan.skip_strings(count))
    if item_type not in SCALARS:
        raise UnsupportedFormat(f"An array of value type {item_type} at offset {scan.position}")
    size_bytes = SCALARS[item_type][1]
    scan.check_count(count, MAX_HEADER_BYTES, size_bytes, "array items")
    if count > MAX_KEPT_ITEMS:
        scan.skip(count * size_bytes)
        return GgufArray(count)
    scan.kept_bytes += count * 8
    return GgufArray(count, items=_read_scalars(scan, item_type, count))


def _read_scalars(scan: Scan, value_type: int, count: int) -> tuple[int | float | bool, ...]:
    if value_type not in SCALARS:
        raise UnsupportedFormat(f"Unknown value type {value_type} at offset {scan.position}")
    code, size_bytes = SCALARS[value_type]
    return struct.unpack(f"{scan.order}{count}{code}", scan.take(count * size_bytes))


def _read_tensor(scan: Scan) -> GgufTensor:
    name = scan.text(MAX_NAME_BYTES, "tensor name")
    scan.kept_bytes += len(name)
    if scan.kept_bytes > MAX_KEPT_BYTES:
        raise UnsupportedFormat(f"Keys, strings and tensor names of more than {MAX_KEPT_BYTES} bytes")
    rank = scan.number("I", 4)
    if rank > 8:
        raise UnsupportedFormat(f"Tensor {name[:80]!r} has {rank} dimensions")
    shape = struct.unpack(f"{scan.order}{rank}Q", scan.take(8 * rank))
    type_number = scan.number("I", 4)
    known = TENSOR_TYPES.get(type_number)
    return GgufTensor(name, shape, known[0] if known else f"type {type_number}", scan.number("Q", 8))


_SIZES = {name: (elements, size_bytes) for name, elements, size_bytes in TENSOR_TYPES.values()}


def _check_bounds(
    tensors: tuple[GgufTensor, ...], alignment: GgufValue | None, header_bytes: int, file_bytes: int
) -> None:
    """Every tensor must lie in the file. Of a type this table lacks, only the start can be checked."""
    unit = alignment if isinstance(alignment, int) and alignment > 0 else 32
    data_bytes = file_bytes - -(-header_bytes // unit) * unit
    for tensor in tensors:
        elements, block_bytes = _SIZES.get(tensor.type, (1, 0))
        if (
            tensor.parameters >= 2**63
            or tensor.offset + tensor.parameters // elements * block_bytes > data_bytes
        ):
            raise UnsupportedFormat(f"Tensor {tensor.name[:80]!r} does not lie inside the file")


def _token_text(reader: RangeReader, order: str, values: dict[str, GgufValue], key: str) -> str | None:
    """Text of the token whose number is under `key`, read again from the nearest mark."""
    tokens, index = values.get("tokenizer.ggml.tokens"), values.get(key)
    if not isinstance(tokens, GgufArray) or not isinstance(index, int) or isinstance(index, bool):
        return None
    if not tokens.marks or not 0 <= index < tokens.count:
        return None
    scan = Scan(reader, tokens.marks[index // MARK_EVERY])
    scan.order = order
    scan.skip_strings(index % MARK_EVERY)
    return scan.text(MAX_NAME_BYTES, "token")
