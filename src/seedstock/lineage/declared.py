"""What a repo's own files say that it is built on. Nothing here is checked against weights."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from seedstock.core.errors import HubError
from seedstock.lineage.revisions import ModelRevision, ModelRevisions
from seedstock.metadata.card import parse_card
from seedstock.metadata.summary import decode_json

MAX_DECLARED = 32
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}\Z", re.ASCII)
_URL = re.compile(r"https?://[^/]+/(?:models/)?([^/\s]+/[^/\s@?#]+)")
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_MERGE_FILES = ("mergekit_config.yml", "mergekit_config.yaml")


class Declared(msgspec.Struct, frozen=True):
    """A base as a file names it; `commit` where the file pins one."""

    name: str
    relation: str
    source: str
    commit: str | None = None


def read_declared(
    revision: ModelRevision, files: ModelRevisions, gguf: Mapping[str, Any] | None = None
) -> list[Declared]:
    """Every base that card, adapter, merge recipe or GGUF header name: once each, the card's word first."""
    found: dict[str, Declared] = {}
    sources = (_card(revision), _adapter(revision, files), _merge(revision, files), _gguf(gguf or {}))
    for declared in (item for source in sources for item in source):
        key = declared.name.lower()
        if key == revision.name.lower():
            continue
        known = found.get(key)
        found[key] = declared if known is None else _joined(known, declared)
    return list(found.values())[:MAX_DECLARED]


def _joined(first: Declared, second: Declared) -> Declared:
    sources = first.source if second.source in first.source else f"{first.source}, {second.source}"
    return msgspec.structs.replace(first, source=sources, commit=first.commit or second.commit)


def _declared(text: object, relation: str, source: str, commit: object = None) -> Iterator[Declared]:
    """One base, if the text is a repo's name or address and not a folder of somebody's disk."""
    if not isinstance(text, str) or len(text) > 400:
        return
    url = _URL.match(text.strip())
    name, _, pinned = (url[1] if url else text.strip()).partition("@")
    pin = commit if isinstance(commit, str) and commit else pinned
    if _NAME.match(name):
        yield Declared(name, relation, source, pin if _COMMIT.match(pin) else None)


def _card(revision: ModelRevision) -> Iterator[Declared]:
    bases = revision.metadata.base_models
    for name in bases.models if bases else ():
        yield from _declared(name, bases.relation if bases else "finetune", "README.md")


def _adapter(revision: ModelRevision, files: ModelRevisions) -> Iterator[Declared]:
    path = "adapter_config.json"
    raw = files.find_bytes(revision, path)
    if raw is None:
        return
    try:
        config = decode_json(raw, dict[str, Any])
    except HubError:
        return  # the index job says so in the repo's problems
    yield from _declared(config.get("base_model_name_or_path"), "adapter", path, config.get("revision"))


def _merge(revision: ModelRevision, files: ModelRevisions) -> Iterator[Declared]:
    for path in _MERGE_FILES:
        raw = files.find_bytes(revision, path)
        if raw is None:
            continue
        recipe = parse_card(f"---\n{raw.decode('utf-8', 'replace').strip()}\n---\n").data
        for name in _models_in(recipe):
            yield from _declared(name, "merge", path)


def _models_in(recipe: dict[str, Any]) -> Iterator[object]:
    """The models of a merge recipe: those that are merged, and the base that they are taken against."""
    slices = recipe.get("slices")
    lists = [recipe.get("models")]
    if isinstance(slices, list):
        lists += [item.get("sources") for item in slices if isinstance(item, dict)]
    for items in lists:
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict):
                yield item.get("model")
    yield recipe.get("base_model")


def _gguf(header: Mapping[str, Any]) -> Iterator[Declared]:
    """Keys `general.base_model.N.*` and `general.source.*` of the GGUF specification."""
    source = "GGUF header"
    count = header.get("general.base_model.count", 0)
    for number in range(min(count, MAX_DECLARED) if isinstance(count, int) else 0):
        prefix = f"general.base_model.{number}"
        yield from _declared(header.get(f"{prefix}.repo_url"), "finetune", source)
    for key in ("general.source.repo_url", "general.source.huggingface.repository"):
        yield from _declared(header.get(key), "quantized", source)
