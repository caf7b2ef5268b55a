"""One model of a merge: its configuration, where each tensor lies, and reading pieces of them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from seedstock.adapt.merge.precision import ITEM_BYTES, decode_into
from seedstock.core.errors import Invalid, UnsupportedFormat
from seedstock.weights.checkpoint import TensorInfo, open_checkpoint
from seedstock.weights.elements import Floats

MAX_CONFIG_BYTES = 5_000_000
HEAD = "lm_head.weight"
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")
_LAYER = re.compile(
    r"(?P<before>(?:.*\.)?(?:layers|h|blocks|block|layer)\.)(?P<number>\d{1,5})(?P<after>\..+)\Z"
)


class _File:
    """A weight file as a RangeReader, and for reading into memory that is there already."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size_bytes = os.fstat(self._handle).st_size

    def read(self, start: int, stop: int) -> bytes:
        return os.pread(self._handle, max(0, min(stop, self.size_bytes) - start), start)

    def fill(self, into: memoryview, start: int) -> bool:
        """Whether the file had enough bytes."""
        while into:
            count = os.preadv(self._handle, [into], start)
            if count == 0:
                return False
            into, start = into[count:], start + count
        return True

    def close(self) -> None:
        os.close(self._handle)


class Model:
    """Tensors by name. A head that the configuration ties to the embedding is not among them, stored or not."""

    def __init__(self, role: str, folder: Path, adapter: bool = False) -> None:
        self.role = role
        self.folder = folder
        self._files = _open_shards(role, folder)
        try:
            self.config = {} if adapter else read_json(folder, "config.json")
            tensors = dict(open_checkpoint(self._files).tensors)
        except UnsupportedFormat as error:
            self.close()
            raise UnsupportedFormat(f"{role}: {error.message}", hint=error.hint) from error
        self.tied = self.config.get("tie_word_embeddings", HEAD not in tensors) is not False
        if self.tied and embedding_of(tensors):
            tensors.pop(HEAD, None)
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(tensors)
        self._raw = np.empty(0, np.uint8)

    def info(self, name: str) -> TensorInfo:
        """Where a tensor lies. Raises Invalid naming the model that lacks it."""
        found = self.tensors.get(name)
        if found is None:
            raise Invalid(f"{self.role} has no tensor {name[:120]!r}")
        return found

    def fill(self, name: str, start: int, out: Floats) -> Floats:
        """Elements from `start` on as float32, as many as `out` takes."""
        info = self.tensors[name]
        decode_into(self.raw(name, start, out.size), info.dtype, out)
        return out

    def raw(self, name: str, start: int, count: int) -> NDArray[np.uint8]:
        """Stored bytes of elements; overwritten by the next call."""
        info = self.tensors[name]
        size = info.size_bytes // max(info.elements, 1)
        if self._raw.size < count * size:
            self._raw = np.empty(count * size, np.uint8)
        view = self._raw[: count * size]
        if not self._files[info.path].fill(view.data, info.start + start * size):
            raise UnsupportedFormat(f"{self.role}: tensor {name[:80]!r} is cut off")
        return view

    def whole(self, name: str) -> Floats:
        """A small tensor as float32 in its shape."""
        info = self.info(name)
        check_float(self.role, info)
        return self.fill(name, 0, np.empty(info.elements, np.float32)).reshape(info.shape)

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


def embedding_of(tensors: Mapping[str, TensorInfo]) -> str | None:
    """Name of the input embedding."""
    return next((name for name in tensors if name.endswith(_EMBEDDINGS)), None)


def layer_of(name: str) -> tuple[str, int, str] | None:
    """A layer's tensor name in three parts: before the number, the number, after it."""
    found = _LAYER.match(name)
    return (found["before"], int(found["number"]), found["after"]) if found else None


def order_of(name: str) -> tuple[object, ...]:
    """Sorts names as people count: layer 2 before layer 10."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in name.split("."))


def check_float(role: str, info: TensorInfo) -> None:
    """Raises UnsupportedFormat for elements that are not plain numbers."""
    if info.dtype not in ITEM_BYTES:
        raise UnsupportedFormat(
            f"{role}: tensor {info.name[:120]!r} is stored as {info.dtype[:40]}; float32, float16 and bfloat16 are merged",
            hint="Merge the models that these were quantised from",
        )


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of a model's folder."""
    path = folder / name
    if not path.is_file():
        raise UnsupportedFormat(f"{folder.name} has no {name}")
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise UnsupportedFormat(f"{folder.name}: {name} has more than {MAX_CONFIG_BYTES} bytes")
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnsupportedFormat(f"{folder.name}: {name} is not valid: {str(error)[:200]}") from error


def _open_shards(role: str, folder: Path) -> dict[str, _File]:
    if not folder.is_dir():
        raise Invalid(f"The stage has no input {role!r}")
    paths = sorted(folder.glob("*.safetensors"))
    if len(paths) > 1:
        paths = [path for path in paths if path.name.startswith(("model", "adapter_model"))] or paths
    if not paths:
        raise UnsupportedFormat(
            f"{role} has no weights as .safetensors",
            hint="Convert GGUF files and pickled weights to safetensors first",
        )
    return {path.name: _File(path) for path in paths}
