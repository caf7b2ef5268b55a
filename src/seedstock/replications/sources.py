"""The inputs of a recipe, found on this hub and held against their pins, and put where stages read them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from seedstock.adapt.script_stage import SCRIPT_FILE
from seedstock.adapt.spec import DataRef
from seedstock.core.errors import HubError, Invalid, RepoNotFound
from seedstock.core.names import RepoType
from seedstock.core.viewer import Viewer
from seedstock.hub.reading import Reading, RepoAt
from seedstock.hub.repos import repo_id_of
from seedstock.recipes.graph import Change
from seedstock.recipes.operations import script_of
from seedstock.recipes.outputs import content_digest
from seedstock.recipes.recipe import DatasetInput, FileInput, GeneratorInput, ModelInput, Recipe
from seedstock.replications.generators import generate
from seedstock.variants.inputs import Materialiser
from seedstock.variants.pinning import Pinner
from seedstock.variants.plan import Input

Place = Callable[[Path], None]


class Found(msgspec.Struct, frozen=True):
    """Inputs that are as pinned, and what is said of the others."""

    places: dict[str, Place]
    changes: tuple[Change, ...]
    commits: dict[str, str]
    """Of the inputs that are repos: where their content was found."""


class Sources:
    """Finds inputs for a viewer, who must be allowed to download each."""

    def __init__(self, reading: Reading, inputs: Materialiser) -> None:
        self._reading = reading
        self._inputs = inputs

    def find(self, viewer: Viewer, at: RepoAt, recipe: Recipe, *, code_allowed: bool) -> Found:
        """Look every input up. What cannot be had is a change too: the recipe does not resolve here."""
        places: dict[str, Place] = {}
        changes: list[Change] = []
        commits: dict[str, str] = {}
        for name, item in recipe.inputs.items():
            digest: str | None
            try:
                if isinstance(item, ModelInput | DatasetInput):
                    pinned, places[name] = self._repo(viewer, name, item)
                    digest, commits[name] = pinned.digest, pinned.commit
                elif isinstance(item, FileInput):
                    digest, places[name] = self._file(viewer, at, item)
                else:
                    digest, places[name] = self._generator(viewer, at, item, allowed=code_allowed)
            except HubError as error:
                changes.append(
                    Change("input", _subject(name, item), "pinned", f"not to be had ({error.message})")
                )
                continue
            if digest is not None and digest != item.digest:
                changes.append(Change("inputs-changed", _subject(name, item), item.digest[:19], digest[:19]))
        for name, stage in recipe.stage.items():
            if stage.op == "script":
                try:
                    places[script_of(name)] = self._script(viewer, at, stage.args)
                except HubError as error:
                    file = f"script {stage.args['file']} (stage {name})"
                    changes.append(Change("inputs-changed", file, stage.args["sha256"][:12], error.message))
        if recipe.foreign_code and not code_allowed:
            changes += [
                Change("code", what, "the author's", "not to be run (an admin of this hub may)")
                for what in recipe.foreign_code
                if not what.startswith("input")
            ]
        return Found(places, tuple(changes), commits)

    def original(
        self, viewer: Viewer, at: RepoAt, file: str | None, made: Collection[str], folder: Path
    ) -> None:
        """Put what the repo itself holds into a folder: `file` if it has it, else its model and what else was `made`."""
        pinner, repo, held = Pinner(self._reading, viewer), at.repo.repo_id, {e.path for e in at.entries}
        if file is not None and file in held:
            names = {file}
        else:
            model = pinner.pin(RepoType.MODEL, repo, at.commit.oid)
            names = {*model.files, *(held & set(made))}
        self._inputs.place(viewer, pinner.pin_files(repo, at.commit.oid, sorted(names)), folder)

    def _repo(self, viewer: Viewer, name: str, item: ModelInput | DatasetInput) -> tuple[Input, Place]:
        pinned = self._pinned(viewer, name, item)
        return pinned, lambda folder: self._inputs.place(viewer, pinned, folder)

    def _pinned(self, viewer: Viewer, name: str, item: ModelInput | DatasetInput) -> Input:
        """The input at its commit. Hubs that hold the same files number their commits differently: where there is no
        such commit, the newest one serves if it has the pinned content.
        """
        pinner = Pinner(self._reading, viewer)

        def pin(revision: str) -> Input:
            if isinstance(item, ModelInput) and item.files:
                return pinner.pin_files(item.ref, revision, item.files, name)
            if isinstance(item, ModelInput):
                return pinner.pin(RepoType.MODEL, item.ref, revision, name)
            return pinner.pin_rows(DataRef(repo=item.ref, revision=revision, files=item.files), name)

        try:
            return pin(item.revision)
        except RepoNotFound:
            raise
        except HubError:
            try:
                newest = pin("main")
            except HubError:
                newest = None
            if newest is None or newest.digest != item.digest:
                raise
            return newest

    def _file(self, viewer: Viewer, at: RepoAt, item: FileInput) -> tuple[str, Place]:
        names = [
            entry.path
            for entry in at.entries
            if not entry.is_tree and (entry.path == item.file or entry.path.startswith(f"{item.file}/"))
        ]
        if not names:
            raise Invalid(f"The repository holds no {item.file}")
        pinned = Pinner(self._reading, viewer).pin_files(at.repo.repo_id, at.commit.oid, names)
        top = item.file if names != [item.file] else item.file.rpartition("/")[0]
        inside = {PurePosixPath(path).relative_to(top).as_posix(): sha for path, sha in pinned.files.items()}
        digest = content_digest(inside, item.holds)
        return digest, lambda folder: self._inputs.place(viewer, pinned, folder, top)

    def _generator(
        self, viewer: Viewer, at: RepoAt, item: GeneratorInput, *, allowed: bool
    ) -> tuple[str | None, Place]:
        """What the generator writes is known only once it has run: its digest is checked then."""
        program = self._program(viewer, at, item.file)
        if hashlib.sha256(program).hexdigest() != item.sha256:
            raise Invalid(f"{item.file} is not the file that the recipe pins")
        if not allowed:
            raise Invalid(
                f"{item.file} is code of the recipe's author", hint="an admin of this hub may run it"
            )

        return None, lambda folder: generate(program, item, folder)

    def _script(self, viewer: Viewer, at: RepoAt, args: dict[str, Any]) -> Place:
        program = self._program(viewer, at, args["file"])
        if hashlib.sha256(program).hexdigest() != args["sha256"]:
            raise Invalid(f"another file ({hashlib.sha256(program).hexdigest()[:12]})")

        def place(folder: Path) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / SCRIPT_FILE).write_bytes(program)

        return place

    def _program(self, viewer: Viewer, at: RepoAt, path: str) -> bytes:
        """A file of the recipe's repo that is to be run."""
        entry = next((entry for entry in at.entries if entry.path == path), None)
        if entry is None:
            raise Invalid(f"The repository holds no {path}")
        if entry.is_tree:
            raise Invalid(f"{path} is a folder, not a program")
        data = self._reading.file(viewer, repo_id_of(at.repo), f"{at.commit.oid}/{path}").data
        if data is None:
            raise Invalid(f"{path} is stored as a large file; a program is small")
        return data


def _subject(name: str, item: object) -> str:
    if isinstance(item, ModelInput | DatasetInput):
        kind = "model" if isinstance(item, ModelInput) else "dataset"
        return f"{kind} {item.ref} ({name})"
    return f"{getattr(item, 'file', '')} ({name})"
