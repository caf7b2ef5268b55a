"""Which file of a repo runs, and where it lies on this machine."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from seedstock.accounts.permissions import Action, check
from seedstock.content.service import Content
from seedstock.core.errors import (
    Forbidden,
    Invalid,
    MissingBlob,
    ModelNotRunnable,
    NotFound,
    RepoNotFound,
    RevisionNotFound,
    Unauthenticated,
)
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.hub.fit import Fit, Fitting, made_type
from seedstock.hub.listing import Listing
from seedstock.hub.model_folders import ModelFolders, link_to
from seedstock.hub.model_list import ListedModel, ModelList
from seedstock.hub.preparation import Preparation
from seedstock.hub.reading import Reading, RepoAt
from seedstock.hub.repos import RepoMoved, repo_id_of
from seedstock.hub.runnable import (
    ADAPTER_WEIGHTS,
    WHOLE,
    Kind,
    base_of,
    kind_of,
    parts_of,
    pick_gguf,
    vllm_runs,
    writes_text,
)
from seedstock.hub.trees import Entry
from seedstock.run.engine_cache import Made
from seedstock.run.engines import transformers_engine, vllm_engine
from seedstock.run.engines.base import AdapterFile, ModelFile
from seedstock.run.engines.transformers_memory import ADAPTER_FACTOR

_NAME = re.compile(r"(?P<ns>[^/@:]+)/(?P<name>[^/@:]+)(?P<rest>[@:].*)?\Z", re.DOTALL)


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


class LocatedModel(msgspec.Struct, frozen=True):
    """A file to run, and the repo it is of."""

    repo_id: int
    file: ModelFile
    name: str = ""
    """The repo's, as it is spelt."""


class Models:
    """Runnable models of the hub."""

    def __init__(
        self,
        reading: Reading,
        listing: Listing,
        content: Content,
        preparation: Preparation,
        fitting: Fitting,
        folders: ModelFolders,
        links_dir: Path,
        *,
        vllm: bool = False,
    ) -> None:
        """`vllm` says that this hub has it: it then runs the safetensors models that it can."""
        self.preparation = preparation
        self._reading = reading
        self._list = ModelList(reading, listing)
        self._content = content
        self._fitting = fitting
        self._folders = folders
        self._links_dir = links_dir
        self._vllm = vllm

    def locate(self, viewer: Viewer, name: str) -> LocatedModel:
        """The local file of a model that the viewer may run; may write a copy of it to the cache first.

        Raises Unauthenticated, RepoNotFound, RevisionNotFound, GatedRepo, ModelNotRunnable, Invalid, and ModelPreparing
        where a file has to be made first, which goes on.
        """
        if viewer.anonymous:
            raise Unauthenticated("Sign in or send a token to run models")
        wanted = parse_model_name(name)
        at = self._reading.repo_at(viewer, wanted.repo, wanted.revision)
        check(viewer, Action.DOWNLOAD, at.repo)
        if kind_of(at.entries, at.metadata) is not Kind.ADAPTER:
            return LocatedModel(at.repo.id, self._whole(viewer, at, wanted.file), at.repo.repo_id)
        base = self._base(viewer, at)
        self._check_fit(self.fit_of(viewer, at, wanted.file))
        file = self._whole(viewer, base, wanted.file)
        if file.engine in {transformers_engine.NAME, vllm_engine.NAME}:
            adapter = self._folders.adapter(viewer, at, file.engine)
            return LocatedModel(at.repo.id, msgspec.structs.replace(file, adapter=adapter), at.repo.repo_id)
        parts = [Path(file.path), *_siblings(Path(file.path))] if file.rest_bytes else [Path(file.path)]
        made = self.preparation.adapter(viewer, at, file.key, parts)
        adapter = AdapterFile(made.sha256, str(made.path), made.size_bytes)
        return LocatedModel(at.repo.id, msgspec.structs.replace(file, adapter=adapter), at.repo.repo_id)

    def list(self, viewer: Viewer) -> list[ListedModel]:
        """The models that run and that the viewer may read; see `ModelList.of`."""
        return self._list.of(viewer)

    def writes(self, viewer: Viewer, at: RepoAt) -> bool:
        """Whether it `runs` and makes text, which encoders do not."""
        return self.runs(viewer, at) and writes_text(at.entries, at.metadata)

    def get(self, viewer: Viewer, name: str) -> RepoAt:
        """One runnable repo. Raises RepoNotFound."""
        wanted = parse_model_name(name)
        at = self._reading.repo_at(viewer, wanted.repo, wanted.revision)
        if not self.runs(viewer, at):
            raise RepoNotFound(f"The model {name!r} does not exist or cannot be run")
        return at

    def runs(self, viewer: Viewer, at: RepoAt) -> bool:
        """Whether an engine of this hub can load something of the revision for the viewer, as far as names tell."""
        if at.repo.type != RepoType.MODEL:
            return False
        kind = kind_of(at.entries, at.metadata)
        if kind is not Kind.ADAPTER:
            return kind is not None
        try:
            base = self._base(viewer, at)
        except (NotFound, Forbidden, Unauthenticated):
            return False
        return kind_of(base.entries, base.metadata) in WHOLE

    def fit(self, viewer: Viewer, name: str) -> Fit:
        """What a model needs of memory. Raises RepoNotFound, GatedRepo, ModelNotRunnable, UnsupportedFormat."""
        wanted = parse_model_name(name)
        at = self._reading.repo_at(viewer, wanted.repo, wanted.revision)
        check(viewer, Action.DOWNLOAD, at.repo)
        return self.fit_of(viewer, at, wanted.file)

    def fit_of(self, viewer: Viewer, at: RepoAt, wanted: str | None = None) -> Fit:
        """`fit`, of a repo that the viewer may read."""
        if kind_of(at.entries, at.metadata) is Kind.ADAPTER:
            base = self._base(viewer, at)
            fit = self.fit_of(viewer, base, wanted)
            held = {entry.path: entry.size_bytes for entry in at.entries}
            by_transformers = _as_folder(base, wanted) and not self._by_vllm(base, wanted)
            factor = ADAPTER_FACTOR if by_transformers else 1
            return msgspec.structs.replace(fit, adapter_bytes=factor * held[ADAPTER_WEIGHTS])
        if self._by_vllm(at, wanted):
            return self._fitting.of_vllm(viewer, at)
        if _as_folder(at, wanted):
            return self._fitting.of_transformers(viewer, at)
        if _converted(at, wanted):
            return self._fitting.of_safetensors(viewer, at)
        return self._fitting.of_gguf(at, self._gguf(at, wanted))

    def _whole(self, viewer: Viewer, at: RepoAt, wanted: str | None) -> ModelFile:
        """A whole model, made if need be."""
        by_vllm = self._by_vllm(at, wanted)
        if by_vllm or _as_folder(at, wanted):
            self._check_fit(self.fit_of(viewer, at))
            return self._folders.of(viewer, at, vllm_engine.NAME if by_vllm else transformers_engine.NAME)
        if not _converted(at, wanted):
            return self._stored(at, self._gguf(at, wanted))
        self._check_fit(self.fit_of(viewer, at))
        made: Made = self.preparation.model(viewer, at, made_type(at))
        return ModelFile(made.sha256, str(made.path), made.size_bytes)

    def _by_vllm(self, at: RepoAt, wanted: str | None) -> bool:
        """Whether vLLM runs the repo; a type that is named asks for the GGUF that is made of it."""
        return self._vllm and wanted is None and vllm_runs(at.entries, at.metadata)

    def _gguf(self, at: RepoAt, wanted: str | None) -> Entry:
        entry = pick_gguf(at.entries, wanted)
        if entry is None or entry.digest is None:
            what = (
                f"no GGUF file {wanted!r}"
                if wanted
                else "no GGUF file, and no weights that one can be made of,"
            )
            raise ModelNotRunnable(f"{at.repo.repo_id} holds {what} that this hub can run")
        parts = [part.digest for part in parts_of(at.entries, entry) if part.digest]
        # By way of the repo's own files: a pointer alone is no right to the bytes.
        if len(self._content.find_in_repo(at.repo.id, parts)) < len(set(parts)):
            raise MissingBlob(f"{entry.path} points at a file that this repository was not given")
        return entry

    def _stored(self, at: RepoAt, first: Entry) -> ModelFile:
        """A file of the repo, or its first part in a folder where the others lie beside it under their names."""
        parts = [(part.path, part.digest or "", part.size_bytes) for part in parts_of(at.entries, first)]
        paths = [self._content.materialise(digest) for _, digest, _ in parts]
        _, key, size_bytes = parts[0]
        if len(parts) == 1:
            return ModelFile(key, str(paths[0]), size_bytes)
        folder = self._links_dir / key
        folder.mkdir(parents=True, exist_ok=True)
        links = [folder / f"model-{n:05d}-of-{len(parts):05d}.gguf" for n in range(1, len(parts) + 1)]
        for link, path in zip(links, paths, strict=True):
            link_to(link, path)
        rest = sum(size for _, _, size in parts[1:])
        return ModelFile(key, str(links[0]), size_bytes, rest_bytes=rest)

    def _base(self, viewer: Viewer, at: RepoAt) -> RepoAt:
        """The base of an adapter, if the viewer may read it; one that is private is not there."""
        base = base_of(at.metadata)
        if base is None:
            raise ModelNotRunnable(f"{at.repo.repo_id} is an adapter that names no base")
        try:
            found = self._reading.repo_at(viewer, base.repo, base.revision)
        except RepoMoved as moved:
            found = self._reading.repo_at(viewer, repo_id_of(moved.repo), base.revision)
        except RevisionNotFound:
            raise ModelNotRunnable(
                f"{at.repo.repo_id} is an adapter of {base.repo} at commit {base.revision}, which is not on this hub"
            ) from None
        except RepoNotFound:
            raise ModelNotRunnable(
                f"{at.repo.repo_id} is an adapter of {base.repo}, which is not on this hub",
                hint="publish the base here under that name",
            ) from None
        check(viewer, Action.DOWNLOAD, found.repo)
        kind = kind_of(found.entries, found.metadata)
        if kind is Kind.ADAPTER:
            raise ModelNotRunnable(f"{at.repo.repo_id} is an adapter of an adapter, {base.repo}")
        return found

    def _check_fit(self, fit: Fit) -> None:
        """Refuse what could not be loaded before anything is made of it."""
        fit.estimate.check(fit.limit_bytes - fit.adapter_bytes)


def _converted(at: RepoAt, wanted: str | None) -> bool:
    """Whether a file is made of the weights; the type that it is made in may be named."""
    is_converted = kind_of(at.entries, at.metadata) is Kind.SAFETENSORS
    return is_converted and (wanted is None or wanted.upper() == made_type(at))


def _as_folder(at: RepoAt, wanted: str | None) -> bool:
    """Whether transformers runs the repo as it is."""
    return wanted is None and kind_of(at.entries, at.metadata) is Kind.TRANSFORMERS


def _siblings(first: Path) -> list[Path]:
    return sorted(path for path in first.parent.iterdir() if path != first)
