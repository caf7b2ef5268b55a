"""Recipes as text: values in TOML, whole recipes, and edits that leave the rest of a text as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from seedstock.adapt.located import Path
from seedstock.core.errors import Invalid
from seedstock.recipes.operations import NONE
from seedstock.recipes.recipe import Recipe
from seedstock.recipes.toml_lines import Span, TomlText

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_TABLES = ("env", "verifier", "budget", "determinism")


def toml_value(value: Any) -> str:
    """A JSON value as TOML on one line; None is written "none"."""
    if value is None:
        return toml_value(NONE)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's; TOML wants DEL escaped too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, dict):
        inner = ", ".join(_entries((), value))
        return f"{{ {inner} }}" if inner else "{}"
    raise Invalid(f"{type(value).__name__} cannot be written as TOML")


def toml_key(*parts: str | int) -> str:
    """A dotted key, quoted where it must be."""
    return ".".join(text if _BARE.match(text) else toml_value(text) for text in map(str, parts))


def render_recipe(recipe: Recipe) -> str:
    """The text of a recipe; reading it gives an equal recipe."""
    document: dict[str, Any] = msgspec.to_builtins(recipe)
    return render_document(document)


def render_document(document: Mapping[str, Any]) -> str:
    """The text of what a recipe says, which need not be pinned or whole."""
    lines = [f"{key} = {toml_value(document[key])}" for key in ("schema", "name", "license")]
    for key in _TABLES:
        if key in document:
            lines += _table(key, document[key])
    if document.get("inputs"):
        lines += _table("inputs", document["inputs"])
    for name, stage in document["stage"].items():
        lines += _table(toml_key("stage", name), {key: item for key, item in stage.items() if key != "args"})
        lines += _table(toml_key("stage", name, "args"), stage["args"])
    for claim in document.get("claim", []):
        lines += ["", "[[claim]]", *_entries((), claim)]
    return "\n".join(lines) + "\n"


def _table(header: str, entries: dict[str, Any]) -> list[str]:
    return ["", f"[{header}]", *_entries((), entries)]


class Edits:
    """Changes of a TOML text, put in all at once by `result`; what they do not touch stays byte for byte."""

    def __init__(self, toml: TomlText) -> None:
        self._toml = toml
        self._replaced: list[tuple[int, int, str]] = []
        self._added: dict[Path, dict[str, Any]] = {}

    def set(self, path: Path, value: Any) -> None:
        """Replace the value at `path`, or add it to the table that it belongs to, which is there."""
        span = self._toml.spans.get(path)
        if span is not None:
            self._replaced.append((span.start, span.stop, toml_value(value)))
        else:
            self._added.setdefault(path[:-1], {})[str(path[-1])] = value

    def result(self) -> str:
        """The text with all changes."""
        text, parts, position = self._toml.text, [], 0
        added = [self._addition(table, entries) for table, entries in self._added.items()]
        edits = self._replaced + [(place, place, new) for place, new in added]
        for start, stop, new in sorted(edits, key=lambda edit: edit[:2]):
            parts += [text[position:start], new]
            position = stop
        return "".join([*parts, text[position:]])

    def _addition(self, table: Path, entries: dict[str, Any]) -> tuple[int, str]:
        """Where new entries of a table go, and their text."""
        span, is_headed = self._toml.spans[table], table in self._toml.headed
        if is_headed and span.start == span.stop:
            return span.start, "\n".join([f"[{toml_key(*table)}]", *_entries((), entries), "\n"])
        last = self._last_entry(table)
        if is_headed or not table:
            return self._lines(span if last is None else last, _entries((), entries))
        if span.start == span.stop:
            return self._dotted(table, entries)
        listed = ", ".join(_entries((), entries))
        return (span.start + 1, f" {listed} ") if last is None else (last.stop, f", {listed}")

    def _dotted(self, table: Path, entries: dict[str, Any]) -> tuple[int, str]:
        """Into a table that dotted keys imply: more such keys, behind them."""
        around: Path = table
        while around and around not in self._toml.headed and self._is_empty(around):
            around = around[:-1]
        last = self._last_entry(table)
        assert last is not None
        new = _entries(table[len(around) :], entries)
        if not around or around in self._toml.headed:
            return self._lines(last, new)
        return last.stop, ", " + ", ".join(new)

    def _lines(self, behind: Span, new: list[str]) -> tuple[int, str]:
        indent = self._indent(behind.start)
        return self._end_of_line(behind.stop), "".join(f"\n{indent}{entry}" for entry in new)

    def _last_entry(self, table: Path) -> Span | None:
        """The last value in the table's own part of the text."""
        depth = len(table)
        own = [
            span
            for path, span in self._toml.spans.items()
            if path[:depth] == table
            and len(path) > depth
            and span.start < span.stop
            and not any(path[:end] in self._toml.headed for end in range(depth + 1, len(path) + 1))
        ]
        return max(own, key=lambda span: span.stop, default=None)

    def _is_empty(self, path: Path) -> bool:
        return self._toml.spans[path].start == self._toml.spans[path].stop

    def _end_of_line(self, offset: int) -> int:
        end = self._toml.text.find("\n", offset)
        return len(self._toml.text) if end < 0 else end

    def _indent(self, offset: int) -> str:
        start = self._toml.text.rfind("\n", 0, offset) + 1
        line = self._toml.text[start:offset]
        return line[: len(line) - len(line.lstrip(" \t"))]


def _entries(prefix: Path, entries: dict[str, Any]) -> list[str]:
    return [f"{toml_key(*prefix, key)} = {toml_value(value)}" for key, value in entries.items()]
