"""All that one commit says about itself, folded into one record.

A file that cannot be read is a FileProblem, never a failure: the commit stands. Only a store that does not
answer (Unavailable) is raised, because trying again may give a better record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from seedstock.core.errors import HubError, Unavailable, UnsupportedFormat
from seedstock.core.names import RepoType
from seedstock.metadata.card import Card, parse_card, texts
from seedstock.metadata.gguf_types import ENCODERS
from seedstock.metadata.source import FileEntry, read_whole
from seedstock.metadata.tags import ADAPTER_CONFIG, BaseModels, FileFacts, derive_tags
from seedstock.metadata.weights import (
    FileProblem,
    GgufSummary,
    HeaderPanel,
    OpenFile,
    SafetensorsSummary,
    read_weights,
)

MAX_README_BYTES = 8 << 20
MAX_CONFIG_BYTES = 4 << 20
MAX_TOKENIZER_CONFIG_BYTES = 32 << 20
_CONFIG_FIELDS = ("architectures", "model_type", "quantization_config", "auto_map")
_ADAPTER_FIELDS = ("base_model_name_or_path", "revision", "task_type", "peft_type")
_TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json")

_Token = str | dict[str, Any] | None


class _TokenizerConfig(msgspec.Struct, frozen=True):
    """The part that is kept; vocabularies in the file are stepped over, not built."""

    bos_token: _Token = None
    eos_token: _Token = None
    pad_token: _Token = None
    unk_token: _Token = None
    chat_template: str | list[Any] | None = None


class RepoMetadata(msgspec.Struct, frozen=True):
    """One commit's metadata, in the shapes that repo info and the web pages show."""

    card_data: dict[str, Any] = {}
    tags: tuple[str, ...] = ()
    pipeline_tag: str | None = None
    library_name: str | None = None
    licenses: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    base_models: BaseModels | None = None
    config: dict[str, Any] | None = None
    context_length: int | None = None
    safetensors: SafetensorsSummary | None = None
    gguf: GgufSummary | None = None
    model_index: list[Any] | None = None
    panels: tuple[HeaderPanel, ...] = ()
    problems: tuple[FileProblem, ...] = ()


class _Commit:
    """The files of a commit, read one at a time; what goes wrong is collected."""

    def __init__(self, files: Sequence[FileEntry], open_file: OpenFile) -> None:
        self.files = files
        self.paths = {entry.path for entry in files}
        self.open_file = open_file
        self.problems: list[FileProblem] = []

    def find_bytes(self, path: str, limit_bytes: int) -> bytes | None:
        if path not in self.paths:
            return None
        try:
            return read_whole(self.open_file(path), limit_bytes)
        except Unavailable:
            raise
        except HubError as error:
            self.problems.append(FileProblem(path, error.message))
            return None

    def find_json(self, path: str, shape: Any, limit_bytes: int) -> Any:
        raw = self.find_bytes(path, limit_bytes)
        if raw is None:
            return None
        try:
            return decode_json(raw, shape)
        except UnsupportedFormat as error:
            self.problems.append(FileProblem(path, error.message))
            return None


def decode_json(raw: bytes, shape: Any) -> Any:
    """Decode JSON into `shape`. Raises UnsupportedFormat with a one-line reason."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnsupportedFormat(f"Not the JSON that was expected: {str(error)[:200]}") from error


def summarise(
    files: Sequence[FileEntry], open_file: OpenFile, *, repo_type: RepoType = RepoType.MODEL
) -> RepoMetadata:
    """Read card, configs and weight headers of one commit. Raises only Unavailable."""
    commit = _Commit(files, open_file)
    card = _read_card(commit)
    if repo_type is not RepoType.MODEL:
        tagging = derive_tags(repo_type, card, FileFacts(paths=[entry.path for entry in files]))
        return _record(commit, card, tags=tagging.tags)
    config = commit.find_json("config.json", dict[str, Any], MAX_CONFIG_BYTES) or {}
    tokenizer = commit.find_json("tokenizer_config.json", _TokenizerConfig, MAX_TOKENIZER_CONFIG_BYTES)
    pipeline = commit.find_json("model_index.json", dict[str, Any], MAX_CONFIG_BYTES) or {}
    adapter = commit.find_json(ADAPTER_CONFIG, dict[str, Any], MAX_CONFIG_BYTES) or {}
    weights = read_weights(files, open_file, commit.problems)
    class_name = pipeline.get("_class_name")
    facts = FileFacts(
        paths=[entry.path for entry in files],
        config=config,
        diffusers_class=class_name if isinstance(class_name, str) else None,
        has_chat_template=_has_chat_template(commit, tokenizer, weights.gguf),
        gguf_task=_gguf_task(weights.gguf),
    )
    tagging = derive_tags(repo_type, card, facts)
    index = card.data.get("model-index")
    return _record(
        commit,
        card,
        tags=tagging.tags,
        pipeline_tag=tagging.pipeline_tag,
        library_name=tagging.library_name,
        base_models=tagging.base_models,
        config=_config_subset(config, tokenizer, adapter),
        context_length=_context_length(config, weights.gguf),
        safetensors=weights.safetensors,
        gguf=weights.gguf,
        model_index=index if isinstance(index, list) else None,
        panels=weights.panels,
    )


def _read_card(commit: _Commit) -> Card:
    card = parse_card(commit.find_bytes("README.md", MAX_README_BYTES) or b"")
    if card.problem is not None:
        commit.problems.append(FileProblem("README.md", str(card.problem)))
    return card


def _record(commit: _Commit, card: Card, **fields: Any) -> RepoMetadata:
    return RepoMetadata(
        card_data=card.data,
        licenses=texts(card.data, "license"),
        languages=texts(card.data, "language"),
        problems=tuple(commit.problems),
        **fields,
    )


def _gguf_task(gguf: GgufSummary | None) -> str | None:
    """What a model of text in a GGUF file is for; encoders make vectors alone."""
    if gguf is None or not gguf.context_length:
        return None
    return "feature-extraction" if gguf.architecture in ENCODERS else "text-generation"


def _has_chat_template(commit: _Commit, tokenizer: _TokenizerConfig | None, gguf: GgufSummary | None) -> bool:
    if any(path in commit.paths for path in _TEMPLATE_FILES):
        return True
    return bool((tokenizer and tokenizer.chat_template) or (gguf and gguf.chat_template))


def _config_subset(
    config: dict[str, Any], tokenizer: _TokenizerConfig | None, adapter: dict[str, Any]
) -> dict[str, Any] | None:
    subset = {field: config[field] for field in _CONFIG_FIELDS if config.get(field) is not None}
    if isinstance(vision := config.get("vision_config"), dict):
        subset["vision_config"] = {"model_type": str(vision.get("model_type"))[:100]}
    peft = {name: adapter[name][:400] for name in _ADAPTER_FIELDS if isinstance(adapter.get(name), str)}
    if peft:
        subset["peft"] = peft
    if tokenizer is not None:
        kept = {name: value for name, value in msgspec.structs.asdict(tokenizer).items() if value is not None}
        subset["tokenizer_config"] = kept
    return subset or None


def _context_length(config: dict[str, Any], gguf: GgufSummary | None) -> int | None:
    value = config.get("max_position_embeddings")
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return gguf.context_length if gguf else None
