"""What of a repo an engine can run, from its file list and its indexed record: no file is opened for it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import msgspec

from seedstock.core.names import RepoId, RepoType
from seedstock.hub.trees import Entry
from seedstock.metadata.gguf_types import ENCODERS
from seedstock.metadata.summary import RepoMetadata
from seedstock.metadata.tags import ADAPTER_CONFIG
from seedstock.run.engines.base import Ability
from seedstock.run.engines.transformers_engine import IMAGE_SETTINGS, MODULES
from seedstock.run.engines.vllm_engine import ARCHITECTURES

CONVERTED = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3"})
"""The `model_type`s of safetensors models that `convert` makes GGUF files of."""
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_NAME = re.compile(r"(?P<ns>[^/@:\s]+)/(?P<name>[^/@:\s]+)\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf\Z", re.IGNORECASE)
_PREFERRED = ("q4_k_m", "q8_0")
_MAX_SHARDS = 1024
_WRITERS = ("ForCausalLM", "LMHeadModel")
_SEEING = "ForConditionalGeneration"


class Kind(StrEnum):
    """What is loaded for a repo."""

    GGUF = "gguf"
    SAFETENSORS = "safetensors"
    TRANSFORMERS = "transformers"
    """Safetensors weights of another architecture than those that a GGUF is made of."""
    ADAPTER = "adapter"


WHOLE = frozenset({Kind.GGUF, Kind.SAFETENSORS, Kind.TRANSFORMERS})
"""The kinds that are models of their own."""


class BaseName(msgspec.Struct, frozen=True):
    """The model that an adapter is for."""

    repo: RepoId
    revision: str


def kind_of(entries: list[Entry], metadata: RepoMetadata) -> Kind | None:
    """How a model repo runs, if it does; an adapter runs only where its base does."""
    if pick_gguf(entries, None) is not None:
        return Kind.GGUF
    paths = {entry.path for entry in entries}
    config = metadata.config or {}
    whole = any(
        path.endswith(".safetensors") and "/" not in path and path != ADAPTER_WEIGHTS for path in paths
    )
    if whole and {"config.json", "tokenizer.json"} <= paths and not config.get("quantization_config"):
        if config.get("model_type") in CONVERTED and MODULES not in paths:
            return Kind.SAFETENSORS
        return Kind.TRANSFORMERS if _is_loadable(config, paths) else None
    if {ADAPTER_CONFIG, ADAPTER_WEIGHTS} <= paths and base_of(metadata) is not None:
        return Kind.ADAPTER
    return None


def ability_of(entries: list[Entry], metadata: RepoMetadata) -> Ability:
    """What a model that runs is for, as far as its files tell before it is loaded: encoders only embed."""
    first = pick_gguf(entries, None)
    if first is None:
        embeds = any(entry.path == MODULES for entry in entries)
    else:
        embeds = any(panel.path == first.path and panel.architecture in ENCODERS for panel in metadata.panels)
    return Ability.EMBEDDINGS if embeds else Ability.GENERATION


def writes_text(entries: list[Entry], metadata: RepoMetadata) -> bool:
    """Whether a model is for text, as `ability_of` has it."""
    return ability_of(entries, metadata) is Ability.GENERATION


def _is_loadable(config: dict[str, Any], paths: set[str]) -> bool:
    """Whether transformers may know the architecture; it is asked only when the model is loaded. No remote code is."""
    if config.get("auto_map"):
        return False
    named = config.get("architectures")
    names = named if isinstance(named, list) else []
    writes = any(isinstance(name, str) and name.endswith(_WRITERS) for name in names)
    sees = any(isinstance(name, str) and name.endswith(_SEEING) for name in names) and (
        config.get("vision_config") is not None and not IMAGE_SETTINGS.isdisjoint(paths)
    )
    return MODULES in paths or writes or sees


def vllm_runs(entries: list[Entry], metadata: RepoMetadata) -> bool:
    """Whether vLLM, where a hub has it, runs the repo: safetensors that write text, of an architecture that it knows."""
    config = metadata.config or {}
    if kind_of(entries, metadata) not in {Kind.SAFETENSORS, Kind.TRANSFORMERS} or config.get("auto_map"):
        return False
    named = config.get("architectures")
    known = isinstance(named, list) and len(named) == 1 and named[0] in ARCHITECTURES
    return known and all(entry.path != MODULES for entry in entries)


def base_of(metadata: RepoMetadata) -> BaseName | None:
    """The base that an adapter's settings name, or else its card."""
    settings = (metadata.config or {}).get("peft")
    settings = settings if isinstance(settings, dict) else {}
    pinned = settings.get("revision")
    revision = pinned if isinstance(pinned, str) and _COMMIT.match(pinned) else "main"
    named = [(settings.get("base_model_name_or_path"), revision)]
    named += [(name, "main") for name in (metadata.base_models.models if metadata.base_models else ())[:1]]
    for name, at in named:
        match = _NAME.match(name) if isinstance(name, str) else None
        if match is not None:
            return BaseName(RepoId(RepoType.MODEL, match["ns"], match["name"]), at)
    return None


def pick_gguf(entries: list[Entry], wanted: str | None) -> Entry | None:
    """The GGUF file to run: the named file or quantisation; else Q4_K_M, Q8_0, or the first by name.

    Of a model in several files it is the first, and only if all are here.
    """
    found = [entry for entry in entries if entry.digest and entry.path.lower().endswith(".gguf")]
    found = [entry for entry in found if parts_of(entries, entry)]
    if wanted is not None:
        exact = [entry for entry in found if entry.path == wanted]
        return next(iter(exact or [entry for entry in found if wanted.lower() in _words(entry.path)]), None)
    usable = [entry for entry in found if "mmproj" not in entry.path.lower()]
    for quantisation in _PREFERRED:
        for entry in usable:
            if quantisation in _words(entry.path):
                return entry
    return next(iter(usable), None)


def parts_of(entries: list[Entry], first: Entry) -> list[Entry]:
    """All files of the model that `first` is or begins; none if it is another part, or some are missing."""
    match = _SHARD.match(first.path)
    if match is None:
        return [first]
    count = int(match["count"])
    if int(match["number"]) != 1 or not 1 <= count <= _MAX_SHARDS:
        return []
    suffix = first.path[len(match["stem"]) :].replace("-00001-", "-{:05d}-")
    names = [match["stem"] + suffix.format(number) for number in range(1, count + 1)]
    held = {entry.path: entry for entry in entries if entry.digest}
    return [held[name] for name in names] if all(name in held for name in names) else []


def _words(path: str) -> set[str]:
    stem = path.lower().rpartition("/")[2].removesuffix(".gguf")
    shard = _SHARD.match(f"{stem}.gguf")
    whole = shard["stem"] if shard else stem
    return {stem, f"{stem}.gguf", whole, f"{whole}.gguf", *re.split(r"[-.]", whole)}
