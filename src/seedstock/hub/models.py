"""Which file of a repo runs, and where it lies on this machine."""

from __future__ import annotations

import re

import msgspec

from seedstock.accounts.permissions import Action, check
from seedstock.content.service import Content
from seedstock.core.errors import Invalid, ModelNotRunnable, RepoNotFound, Unauthenticated
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.db.repos import RepoRow
from seedstock.hub.listing import Listing, ListQuery
from seedstock.hub.reading import Reading
from seedstock.hub.trees import Entry
from seedstock.run.engines.base import ModelFile

_NAME = re.compile(r"(?P<ns>[^/@:]+)/(?P<name>[^/@:]+)(?P<rest>[@:].*)?\Z", re.DOTALL)
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.gguf\Z")
_PREFERRED = ("q4_k_m", "q8_0")


class ModelName(msgspec.Struct, frozen=True):
    """`namespace/name`, optionally `:file` (a file name or a quantisation) and `@revision`."""

    repo: RepoId
    file: str | None
    revision: str


def parse_model_name(text: str) -> ModelName:
    """Read a `model` parameter. Raises Invalid."""
    match = _NAME.match(text)
    if match is None:
        raise Invalid(f"A model is named namespace/name[:file][@revision], not {text[:100]!r}")
    rest, file, revision = match["rest"] or "", None, "main"
    while rest:
        mark, rest = rest[0], rest[1:]
        cut = min((at for at in (rest.find(":"), rest.find("@")) if at >= 0), default=len(rest))
        value, rest = rest[:cut], rest[cut:]
        if not value:
            raise Invalid(f"Nothing follows {mark!r} in {text[:100]!r}")
        file, revision = (value, revision) if mark == ":" else (file, value)
    return ModelName(RepoId(RepoType.MODEL, match["ns"], match["name"]), file, revision)


def pick_gguf(entries: list[Entry], wanted: str | None) -> Entry | None:
    """The GGUF file to run: the named file or quantisation; else Q4_K_M, Q8_0, or the first by name."""
    found = [
        entry
        for entry in entries
        if entry.digest and entry.path.lower().endswith(".gguf") and not _SHARD.search(entry.path)
    ]
    if wanted is not None:
        exact = [entry for entry in found if entry.path == wanted]
        return next(iter(exact or [entry for entry in found if wanted.lower() in _words(entry.path)]), None)
    usable = [entry for entry in found if "mmproj" not in entry.path.lower()]
    for quantisation in _PREFERRED:
        for entry in usable:
            if quantisation in _words(entry.path):
                return entry
    return next(iter(usable), None)


def _words(path: str) -> set[str]:
    stem = path.lower().rpartition("/")[2].removesuffix(".gguf")
    return {stem, f"{stem}.gguf", *re.split(r"[-.]", stem)}


class LocatedModel(msgspec.Struct, frozen=True):
    """A file to run, and the repo it is of."""

    repo_id: int
    file: ModelFile


class Models:
    """Runnable models of the hub."""

    def __init__(self, reading: Reading, listing: Listing, content: Content) -> None:
        self._reading = reading
        self._listing = listing
        self._content = content

    def locate(self, viewer: Viewer, name: str) -> LocatedModel:
        """The local file of a model that the viewer may run; may write a copy of it to the cache first.

        Raises Unauthenticated, RepoNotFound, RevisionNotFound, ModelNotRunnable, Invalid.
        """
        if viewer.anonymous:
            raise Unauthenticated("Sign in or send a token to run models")
        wanted = parse_model_name(name)
        at = self._reading.repo_at(viewer, wanted.repo, wanted.revision)
        check(viewer, Action.DOWNLOAD, at.repo)
        entry = pick_gguf(at.entries, wanted.file)
        if entry is None or entry.digest is None:
            what = f"no GGUF file {wanted.file!r}" if wanted.file else "no GGUF file"
            raise ModelNotRunnable(f"{at.repo.repo_id} holds {what} that this hub can run")
        path = self._content.materialise(entry.digest)
        return LocatedModel(at.repo.id, ModelFile(entry.digest, str(path), entry.size_bytes))

    def list(self, viewer: Viewer, limit: int = 1000) -> list[RepoRow]:
        """Repos that hold something runnable and that the viewer may read."""
        query = ListQuery(type=RepoType.MODEL, runnable=True, sort="name", ascending=True, limit=limit)
        return self._listing.page(viewer, query).repos

    def get(self, viewer: Viewer, name: str) -> RepoRow:
        """One runnable repo. Raises RepoNotFound."""
        at = self._reading.repo_at(viewer, parse_model_name(name).repo)
        if pick_gguf(at.entries, None) is None:
            raise RepoNotFound(f"The model {name!r} does not exist or cannot be run")
        return at.repo
