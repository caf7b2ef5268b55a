"""Header panels of a commit's weight files, and the totals that are shown for the model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from seedstock.core.errors import HubError, Unavailable
from seedstock.metadata.gguf_header import GgufHeader, read_gguf_header
from seedstock.metadata.safetensors_header import (
    SafetensorsHeader,
    parameters_by_dtype,
    read_safetensors_header,
    read_shard_index,
)
from seedstock.metadata.source import FileEntry, RangeReader

MAX_HEADERS = 64
OpenFile = Callable[[str], RangeReader]
_INDEX = "model.safetensors.index.json"
_SPLIT = re.compile(r"(.*)-\d{5}-of-\d{5}\.gguf\Z", re.IGNORECASE)


class FileProblem(msgspec.Struct, frozen=True):
    """A file that says less than it should, and why."""

    path: str
    message: str


class HeaderPanel(msgspec.Struct, frozen=True):
    """What one weight file's header says, for its page."""

    path: str
    format: str
    size_bytes: int
    parameters: int
    dtypes: dict[str, int]
    tensor_count: int
    architecture: str | None = None
    context_length: int | None = None
    quantisation: str | None = None


class SafetensorsSummary(msgspec.Struct, frozen=True):
    """Elements by dtype over the model's safetensors files."""

    parameters: dict[str, int]
    total: int


class GgufSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """The `gguf` field of model info: the first GGUF file, with the parameters of all its parts."""

    total: int
    architecture: str | None = None
    context_length: int | None = None
    chat_template: str | None = None
    bos_token: str | None = None
    eos_token: str | None = None
    quantisation: str | None = None
    block_count: int | None = None
    embedding_length: int | None = None
    head_count: int | None = None
    head_count_kv: int | None = None


class Weights(msgspec.Struct, frozen=True):
    """All that the weight files of a commit say."""

    panels: tuple[HeaderPanel, ...] = ()
    safetensors: SafetensorsSummary | None = None
    gguf: GgufSummary | None = None


def read_weights(
    files: Sequence[FileEntry], open_file: OpenFile, problems: list[FileProblem], limit: int = MAX_HEADERS
) -> Weights:
    """Read the headers of at most `limit` weight files; faults are appended to `problems`."""
    wanted = sorted(
        (entry for entry in files if entry.path.lower().endswith((".safetensors", ".gguf"))),
        key=lambda entry: (entry.path.count("/"), entry.path),
    )
    tensors: dict[str, SafetensorsHeader] = {}
    ggufs: dict[str, GgufHeader] = {}
    panels: list[HeaderPanel] = []
    for entry in wanted[:limit]:
        try:
            if entry.path.lower().endswith(".gguf"):
                ggufs[entry.path] = header = read_gguf_header(open_file(entry.path))
                panels.append(_gguf_panel(entry, header))
            else:
                tensors[entry.path] = plain = read_safetensors_header(open_file(entry.path))
                panels.append(_safetensors_panel(entry, plain))
        except Unavailable:
            raise
        except HubError as error:
            problems.append(FileProblem(entry.path, error.message))
    problems += [FileProblem(entry.path, f"not read: only {limit} headers are") for entry in wanted[limit:]]
    total = _sum_safetensors({entry.path for entry in files}, tensors, open_file, problems)
    return Weights(tuple(panels), total, _sum_gguf(ggufs))


def _gguf_panel(entry: FileEntry, header: GgufHeader) -> HeaderPanel:
    return HeaderPanel(
        path=entry.path,
        format="gguf",
        size_bytes=entry.size_bytes,
        parameters=header.parameters,
        dtypes=header.parameters_by_type,
        tensor_count=len(header.tensors),
        architecture=header.architecture,
        context_length=header.number("context_length"),
        quantisation=header.quantisation,
    )


def _safetensors_panel(entry: FileEntry, header: SafetensorsHeader) -> HeaderPanel:
    dtypes = parameters_by_dtype([header])
    total, count = sum(dtypes.values()), len(header.tensors)
    return HeaderPanel(entry.path, "safetensors", entry.size_bytes, total, dtypes, count)


def _sum_safetensors(
    paths: set[str], headers: dict[str, SafetensorsHeader], open_file: OpenFile, problems: list[FileProblem]
) -> SafetensorsSummary | None:
    """The index's shards where there is one, else model.safetensors, else every file at the top level."""
    chosen: Sequence[str] = [path for path in headers if "/" not in path]
    if _INDEX in paths:
        try:
            chosen = read_shard_index(open_file(_INDEX), _INDEX)
        except Unavailable:
            raise
        except HubError as error:
            problems.append(FileProblem(_INDEX, error.message))
    elif "model.safetensors" in headers:
        chosen = ["model.safetensors"]
    absent = [path for path in chosen if path not in headers]
    if absent:
        problems.append(FileProblem(_INDEX, f"{len(absent)} shards were not read, such as {absent[0][:120]}"))
        return None
    if not chosen:
        return None
    counts = Counter(parameters_by_dtype(headers[path] for path in chosen))
    return SafetensorsSummary(dict(counts), counts.total())


def _sum_gguf(headers: dict[str, GgufHeader]) -> GgufSummary | None:
    models = [path for path in headers if "mmproj" not in path.lower()] or list(headers)
    if not models:
        return None
    first, header = models[0], headers[models[0]]
    split = _SPLIT.match(first)
    parts = [path for path in models if split and (found := _SPLIT.match(path)) and found[1] == split[1]] or [
        first
    ]
    return GgufSummary(
        total=sum(headers[path].parameters for path in parts),
        architecture=header.architecture,
        context_length=header.number("context_length"),
        chat_template=header.chat_template,
        bos_token=header.bos_token,
        eos_token=header.eos_token,
        quantisation=header.quantisation,
        block_count=header.number("block_count"),
        embedding_length=header.number("embedding_length"),
        head_count=header.number("attention.head_count"),
        head_count_kv=header.number("attention.head_count_kv"),
    )
