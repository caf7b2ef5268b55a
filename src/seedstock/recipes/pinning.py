"""Pins a recipe: branches become commits, digests and omitted arguments are written in, comments stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

from seedstock.adapt.located import Located, Path
from seedstock.adapt.methods import METHODS
from seedstock.recipes.reading import PINS, check_arguments, is_pinned
from seedstock.recipes.toml_lines import TomlText, read_toml
from seedstock.recipes.writing import Edits

Kind = Literal["model", "dataset", "content", "file"]


class Pinned(msgspec.Struct, frozen=True):
    """What a reference stands for now. `digest`: `sha256:` and hex; `revision`: a commit, of repos."""

    digest: str
    revision: str | None = None


class Resolve(Protocol):
    """Says what references stand for."""

    def __call__(
        self, kind: Kind, reference: str, revision: str | None, files: Sequence[str] = (), /
    ) -> Pinned:
        """What it is now: `model` and `dataset` are repos (of a model, if given, only these files), `content` a file or
        folder beside the recipe by its content digest, `file` one by the SHA-256 of its bytes. May raise any error.
        """


def pin(text: str, resolve: Resolve, name: str = "recipe.toml") -> str:
    """The recipe with every reference pinned and every argument written out.

    What is pinned stays as it is and is not resolved again. Only lines that must change do; a generator's `digest`
    can be known only by running it, so it is left. The result may still have other faults: read it.
    """
    toml = read_toml(text, name)
    edits = Edits(toml)
    document = toml.located.value
    inputs = document.get("inputs")
    for key, item in inputs.items() if isinstance(inputs, dict) else ():
        if isinstance(item, dict):
            _pin_input(toml.located, edits, ("inputs", key), item, resolve)
    for key, file_key in (("env", "lock"), ("verifier", "file")):
        table = document.get(key)
        if isinstance(table, dict) and isinstance(table.get(file_key), str):
            _pin_file(edits, (key,), table, table[file_key], resolve)
    stages = document.get("stage")
    for key, stage in stages.items() if isinstance(stages, dict) else ():
        if isinstance(stage, dict) and isinstance(stage.get("args"), dict):
            _complete(toml, edits, key, stage, resolve)
    result = edits.result()
    return result.replace("\n", "\r\n") if "\r\n" in text else result


def _pin_input(located: Located, edits: Edits, path: Path, item: dict[str, Any], resolve: Resolve) -> None:
    kind = item.get("kind")
    wanted = PINS.get(kind, ()) if isinstance(kind, str) else ()
    if all(is_pinned(key, item.get(key)) for key in wanted):
        return
    reference = item.get("ref" if "revision" in wanted else "file")
    if not isinstance(reference, str):
        raise located.error(path, f"input {path[-1]} says neither ref nor file")
    if kind in {"model", "dataset"}:
        revision = item.get("revision", "main")
        files = item.get("files") if kind == "model" else None
        found = resolve(kind, reference, str(revision), files if isinstance(files, list) else ())
        if not is_pinned("revision", revision):
            edits.set((*path, "revision"), found.revision)
        edits.set((*path, "digest"), found.digest)
    elif kind == "file":
        edits.set((*path, "digest"), resolve("content", reference, None).digest)
    else:
        _pin_file(edits, path, item, reference, resolve)


def _pin_file(edits: Edits, path: Path, table: dict[str, Any], file: str, resolve: Resolve) -> None:
    if not is_pinned("sha256", table.get("sha256")):
        edits.set((*path, "sha256"), resolve("file", file, None).digest.removeprefix("sha256:"))


def _complete(toml: TomlText, edits: Edits, name: str, stage: dict[str, Any], resolve: Resolve) -> None:
    """Write out the arguments that a stage leaves to the defaults of today."""
    path: Path = ("stage", name, "args")
    op = stage.get("op")
    if not isinstance(op, str) or op not in METHODS:
        return
    args = stage["args"]
    if op == "script":
        if isinstance(args.get("file"), str):
            _pin_file(edits, path, args, args["file"], resolve)
        return
    for where, default in check_arguments(toml.located, name, op, args)[2]:
        edits.set(where, default)
