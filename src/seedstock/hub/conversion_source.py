"""Which files of a commit a conversion reads, opened as far as the plan needs them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from seedstock.content.service import Content
from seedstock.core.errors import EntryNotFound, Invalid, UnsupportedFormat
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

_PART = re.compile(r"(?P<stem>.+)-\d{5}-of-\d{5}(?P<suffix>\.gguf|\.safetensors)\Z", re.IGNORECASE)
_NO_MODEL = re.compile(r"mmproj|adapter|lora|optimizer|imatrix|consolidated", re.IGNORECASE)
_MAX_TEXT_BYTES = 64 << 20


class Source(msgspec.Struct, frozen=True):
    """An opened model and what it is to become."""

    at: RepoAt
    origin: Origin
    plan: Plan
    checkpoint: Checkpoint


def pick_files(entries: list[Entry], wanted: str | None) -> list[str]:
    """The files of the model: those that belong to `wanted`, or the safetensors in the top folder, or the largest GGUF.

    Raises EntryNotFound, UnsupportedFormat.
    """
    files = [entry for entry in entries if not entry.is_tree]
    if wanted is not None:
        if wanted not in {entry.path for entry in files}:
            raise EntryNotFound(f"There is no file {wanted[:200]!r}")
        if not wanted.lower().endswith((".gguf", ".safetensors")):
            raise UnsupportedFormat(
                f"{wanted[:200]!r} holds no weights that are read here: .safetensors or .gguf"
            )
        return sorted(entry.path for entry in files if _stem(entry.path) == _stem(wanted))
    for suffix in (".safetensors", ".gguf"):
        sets: dict[str, list[Entry]] = {}
        for entry in files:
            path = entry.path.lower()
            if (
                path.endswith(suffix)
                and not _NO_MODEL.search(path)
                and not (suffix[1] == "s" and "/" in path)
            ):
                sets.setdefault(_stem(entry.path), []).append(entry)
        if sets:
            largest = max(sets, key=lambda stem: sum(entry.size_bytes for entry in sets[stem]))
            return sorted(entry.path for entry in sets[largest])
    raise UnsupportedFormat("The repository holds no safetensors and no GGUF model")


def _stem(path: str) -> str:
    match = _PART.match(path)
    return f"{match['stem']}{match['suffix']}" if match else path


def open_source(
    reading: Reading,
    content: Content,
    viewer: Viewer,
    repo: RepoRow,
    revision: str,
    wanted: str | None,
    to: str,
) -> Source:
    """Read the headers and small files and plan the conversion. Raises GatedRepo, UnsupportedFormat and what `file` does.

    The checkpoint is the caller's to close.
    """
    from seedstock.convert.card import Origin
    from seedstock.convert.mixtures import find_target
    from seedstock.convert.plan import Value
    from seedstock.convert.requantise import plan_requantising
    from seedstock.weights.checkpoint import open_checkpoint

    target = find_target(to)
    at = reading.repo_at(viewer, repo_id_of(repo), revision)
    paths = pick_files(at.entries, wanted)
    digests: dict[str, str] = {}

    def open_file(path: str) -> RangeReader:
        found = reading.file(viewer, repo_id_of(repo), f"{at.commit.oid}/{path}")
        digests[path] = found.entry.digest or f"git:{found.entry.oid}"
        return BytesReader(found.data) if found.data is not None else ContentReader(content, digests[path])

    readers = {path: open_file(path) for path in paths}
    checkpoint = open_checkpoint(readers)
    if checkpoint.format == "gguf":
        plan = plan_requantising(checkpoint, readers[paths[0]], target)
    else:
        from seedstock.convert.from_safetensors import plan_from_safetensors

        plan = plan_from_safetensors(checkpoint, _small_files(at, open_file), target)
    plan.check(checkpoint)
    source = f"{repo.repo_id}@{at.commit.oid}"
    values = {**plan.values, "general.source.repo_url": Value(source, 8)}
    plan = msgspec.structs.replace(plan, values=values)
    return Source(at, Origin(repo.repo_id, at.commit.oid, digests), plan, checkpoint)


def _small_files(at: RepoAt, open_file: Any) -> Any:
    from seedstock.convert.from_safetensors import ModelFiles

    present = {entry.path for entry in at.entries if not entry.is_tree}

    def read(path: str) -> bytes | None:
        return read_whole(open_file(path), _MAX_TEXT_BYTES) if path in present else None

    return ModelFiles(
        at.repo.name,
        read("config.json"),
        read("tokenizer.json"),
        read("tokenizer_config.json"),
        read("chat_template.jinja"),
    )


def file_name(source: str, target: str) -> str:
    """What the made file is called."""
    stem = re.sub(r"[-_.]gguf\Z", "", source, flags=re.IGNORECASE)
    if not stem:
        raise Invalid("The repository has no name to call the file by")
    return f"{stem}-{target}.gguf"
