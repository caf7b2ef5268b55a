"""From references to pins: which commits and files a spec means, for a viewer who may read them."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import msgspec

from seedstock.accounts.permissions import Action, check
from seedstock.adapt.spec import AdaptSpec, DataRef, ModelRef
from seedstock.core.errors import (
    EntryNotFound,
    HubError,
    Invalid,
    RepoNotFound,
    RevisionNotFound,
    UnsupportedFormat,
)
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.hub.reading import Reading, RepoAt
from seedstock.hub.repos import repo_id_of
from seedstock.hub.runnable import pick_gguf, writes_text
from seedstock.hub.trees import Entry
from seedstock.recipes.outputs import content_digest, describes
from seedstock.variants.plan import Input

_WEIGHTS = (".safetensors", ".gguf")
_MODEL_FILES = (
    "config.json generation_config.json model.safetensors.index.json tokenizer.json tokenizer_config.json"
    " special_tokens_map.json added_tokens.json vocab.json vocab.txt merges.txt tokenizer.model chat_template.jinja"
    " chat_template.json preprocessor_config.json adapter_config.json"
).split()
_NOTICES = ("LICENSE*", "LICENCE*", "NOTICE*", "COPYING*", "USE_POLICY*", "*_LICENSE*")
_DATA = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt", ".jsonl.gz")


class Pinner:
    """Resolves the references of one spec for one viewer."""

    def __init__(self, reading: Reading, viewer: Viewer) -> None:
        self._reading = reading
        self._viewer = viewer

    def inputs(self, spec: AdaptSpec) -> dict[str, Input]:
        """Every input of a spec by role. Raises RepoNotFound and the like, saying which reference it was."""
        found: dict[str, Input] = {}
        for role, model in _models(spec):
            pick = _model_files if role == "tokenizer" else _writer_files
            found[role] = self._pin(role, RepoType.MODEL, model.repo, model.revision, pick)
        several = len(spec.data) > 1
        for number, data in enumerate(spec.data):
            role = f"data_{number}" if several else "data"
            found[role] = self.pin_rows(data, role)
        if spec.reward_files is not None:
            code = self._pin(
                "rewards", RepoType.DATASET, spec.reward_files.repo, spec.reward_files.revision, _programs
            )
            found["rewards"] = msgspec.structs.replace(code, named=True)
        return found

    def pin(self, kind: RepoType, repo: str, revision: str, role: str = "base") -> Input:
        """A model at a revision, and the files of it that are trained on or merged."""
        return self._pin(role, kind, repo, revision, _model_files)

    def pin_files(self, repo: str, revision: str, files: Sequence[str], role: str = "base") -> Input:
        """Only these files of a model, and the digest of just them. Raises EntryNotFound if one is not there."""
        return self._pin(role, RepoType.MODEL, repo, revision, partial(_named_files, names=files), alone=True)

    def pin_rows(self, data: DataRef, role: str = "data") -> Input:
        """A dataset at a revision, and the files of it that hold the rows."""
        rows = self._pin(role, RepoType.DATASET, data.repo, data.revision, partial(_data_files, ref=data))
        return msgspec.structs.replace(rows, named=bool(data.files))

    def at(self, kind: RepoType, repo: str, revision: str) -> RepoAt:
        """A repo that the viewer may download. Raises RepoNotFound, RevisionNotFound, GatedRepo."""
        namespace, _, name = repo.partition("/")
        at = self._reading.repo_at(self._viewer, RepoId(kind, namespace, name), revision)
        check(self._viewer, Action.DOWNLOAD, at.repo)
        return at

    def _pin(
        self,
        role: str,
        kind: RepoType,
        repo: str,
        revision: str,
        pick: Callable[[RepoAt], list[Entry]],
        *,
        alone: bool = False,
    ) -> Input:
        try:
            at = self.at(kind, repo, revision)
        except RepoNotFound:
            raise RepoNotFound(f"There is no {kind.singular} {repo} (for {role})") from None
        except RevisionNotFound:
            raise Invalid(f"{repo} has no revision {revision!r} (for {role})") from None
        except HubError as error:
            error.message = f"{repo} (for {role}): {error.message}"
            raise
        named: Literal["model", "dataset"] = "model" if kind is RepoType.MODEL else "dataset"
        files = {entry.path: self._sha256(at, entry) for entry in pick(at)}
        content = (
            files
            if alone
            else {
                entry.path: files.get(entry.path) or self._sha256(at, entry)
                for entry in at.entries
                if not entry.is_tree and not describes(entry.path, named)
            }
        )
        return Input(
            kind=named,
            repo=at.repo.repo_id,
            commit=at.commit.oid,
            digest=content_digest(content, named),
            files=files,
            repo_id=at.repo.id,
        )

    def _sha256(self, at: RepoAt, entry: Entry) -> str:
        """Of a file; git knows small ones by another digest."""
        if entry.digest:
            return entry.digest
        found = self._reading.file(self._viewer, repo_id_of(at.repo), f"{at.commit.oid}/{entry.path}")
        return hashlib.sha256(found.data or b"").hexdigest()


def _models(spec: AdaptSpec) -> list[tuple[str, ModelRef]]:
    named = [("base", spec.base), ("teacher", spec.teacher), ("tokenizer", spec.tokenizer)]
    numbered = [(f"model_{number}", model) for number, model in enumerate(spec.models)]
    return [(role, ref) for role, ref in [*named, *numbered] if ref is not None]


def _model_files(at: RepoAt) -> list[Entry]:
    """Weights, settings, tokenizer and notices in the top folder: safetensors if there are any, else one GGUF."""
    top = [entry for entry in at.entries if not entry.is_tree and "/" not in entry.path]
    weights = [entry for entry in top if entry.path.endswith(".safetensors")]
    if not weights:
        gguf = pick_gguf(at.entries, None)
        weights = [gguf] if gguf else []
    if not weights:
        raise UnsupportedFormat(
            f"{at.repo.repo_id} holds no safetensors in its top folder and no GGUF",
            hint="pickled weights (.bin, .pt) are not read: convert them to safetensors first",
        )
    others = [entry for entry in top if entry.path in _MODEL_FILES or is_notice(entry.path)]
    return sorted({entry.path: entry for entry in [*weights, *others]}.values(), key=lambda entry: entry.path)


def _writer_files(at: RepoAt) -> list[Entry]:
    """`_model_files` of a model that makes text, which is all that methods take."""
    if not writes_text(at.entries, at.metadata):
        raise UnsupportedFormat(
            f"{at.repo.repo_id} makes no text: it turns texts into vectors, and no method makes variants of such models"
        )
    return _model_files(at)


def _named_files(at: RepoAt, names: Sequence[str]) -> list[Entry]:
    found = {entry.path: entry for entry in at.entries if not entry.is_tree}
    absent = [name for name in names if name not in found]
    if absent:
        raise EntryNotFound(f"There is no file {absent[0]!r}")
    return [found[name] for name in names]


def _programs(at: RepoAt) -> list[Entry]:
    """Python files in the top folder."""
    found = [
        entry
        for entry in at.entries
        if not entry.is_tree and "/" not in entry.path and entry.path.endswith(".py")
    ]
    if not found:
        raise UnsupportedFormat(f"{at.repo.repo_id} holds no .py file in its top folder")
    return found


def is_notice(path: str) -> bool:
    """Whether a file is one that a model's licence wants passed on."""
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in _NOTICES)


def _data_files(at: RepoAt, ref: DataRef) -> list[Entry]:
    """What is named, else all that may hold rows; the split is picked when they are read."""
    files = [entry for entry in at.entries if not entry.is_tree]
    if ref.files:
        found = [
            entry
            for entry in files
            if entry.path in ref.files
            or any(fnmatch.fnmatchcase(entry.path, pattern) for pattern in ref.files)
        ]
    else:
        found = [
            entry
            for entry in files
            if entry.path.lower().endswith(_DATA)
            and entry.path.rpartition("/")[2].lower() != "readme.md"
            and not entry.path.startswith(".")
        ]
    if not found:
        what = f"no file that matches {', '.join(ref.files)[:200]}" if ref.files else "no file of rows"
        raise UnsupportedFormat(
            f"{at.repo.repo_id} holds {what}", hint="rows are read from .jsonl, .json, .csv, .parquet, .txt"
        )
    return sorted(found, key=lambda entry: entry.path)
