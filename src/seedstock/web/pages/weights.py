"""What a weight file's header says, for its page."""

from __future__ import annotations

from seedstock.hub.browsing import WeightHeader
from seedstock.metadata.gguf_header import GgufHeader, GgufTensor, GgufValue
from seedstock.metadata.gguf_types import TENSOR_TYPES
from seedstock.metadata.safetensors_header import SafetensorsHeader
from seedstock.web.views.common import Fact
from seedstock.web.views.files import TensorRow, WeightHeaderView

_SHOWN_TENSORS = 150
_SHOWN_FACTS = 40
_SHOWN_CHARS = 48
_BLOCKS = {name: (elements, size) for name, elements, size in TENSOR_TYPES.values()}


def weight_view(header: WeightHeader | None) -> WeightHeaderView | None:
    """The panel of a header."""
    if header is None:
        return None
    return _gguf(header) if isinstance(header, GgufHeader) else _safetensors(header)


def _safetensors(header: SafetensorsHeader) -> WeightHeaderView:
    facts = [Fact(key[:60], value[:_SHOWN_CHARS]) for key, value in header.metadata.items()]
    rows = [
        TensorRow(item.name, item.dtype, item.shape, item.data_offsets[1] - item.data_offsets[0])
        for item in header.tensors[:_SHOWN_TENSORS]
    ]
    return WeightHeaderView("safetensors", len(header.tensors), tuple(facts[:_SHOWN_FACTS]), tuple(rows))


def _gguf(header: GgufHeader) -> WeightHeaderView:
    facts = [
        Fact(key[:60], text) for key, value in header.values.items() if (text := _text(value)) is not None
    ]
    rows = [
        TensorRow(item.name, item.type, item.shape, _bytes(item)) for item in header.tensors[:_SHOWN_TENSORS]
    ]
    return WeightHeaderView("GGUF", len(header.tensors), tuple(facts[:_SHOWN_FACTS]), tuple(rows))


def _bytes(tensor: GgufTensor) -> int:
    elements, size = _BLOCKS.get(tensor.type, (1, 0))
    return tensor.parameters // elements * size


def _text(value: GgufValue) -> str | None:
    """A value in one line; long lists are counted, not shown."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else f"{value:,}"
    if isinstance(value, str):
        line = " ".join(value.split())
        return line if len(line) <= _SHOWN_CHARS else f"{len(value):,} characters"
    count = getattr(value, "count", None)
    return f"{count:,} value{'' if count == 1 else 's'}" if count is not None else None
