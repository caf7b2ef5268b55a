"""Will it fit? What a model needs of memory to run, computed from headers before anything is loaded or made."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

import msgspec

from seedstock.content.service import Content
from seedstock.core.errors import ModelNotRunnable, UnsupportedFormat
from seedstock.core.viewer import Viewer
from seedstock.hub.metadata import ContentReader
from seedstock.hub.reading import Reading, RepoAt
from seedstock.hub.repos import repo_id_of
from seedstock.hub.runnable import parts_of
from seedstock.hub.trees import Entry
from seedstock.metadata.gguf_header import GgufArray, SkippedText, read_gguf_header
from seedstock.metadata.source import BytesReader, read_whole
from seedstock.run.engines import transformers_memory, vllm_memory
from seedstock.run.engines.estimate import Estimate
from seedstock.run.engines.llama_cpp_memory import Value, estimate
from seedstock.run.engines.transformers_engine import MODULES
from seedstock.run.engines.vllm_engine import has_gpu

SMALL_BYTES = 3 << 30
"""Weights of up to so many bytes are run as F16, others as Q8_0: of a model of some 1.5 billion parameters in 16 bits."""
_MAX_CONFIG_BYTES = 4 << 20
_BYTES_PER_PARAMETER = {"F16": 2.0, "Q8_0": 34 / 32}
_CACHED = 1000

Header = Mapping[str, Value]
Held = tuple[Mapping[str, Any], int]
"""What is remembered: a header and the bytes of its weights; of a config, nothing beside it."""


class Fit(msgspec.Struct, frozen=True):
    """An estimate, and what this hub gives engines in all; `adapter_bytes` come on top of the base's weights."""

    estimate: Estimate
    adapter_bytes: int
    limit_bytes: int

    @property
    def total_bytes(self) -> int:
        """What would be loaded."""
        return self.estimate.total_bytes + self.adapter_bytes

    @property
    def fits(self) -> bool:
        """Whether it may be loaded."""
        return self.total_bytes <= self.limit_bytes


class Fitting:
    """Reads headers; those of commits seen lately are remembered."""

    def __init__(self, reading: Reading, content: Content, limit_bytes: int, slots: int) -> None:
        self._reading = reading
        self._content = content
        self._limit_bytes = limit_bytes
        self._slots = slots
        self._headers: OrderedDict[tuple[int, str, str], Held] = OrderedDict()
        self._lock = Lock()

    def of_gguf(self, at: RepoAt, first: Entry, context: int | None = None) -> Fit:
        """Of a GGUF file of a repo. Raises ModelNotRunnable, UnsupportedFormat."""
        key = (at.repo.id, at.commit.oid, first.path)
        found = self._find(key)
        if found is None:
            found = self._read_gguf(first), sum(part.size_bytes for part in parts_of(at.entries, first))
            self._put(key, found)
        return self._fit(found, context)

    def of_safetensors(self, viewer: Viewer, at: RepoAt, context: int | None = None) -> Fit:
        """Of the GGUF that would be made of a safetensors repo. Raises ModelNotRunnable, UnsupportedFormat."""
        key = (at.repo.id, at.commit.oid, "")
        found = self._find(key)
        if found is None:
            found = self._read_config(viewer, at), made_bytes(at)
            self._put(key, found)
        return self._fit(found, context)

    def of_transformers(self, viewer: Viewer, at: RepoAt) -> Fit:
        """Of a safetensors repo that transformers loads as it is. Raises UnsupportedFormat."""
        config = self._whole_config(viewer, at)
        embeds = any(entry.path == MODULES for entry in at.entries)
        found, _ = transformers_memory.estimate(config, _parameters(at), self._limit_bytes, embeds=embeds)
        return Fit(found, 0, self._limit_bytes)

    def of_vllm(self, viewer: Viewer, at: RepoAt) -> Fit:
        """Of a safetensors repo that vLLM loads as it is. Raises UnsupportedFormat."""
        config = self._whole_config(viewer, at)
        found, _ = vllm_memory.estimate(config, _parameters(at), self._limit_bytes, gpu=has_gpu())
        return Fit(found, 0, self._limit_bytes)

    def _fit(self, held: Held, context: int | None) -> Fit:
        found = estimate(*held, self._limit_bytes, context, self._slots)
        return Fit(found, 0, self._limit_bytes)

    def _read_gguf(self, first: Entry) -> Header:
        if first.digest is None:
            raise ModelNotRunnable(f"{first.path} is no model")
        header = read_gguf_header(ContentReader(self._content, first.digest))
        return {
            key: value.items if isinstance(value, GgufArray) else value
            for key, value in header.values.items()
            if not isinstance(value, SkippedText) and not key.startswith("tokenizer.")
        }

    def _read_config(self, viewer: Viewer, at: RepoAt) -> Header:
        from seedstock.convert.architectures import ARCHITECTURES, read_config, settings

        config, _ = read_config(self._config(viewer, at))
        values = {key: value.value for key, value in settings(config).items()}
        plain = {key: value for key, value in values.items() if isinstance(value, int | float | str)}
        return {"general.architecture": ARCHITECTURES[config.model_type].name, **plain}

    def _whole_config(self, viewer: Viewer, at: RepoAt) -> Mapping[str, Any]:
        # The config alone is remembered: the index job may not have counted the parameters yet.
        key = (at.repo.id, at.commit.oid, "config.json")
        held = self._find(key)
        if held is None:
            try:
                held = msgspec.json.decode(self._config(viewer, at), type=dict[str, Any]), 0
            except msgspec.MsgspecError as error:
                raise UnsupportedFormat(f"config.json is no JSON object: {error}") from None
            self._put(key, held)
        return held[0]

    def _config(self, viewer: Viewer, at: RepoAt) -> bytes:
        file = self._reading.file(viewer, repo_id_of(at.repo), f"{at.commit.oid}/config.json")
        reader = (
            BytesReader(file.data)
            if file.data is not None
            else ContentReader(self._content, file.entry.digest or "")
        )
        return read_whole(reader, _MAX_CONFIG_BYTES)

    def _find(self, key: tuple[int, str, str]) -> Held | None:
        with self._lock:
            return self._headers.get(key)

    def _put(self, key: tuple[int, str, str], found: Held) -> None:
        with self._lock:
            self._headers[key] = found
            while len(self._headers) > _CACHED:
                self._headers.popitem(last=False)


def made_type(at: RepoAt) -> str:
    """The element type that weights of a safetensors repo are run in."""
    return "F16" if _stored_bytes(at) <= SMALL_BYTES else "Q8_0"


def made_bytes(at: RepoAt) -> int:
    """How large that file will be, about: by the parameters that the index job counted, else as if of 16 bits each."""
    return math.ceil(_parameters(at) * _BYTES_PER_PARAMETER[made_type(at)])


def _parameters(at: RepoAt) -> int:
    counted = at.metadata.safetensors
    return counted.total if counted is not None else _stored_bytes(at) // 2


def _stored_bytes(at: RepoAt) -> int:
    weights = [entry for entry in at.entries if entry.path.endswith(".safetensors") and "/" not in entry.path]
    return sum(entry.size_bytes for entry in weights)
