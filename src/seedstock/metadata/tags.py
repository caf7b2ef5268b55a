"""Tags, task, library and declared bases of a commit, from its card, file names and configs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from seedstock.core.names import RepoType
from seedstock.metadata.card import RELATIONS, Card, texts

DATASET_FIELDS = (
    "task_categories task_ids size_categories annotations_creators language_creators multilinguality"
    " source_datasets".split()
)
ADAPTER_CONFIG = "adapter_config.json"
_ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf|html)/(\d{4}\.\d{4,5})", re.IGNORECASE)
_TASKS = {
    "ForCausalLM": "text-generation",
    "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForImageClassification": "image-classification",
    "ForCTC": "automatic-speech-recognition",
}
_FORMATS = {
    "parquet": "parquet", "json": "json", "jsonl": "json", "csv": "csv", "tsv": "csv", "txt": "text",
    "arrow": "arrow", "jpg": "imagefolder", "jpeg": "imagefolder", "png": "imagefolder", "wav": "audiofolder",
    "flac": "audiofolder", "mp3": "audiofolder",
}  # fmt: skip
_NAME_TAGS = (
    ("safetensors", re.compile(r"\.safetensors\Z")),
    ("pytorch", re.compile(r"\Apytorch_model.*\.bin\Z")),
    ("gguf", re.compile(r"\.gguf\Z", re.IGNORECASE)),
    ("onnx", re.compile(r"\.onnx\Z")),
    ("tensorboard", re.compile(r"tfevents")),
)
_PATH_TAGS = (
    ("model_index.json", "diffusers"),
    ("modules.json", "sentence-transformers"),
    (ADAPTER_CONFIG, "peft"),
)
_MODALITIES = {"imagefolder": "image", "audiofolder": "audio", "text": "text"}


class FileFacts(msgspec.Struct, frozen=True):
    """What tags need to know beyond the card: paths, and the few configs that were read."""

    paths: Sequence[str]
    config: Mapping[str, Any] = {}
    diffusers_class: str | None = None
    has_chat_template: bool = False
    gguf_task: str | None = None


class BaseModels(msgspec.Struct, frozen=True):
    """Declared bases and how this model comes from them."""

    relation: str
    models: tuple[str, ...]


class Tagging(msgspec.Struct, frozen=True):
    """Everything that is derived for listing and search."""

    tags: tuple[str, ...]
    pipeline_tag: str | None = None
    library_name: str | None = None
    base_models: BaseModels | None = None


def derive_tags(repo_type: RepoType, card: Card, facts: FileFacts) -> Tagging:
    """Apply the tag table to one commit."""
    if repo_type is not RepoType.MODEL:
        source = _dataset_tags(card, facts) if repo_type is RepoType.DATASET else _space_tags(card)
        return Tagging(tags=_unique([*source, *_arxiv(card), "region:us"]))
    library = _first(card.data, "library_name") or _library(facts)
    task = _first(card.data, "pipeline_tag") or _task(facts, library)
    bases = _base_models(card.data, facts)
    source = _model_tags(card, bases)
    leading = [name for name in (library, *_file_tags(facts), task) if name]
    return Tagging(_unique([*leading, *source, *_arxiv(card), "region:us"]), task, library, bases)


def _unique(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tags))


def _first(data: Mapping[str, Any], field: str) -> str | None:
    return next(iter(texts(dict(data), field)), None)


def _arxiv(card: Card) -> list[str]:
    return [f"arxiv:{number}" for number in _ARXIV.findall(card.body)]


def _is_transformers(config: Mapping[str, Any]) -> bool:
    return bool(config.get("model_type") or config.get("architectures"))


def _library(facts: FileFacts) -> str | None:
    paths = set(facts.paths)
    if "model_index.json" in paths:
        return "diffusers"
    if "modules.json" in paths:
        return "sentence-transformers"
    if ADAPTER_CONFIG in paths:
        return "peft"
    return "transformers" if _is_transformers(facts.config) else None


def _task(facts: FileFacts, library: str | None) -> str | None:
    if library == "sentence-transformers":
        return "sentence-similarity"
    architectures = facts.config.get("architectures")
    for name in architectures if isinstance(architectures, list) else []:
        for suffix, task in _TASKS.items():
            if isinstance(name, str) and name.endswith(suffix):
                return task
    return facts.gguf_task


def _file_tags(facts: FileFacts) -> Iterator[str]:
    paths = set(facts.paths)
    names = [path.rsplit("/", 1)[-1] for path in facts.paths]
    yield from (tag for tag, pattern in _NAME_TAGS if any(pattern.search(name) for name in names))
    yield from (tag for path, tag in _PATH_TAGS if path in paths)
    if "model_index.json" in paths and facts.diffusers_class:
        yield f"diffusers:{facts.diffusers_class}"
    model_type = facts.config.get("model_type")
    if isinstance(model_type, str) and model_type:
        yield model_type
    if facts.config.get("auto_map"):
        yield "custom_code"
    if facts.has_chat_template:
        yield "conversational"


def _model_tags(card: Card, bases: BaseModels | None) -> Iterator[str]:
    data = card.data
    yield from texts(data, "tags")
    if data.get("model-index"):
        yield "model-index"
    yield from texts(data, "language")
    yield from (f"dataset:{name}" for name in texts(data, "datasets"))
    if bases is not None:
        yield from (f"base_model:{name}" for name in bases.models)
        yield from (f"base_model:{bases.relation}:{name}" for name in bases.models)
    yield from (f"license:{name.lower()}" for name in texts(data, "license"))


def _base_models(data: dict[str, Any], facts: FileFacts) -> BaseModels | None:
    models = _unique(texts(data, "base_model"))
    if not models:
        return None
    declared = _first(data, "base_model_relation")
    return BaseModels(declared if declared in RELATIONS else _guess_relation(models, facts), models)


def _guess_relation(models: tuple[str, ...], facts: FileFacts) -> str:
    if len(models) > 1:
        return "merge"
    if ADAPTER_CONFIG in facts.paths:
        return "adapter"
    if facts.config.get("quantization_config") or any(path.lower().endswith(".gguf") for path in facts.paths):
        return "quantized"
    return "finetune"


def _dataset_tags(card: Card, facts: FileFacts) -> Iterator[str]:
    data = card.data
    for field in DATASET_FIELDS:
        yield from (f"{field}:{value}" for value in texts(data, field))
    yield from (f"language:{code}" for code in texts(data, "language"))
    yield from (f"license:{name.lower()}" for name in texts(data, "license"))
    yield from texts(data, "tags")
    extensions = (path.rsplit(".", 1)[-1].lower() for path in facts.paths if "." in path)
    formats = sorted({_FORMATS[extension] for extension in extensions if extension in _FORMATS})
    yield from (f"format:{name}" for name in formats)
    yield from (f"modality:{_MODALITIES[name]}" for name in formats if name in _MODALITIES)
    if formats:
        yield "library:datasets"


def _space_tags(card: Card) -> Iterator[str]:
    yield from texts(card.data, "sdk")
    yield from texts(card.data, "tags")
    yield from (f"license:{name.lower()}" for name in texts(card.data, "license"))
