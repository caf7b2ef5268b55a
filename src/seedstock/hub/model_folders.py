"""Models as folders of files under their names, for engines that load a folder: links to stored files, no second copy."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

import msgspec

from seedstock.content.service import Content
from seedstock.core.errors import MissingBlob, ModelNotRunnable
from seedstock.core.viewer import Viewer
from seedstock.hub.reading import Reading, RepoAt
from seedstock.hub.repos import repo_id_of
from seedstock.hub.runnable import ADAPTER_WEIGHTS
from seedstock.hub.trees import Entry
from seedstock.metadata.safetensors_header import read_shard_index
from seedstock.metadata.source import BytesReader
from seedstock.metadata.tags import ADAPTER_CONFIG
from seedstock.run.engines import transformers_engine
from seedstock.run.engines.base import AdapterFile, ModelFile
from seedstock.run.engines.transformers_engine import IMAGE_SETTINGS, MODULES
from seedstock.run.engines.transformers_memory import ADAPTER_FACTOR

_CONFIG, _INDEX = "config.json", "model.safetensors.index.json"
_SMALL = frozenset(
    [
        _CONFIG, _INDEX, "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
        "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", MODULES,
        "sentence_bert_config.json", "1_Pooling/config.json", "chat_template.json", *IMAGE_SETTINGS,
    ]
)  # fmt: skip
_MAX_SMALL_BYTES = 64 << 20


class ModelFolders:
    """Lays models out below one folder; to be used from any thread and process."""

    def __init__(self, reading: Reading, content: Content, folder: Path) -> None:
        self._reading = reading
        self._content = content
        self._folder = folder

    def of(self, viewer: Viewer, at: RepoAt, engine: str) -> ModelFile:
        """The model of a repo that the viewer may read. Raises ModelNotRunnable, MissingBlob, UnsupportedFormat."""
        entries = [entry for entry in at.entries if not entry.is_tree and _is_part(entry.path)]
        named = sorted((entry.path, entry.digest or entry.oid) for entry in entries)
        key = hashlib.sha256(msgspec.json.encode([engine, named])).hexdigest()
        folder = self._folder / key
        self._check_given(at, entries)
        if not (folder / _INDEX).exists():  # laid only after it was found sound
            self._check_shards(viewer, at, entries)
        for entry in entries:
            self._lay(viewer, at, entry, folder / entry.path)
        config = folder / _CONFIG
        total = sum(entry.size_bytes for entry in entries)
        own = config.stat().st_size
        return ModelFile(key, str(config), own, rest_bytes=total - own, engine=engine)

    def adapter(self, viewer: Viewer, at: RepoAt, engine: str) -> AdapterFile:
        """A LoRA adapter as PEFT saves it, for an engine that takes it so.

        Raises ModelNotRunnable, MissingBlob, UnsupportedFormat for what it may not hold.
        """
        entries = [entry for entry in at.entries if entry.path in {ADAPTER_CONFIG, ADAPTER_WEIGHTS}]
        named = sorted((entry.path, entry.digest or entry.oid) for entry in entries)
        key = hashlib.sha256(msgspec.json.encode(["adapter", engine, named])).hexdigest()
        folder = self._folder / key
        self._check_given(at, entries)
        for entry in entries:
            self._lay(viewer, at, entry, folder / entry.path)
        weights = folder / ADAPTER_WEIGHTS
        size = weights.stat().st_size
        if engine == transformers_engine.NAME:  # PEFT itself says what it cannot take
            return AdapterFile(key, str(weights), size, rest_bytes=size * (ADAPTER_FACTOR - 1))
        from seedstock.convert.adapter import read_adapter_config

        read_adapter_config((folder / ADAPTER_CONFIG).read_bytes())
        return AdapterFile(key, str(weights), size)

    def _lay(self, viewer: Viewer, at: RepoAt, entry: Entry, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        if entry.digest is not None:
            link_to(place, self._content.materialise(entry.digest))
        elif not place.exists():
            fresh = _fresh(place)
            fresh.write_bytes(self._small(viewer, at, entry))
            fresh.replace(place)

    def _check_given(self, at: RepoAt, entries: list[Entry]) -> None:
        """By way of the repo's own files: a pointer alone is no right to the bytes."""
        large = {entry.digest: entry.path for entry in entries if entry.digest is not None}
        missing = large.keys() - self._content.find_in_repo(at.repo.id, list(large)).keys()
        if missing:
            path = large[min(missing)]
            raise MissingBlob(f"{path} points at a file that this repository was not given")

    def _small(self, viewer: Viewer, at: RepoAt, entry: Entry) -> bytes:
        if entry.size_bytes > _MAX_SMALL_BYTES:
            raise ModelNotRunnable(f"{entry.path} has {entry.size_bytes} bytes, more than {_MAX_SMALL_BYTES}")
        data = self._reading.file(viewer, repo_id_of(at.repo), f"{at.commit.oid}/{entry.path}").data
        assert data is not None
        return data

    def _check_shards(self, viewer: Viewer, at: RepoAt, entries: list[Entry]) -> None:
        """An index names files to be opened: none but the repo's own."""
        index = next((entry for entry in entries if entry.path == _INDEX), None)
        if index is None:
            return
        if index.digest is not None:
            data = self._content.materialise(index.digest).read_bytes()
        else:
            data = self._small(viewer, at, index)
        here = {entry.path for entry in entries}
        missing = sorted(set(read_shard_index(BytesReader(data), _INDEX)) - here)
        if missing:
            raise ModelNotRunnable(f"{_INDEX} names {missing[0][:100]!r}, which the repo does not hold")


def _is_part(path: str) -> bool:
    return path in _SMALL or ("/" not in path and path.endswith(".safetensors") and path != ADAPTER_WEIGHTS)


def link_to(link: Path, target: Path) -> None:
    """Have `link` lead to `target`, whatever it led to."""
    if link.is_symlink() and link.readlink() == target:
        return
    fresh = _fresh(link)
    fresh.symlink_to(target)
    fresh.replace(link)


def _fresh(path: Path) -> Path:
    """A name beside a file that no other thread or process has."""
    return path.with_name(f"{path.name}.{secrets.token_hex(6)}")
