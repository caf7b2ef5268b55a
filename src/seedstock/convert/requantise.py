"""GGUF to GGUF: the header is copied value by value, the matrices change their type."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from seedstock.convert.mixtures import Shape, Target, is_matrix, stored_type
from seedstock.convert.plan import Plan, PlannedTensor, Value
from seedstock.core.errors import UnsupportedFormat
from seedstock.metadata.gguf_header import read_gguf_header
from seedstock.metadata.gguf_types import ARRAY, SCALARS, STRING
from seedstock.metadata.source import RangeReader, read_exact
from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.elements import BLOCKS, is_block_type

_UINT32 = 4
_MAX_ITEMS = 4_000_000
_QUANTISATION_VERSION = 2
# Said of the file as it was: one of several, its alignment, and how it was quantised.
_DROPPED = ("split.", "general.alignment", "quantize.imatrix.")


def plan_requantising(checkpoint: Checkpoint, first_file: RangeReader, target: Target) -> Plan:
    """Plan another type for a GGUF, from its header alone; raises UnsupportedFormat."""
    known = checkpoint.metadata
    architecture = known.get("general.architecture")
    kind = known.get("general.type", "model")
    if not isinstance(architecture, str) or kind != "model":
        raise UnsupportedFormat(f"This GGUF is no model but {kind!r} of {architecture!r}")
    shape = Shape(
        architecture,
        _number(known.get(f"{architecture}.block_count")),
        _number(known.get(f"{architecture}.expert_count")),
        "output.weight" in checkpoint.tensors,
    )
    parts, named = _number(known.get("split.count")), len({t.path for t in checkpoint.tensors.values()})
    if parts > named:
        raise UnsupportedFormat(f"This GGUF is one of {parts} parts, of which {named} are here")
    tensors = tuple(
        PlannedTensor(
            name,
            info.shape,
            stored_type(target, shape, name, info.shape[-1]) if is_matrix(name, info.shape) else info.dtype,
            name,
        )
        for name, info in checkpoint.tensors.items()
    )
    unknown = next((tensor for tensor in tensors if tensor.dtype not in BLOCKS), None)
    if unknown is not None:
        raise UnsupportedFormat(f"Tensor {unknown.name[:80]!r} has the unknown type {unknown.dtype}")
    values = read_values(first_file)
    values["general.file_type"] = Value(target.file_type, _UINT32)
    values["general.quantization_version"] = Value(_QUANTISATION_VERSION, _UINT32)
    return Plan(target, architecture, values, tensors, tuple(_notes(checkpoint, target)))


def _notes(checkpoint: Checkpoint, target: Target) -> Iterator[str]:
    types = {info.dtype for info in checkpoint.tensors.values() if is_block_type(info.dtype)}
    if types:
        yield (
            f"The source is quantised itself ({', '.join(sorted(types))}): what it lost is lost here too, "
            f"and {target.name} cannot be better than it."
        )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def read_values(reader: RangeReader) -> dict[str, Value]:
    """Every key and value of a GGUF header, arrays whole and texts as bytes. Raises UnsupportedFormat."""
    header = read_gguf_header(reader)  # all bounds are checked there
    data = read_exact(reader, 0, header.header_bytes)
    at, found = 24, {}
    for _ in range(int.from_bytes(data[16:24], "little")):
        raw, at = _text(data, at)
        kind = int.from_bytes(data[at : at + 4], "little")
        key = raw.decode("utf-8", "replace")
        value, at = _value(data, at + 4, kind)
        if not key.startswith(_DROPPED):
            found[key] = value
    return found


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    stop = at + 8 + int.from_bytes(data[at : at + 8], "little")
    return data[at + 8 : stop], stop


def _value(data: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == STRING:
        text, at = _text(data, at)
        return Value(text, kind), at
    if kind != ARRAY:
        code, size_bytes = SCALARS[kind]
        return Value(struct.unpack_from(f"<{code}", data, at)[0], kind), at + size_bytes
    items, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if count > _MAX_ITEMS:
        raise UnsupportedFormat(f"An array of {count} items in the header; {_MAX_ITEMS} are copied at most")
    if items == STRING:
        texts = []
        for _ in range(count):
            text, at = _text(data, at)
            texts.append(text)
        return Value(texts, kind, items), at
    code, size_bytes = SCALARS[items]
    numbers = struct.unpack_from(f"<{count}{code}", data, at)
    return Value(list(numbers), kind, items), at + count * size_bytes
