"""Which files of a commit a conversion reads, opened as far as the plan needs them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from seedstock.content.service import Content
from seedstock.convert.files import pick_weights
from seedstock.core.viewer import Viewer
from seedstock.db.repos import RepoRow
from seedstock.hub.metadata import ContentReader
from seedstock.hub.reading import Reading, RepoAt
from seedstock.hub.repos import repo_id_of
from seedstock.hub.trees import Entry
from seedstock.metadata.source import BytesReader, RangeReader, read_whole

if TYPE_CHECKING:
    from seedstock.convert.card import Origin
    from seedstock.convert.plan import Plan
    from seedstock.weights.checkpoint import Checkpoint

_MAX_TEXT_BYTES = 64 << 20


class Source(msgspec.Struct, frozen=True):
    """An opened model and what it is to become."""

    at: RepoAt
    name: str
    """What the model is called in what is made, and the file with it."""
    origin: Origin
    plan: Plan
    checkpoint: Checkpoint


def pick_files(entries: list[Entry], wanted: str | None) -> list[str]:
    """The files of the model (`convert.files.pick_weights`). Raises EntryNotFound, UnsupportedFormat."""
    return pick_weights({entry.path: entry.size_bytes for entry in entries if not entry.is_tree}, wanted)


def open_source(
    reading: Reading,
    content: Content,
    viewer: Viewer,
    repo: RepoRow,
    revision: str,
    wanted: str | None,
    to: str,
    name: str | None = None,
) -> Source:
    """Read the headers and small files and plan the conversion. Raises GatedRepo, UnsupportedFormat and what `file` does.

    `name` is by default the repo's. The checkpoint is the caller's to close.
    """
    from seedstock.convert.card import Origin
    from seedstock.convert.mixtures import find_target
    from seedstock.convert.plan import Value
    from seedstock.convert.requantise import plan_requantising
    from seedstock.weights.checkpoint import open_checkpoint

    target = find_target(to)
    name = name or repo.name
    at = reading.repo_at(viewer, repo_id_of(repo), revision)
    paths = pick_files(at.entries, wanted)
    digests: dict[str, str] = {}

    def open_file(path: str) -> RangeReader:
        found = reading.file(viewer, repo_id_of(repo), f"{at.commit.oid}/{path}")
        if found.data is not None:
            digests[path] = hashlib.sha256(found.data).hexdigest()
            return BytesReader(found.data)
        digests[path] = found.entry.digest or ""
        return ContentReader(content, digests[path])

    readers = {path: open_file(path) for path in paths}
    checkpoint = open_checkpoint(readers)
    if checkpoint.format == "gguf":
        plan = plan_requantising(checkpoint, readers[paths[0]], target)
    else:
        from seedstock.convert.from_safetensors import plan_from_safetensors

        plan = plan_from_safetensors(checkpoint, _small_files(at, name, open_file), target)
    plan.check(checkpoint)
    source = f"{repo.repo_id}@{at.commit.oid}"
    values = {**plan.values, "general.source.repo_url": Value(source, 8)}
    plan = msgspec.structs.replace(plan, values=values)
    return Source(at, name, Origin(repo.repo_id, at.commit.oid, digests), plan, checkpoint)


def _small_files(at: RepoAt, name: str, open_file: Any) -> Any:
    from seedstock.convert.from_safetensors import ModelFiles

    present = {entry.path for entry in at.entries if not entry.is_tree}

    def read(path: str) -> bytes | None:
        return read_whole(open_file(path), _MAX_TEXT_BYTES) if path in present else None

    return ModelFiles(
        name,
        read("config.json"),
        read("tokenizer.json"),
        read("tokenizer_config.json"),
        read("chat_template.jinja"),
    )
