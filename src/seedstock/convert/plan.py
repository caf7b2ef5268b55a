"""What a conversion will write: every key and tensor, and thereby its exact size, before any weight is read."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from seedstock.convert.mixtures import Target, is_matrix, stored_bytes
from seedstock.convert.quantise import can_quantise, quantise
from seedstock.core.errors import UnsupportedFormat
from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.elements import BLOCKS, FLOAT_TYPES, Floats, is_block_type

ALIGNMENT = 32
_PIECE_ELEMENTS = 1 << 22
_MAX_GGUF_NAME = 63
_ARRAY = 9


class Value(msgspec.Struct, frozen=True):
    """A header value with its GGUF type number; `items` is the type of an array's items."""

    value: object
    type: int
    items: int | None = None


class PlannedTensor(msgspec.Struct, frozen=True):
    """A tensor to write. `shape` is row-major; `head_rows` reorders rows as llama.cpp's rotary embedding wants them."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    source: str
    head_rows: int = 0
    constant: tuple[float, ...] = ()
    """The values themselves, of a tensor that the source does not hold."""
    factor: float = 1.0
    """What every value is multiplied by."""
    offset: float = 0.0
    """What is then added to it."""

    @property
    def elements(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def size_bytes(self) -> int:
        """Stored length."""
        return stored_bytes(self.dtype, self.elements)


class Plan(msgspec.Struct, frozen=True):
    """A GGUF file to be; `notes` say what a reader of the result should know."""

    target: Target
    architecture: str
    values: Mapping[str, Value]
    tensors: tuple[PlannedTensor, ...]
    notes: tuple[str, ...] = ()

    @property
    def data_bytes(self) -> int:
        """Length of all tensors with their padding."""
        return sum(_padded(tensor.size_bytes) for tensor in self.tensors)

    @property
    def fallbacks(self) -> int:
        """How many matrices have rows that do not fill the blocks of 256 that the target is made of."""
        if BLOCKS[self.target.base][0] != 256:
            return 0
        return sum(is_matrix(item.name, item.shape) and item.shape[-1] % 256 != 0 for item in self.tensors)

    @property
    def types(self) -> dict[str, int]:
        """How many tensors get each element type, the most frequent first."""
        counts: dict[str, int] = {}
        for tensor in self.tensors:
            counts[tensor.dtype] = counts.get(tensor.dtype, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def check(self, checkpoint: Checkpoint) -> None:
        """Raise UnsupportedFormat for what would otherwise fail only after hours of work."""
        for tensor in self.tensors:
            if len(tensor.name.encode()) > _MAX_GGUF_NAME or len(tensor.shape) > 4:
                raise UnsupportedFormat(f"Tensor {tensor.name[:80]!r} does not fit into a GGUF file")
            stored = checkpoint.tensors[tensor.source].dtype if tensor.source else "F32"
            if stored == tensor.dtype:
                continue
            if stored not in FLOAT_TYPES and not is_block_type(stored):
                raise UnsupportedFormat(f"Tensor {tensor.source[:80]!r} holds {stored}, which are no weights")
            if not can_quantise(tensor.dtype):
                raise UnsupportedFormat(
                    f"Nothing installed here can write {tensor.dtype}", hint="pip install 'seedstock[run]'"
                )


def header_bytes(plan: Plan) -> bytes:
    """Everything before the tensors' bytes."""
    from gguf.constants import GGMLQuantizationType, GGUFValueType
    from gguf.gguf_writer import GGUFWriter, WriterState

    writer = GGUFWriter(None, plan.architecture)
    out = io.BytesIO()
    writer.fout = [out]  # type: ignore[list-item]  # the writer needs `write`, `flush` and `tell`
    for key, value in plan.values.items():
        kind = None if value.items is None else GGUFValueType(value.items)
        if value.type == _ARRAY and not value.value:
            continue  # the writer refuses empty arrays, and an absent one reads the same
        writer.kv_data[0].pop(key, None)
        writer.add_key_value(key, value.value, GGUFValueType(value.type), kind)
    for tensor in plan.tensors:
        number = GGMLQuantizationType[tensor.dtype]
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.int8), tensor.size_bytes, number)
    writer.state = WriterState.EMPTY
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    return out.getvalue() + bytes(-out.tell() % ALIGNMENT)


def write(
    plan: Plan,
    checkpoint: Checkpoint,
    sink: Callable[[bytes], None],
    progress: Callable[[float, str], None] = lambda _fraction, _text: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> bool:
    """Write the file to `sink` in order, a few rows at a time: memory does not grow with the model or its tensors.

    False if it was cancelled between two tensors. Raises UnsupportedFormat naming the tensor that cannot be converted.
    """
    sink(header_bytes(plan))
    done, total = 0, max(1, plan.data_bytes)
    for tensor in plan.tensors:
        if cancelled():
            return False
        progress(done / total, tensor.name)
        try:
            _write_tensor(tensor, checkpoint, sink)
        except UnsupportedFormat as error:
            raise UnsupportedFormat(f"{tensor.name}: {error.message}", hint=error.hint) from None
        sink(bytes(_padded(tensor.size_bytes) - tensor.size_bytes))
        done += _padded(tensor.size_bytes)
    return True


def _write_tensor(tensor: PlannedTensor, checkpoint: Checkpoint, sink: Callable[[bytes], None]) -> None:
    if tensor.constant:
        sink(quantise(np.asarray(tensor.constant, dtype=np.float32), tensor.dtype, tensor.shape[-1]))
        return
    if (
        checkpoint.tensors[tensor.source].dtype == tensor.dtype
        and not tensor.head_rows
        and tensor.factor == 1
        and not tensor.offset
    ):
        for piece in checkpoint.pieces(tensor.source):  # nothing is lost by what is only copied
            sink(piece)
        return
    width = tensor.shape[-1] if len(tensor.shape) > 1 else 1  # the rows of a vector are its elements
    unit = width * max(1, tensor.head_rows)
    step = max(1, _PIECE_ELEMENTS // unit) * unit
    for start in range(0, tensor.elements, step):
        values = checkpoint.values(tensor.source, start, min(start + step, tensor.elements))
        if tensor.head_rows:
            values = _in_rotary_order(values, tensor.head_rows, width)
        if tensor.factor != 1:
            values = values * np.float32(tensor.factor)
        if tensor.offset:
            values = values + np.float32(tensor.offset)
        sink(quantise(values, tensor.dtype, width))


def _in_rotary_order(values: Floats, head_rows: int, width: int) -> Floats:
    """Whole heads whose two halves rotate together, to heads whose neighbouring rows do."""
    return values.reshape(-1, 2, head_rows // 2, width).swapaxes(1, 2).reshape(-1)


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT
