"""A foreign file being taken apart: every key is taken, set aside as of no effect, or told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import msgspec

from seedstock.adapt.located import Located, Path, dotted
from seedstock.recipes.recipe import SCHEMA

T = TypeVar("T")
_NAME = re.compile(r"[^a-z0-9]+")


class Note(msgspec.Struct, frozen=True):
    """Something to know about an import. `key` is the foreign one, or ours where something was assumed."""

    kind: Literal["not mapped", "no effect", "assumed"]
    key: str
    text: str
    line: int | None = None

    def __str__(self) -> str:
        place = "" if self.line is None else f"line {self.line}: "
        return f"{self.kind}: {place}{self.key}{': ' if self.text else ''}{self.text}"


class Draft:
    """The recipe that comes of a foreign file, and what is left of the file."""

    def __init__(self, located: Located) -> None:
        self.located = located
        self.left = dict(located.value)
        self.args: dict[str, Any] = {}
        self.op = ""
        self.sources: dict[str, str] = {}
        self.inputs: dict[str, dict[str, Any]] = {}
        self.how: dict[str, Any] = {
            "seed": 0,
            "threads": 1,
            "dtype": "float32",
            "device": "cpu",
            "deterministic_algorithms": True,
        }
        self.notes: list[Note] = []

    def take(self, key: str, kind: type[T], default: T) -> T:
        """The value of a top-level key, which then is dealt with. Raises Invalid if it has another type."""
        if key not in self.left or self.left[key] is None:
            self.left.pop(key, None)
            return default
        self.left.pop(key)
        return self.located.convert(kind, (key,))

    def find(self, key: str, kind: type[T]) -> T | None:
        """As `take`; None where the key is absent or null."""
        if self.left.pop(key, None) is None:
            return None
        return self.located.convert(kind, (key,))

    def number(self, key: str, name: str, default: float | None = None) -> None:
        """Take over a number as our argument `name`."""
        value = self.find(key, float)
        if value is not None or default is not None:
            self.args[name] = default if value is None else value

    def count(self, key: str, name: str, default: int | None = None) -> None:
        """Take over an integer as our argument `name`."""
        value = self.find(key, int)
        if value is not None or default is not None:
            self.args[name] = default if value is None else value

    def assume(self, key: str, text: str) -> None:
        """Say what the file does not and had to be assumed."""
        self.notes.append(Note("assumed", key, text))

    def unmapped(self, path: Path, text: str = "") -> None:
        """Say that something of the file is not in the recipe."""
        line = self.located.position(path, key=True).line
        self.notes.append(Note("not mapped", dotted(path), text, line))

    def drop(self, key: str, text: str) -> None:
        """A key that has no place in a recipe, and why."""
        if key in self.left:
            self.left.pop(key)
            self.unmapped((key,), text)

    def no_effect(self, keys: Iterable[str], prefixes: tuple[str, ...] = ()) -> None:
        """Keys that say how to log, save or upload: they do not change what is made."""
        known = set(keys)
        for key in [key for key in self.left if key in known or (prefixes and key.startswith(prefixes))]:
            self.left.pop(key)
            line = self.located.position((key,), key=True).line
            self.notes.append(Note("no effect", key, "", line))

    def add_input(
        self, role: str, kind: str, ref: str, revision: str | None, path: Path, **more: Any
    ) -> None:
        """An input by its repo id; a path of somebody's machine cannot be one."""
        if re.fullmatch(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", ref) is None or ref.startswith("."):
            self.unmapped(path, f"{ref[:100]!r} is no repo: publish it, and put its id in")
            ref = "FILL/IN"
        name = self._input_name(role)
        self.inputs[name] = {"kind": kind, "ref": ref, "revision": revision or "main", **more}
        self.sources[role] = name

    def document(self) -> dict[str, Any]:
        """What the recipe says. What no foreign file says is filled in, and told."""
        name = _NAME.sub("-", self.located.name.rsplit("/", 1)[-1].rsplit(".", 1)[0].lower()).strip("-")
        self.assume("license", '"unknown": put in that of the recipe')
        self.assume("budget", "a day of one core and 16 GB: put in what it takes")
        return {
            "schema": SCHEMA,
            "name": name[:64] or "imported",
            "license": "unknown",
            "env": {"python": "3.11"},
            "budget": {"cpu_s": 86_400, "memory_mb": 16_384},
            "determinism": self.how,
            "inputs": self.inputs,
            "stage": {self.op: {"op": self.op, "inputs": self.sources, "args": self.args}},
        }

    def finished(self) -> list[Note]:
        """All notes: first what did not map, keys that nothing asked for among them."""
        for key in list(self.left):
            self.left.pop(key)
            self.unmapped((key,), "a recipe has nothing like it")
        order = {"not mapped": 0, "assumed": 1, "no effect": 2}
        return sorted(self.notes, key=lambda note: (order[note.kind], note.line or 0))

    def _input_name(self, role: str) -> str:
        return role if role not in self.inputs and role != self.op else f"{role}_input"
