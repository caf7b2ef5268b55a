"""Values read from a text that remember where they stood, so that a fault names `file:line:column`.

The readers of YAML (`yaml_lines`) and TOML (`recipes.toml_lines`) make them; `Located.convert` checks one against a
type and turns the complaint's path into a place.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import inspect

from seedstock.core.errors import Invalid

T = TypeVar("T")
Path = tuple[str | int, ...]
"""Keys and indices from the root."""

# Every entry of a mapping with a faulty one is tried by itself, to say which; of longer ones the first is named.
MAX_TRIED = 1000

_COMPLAINT = re.compile(r"(?P<text>.*?)(?: - at (?P<key>`key` in )?`(?P<path>\$[^`]*)`)?\Z", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|(\[\.\.\.\])")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `([^`]*)`\Z")


class Position(msgspec.Struct, frozen=True, order=True):
    """Line and column, both counted from 1; columns are characters."""

    line: int
    column: int


class Located(msgspec.Struct, frozen=True):
    """JSON values read from the text `name`, and where each key and each value stands."""

    name: str
    value: Any
    keys: dict[Path, Position]
    values: dict[Path, Position]

    def position(self, path: Path, *, key: bool = False) -> Position:
        """Where the value (or its key) at `path` stands; what is not in the text stands where its parent does."""
        while path:
            order = (self.keys, self.values) if key else (self.values, self.keys)
            for places in order:
                if path in places:
                    return places[path]
            path = path[:-1]
        return self.values.get((), Position(1, 1))

    def error(self, path: Path, message: str, *, key: bool = False, hint: str | None = None) -> Invalid:
        """The error to raise about what stands at `path`."""
        return fault(self.name, self.position(path, key=key), message, hint=hint)

    def convert(self, wanted: type[T], path: Path = ()) -> T:
        """The value at `path` as `wanted`. Raises Invalid with the place, the key and what is wrong."""
        try:
            value = at(self.value, path)
        except (KeyError, IndexError, TypeError):
            raise self.error(path, f"{dotted(path)} is missing") from None
        try:
            return msgspec.convert(value, wanted)
        except msgspec.ValidationError as error:
            self._complain(str(error), value, wanted, path)

    def _complain(self, text: str, value: Any, wanted: Any, base: Path) -> NoReturn:
        match = _COMPLAINT.match(text)
        assert match is not None
        path, on_key = _find(match, value, wanted)
        said = match["text"]
        unknown, missing = _UNKNOWN.match(said), _MISSING.match(said)
        if unknown:
            path = (*path, unknown[1])
            message = f"unknown key {dotted(base + path)}"
            hint = _suggest(unknown[1], fields_at(wanted, path[:-1]))
            raise self.error(base + path, message, key=True, hint=hint)
        if missing:
            raise self.error(base + path, f"{dotted((*base, *path, missing[1]))} is missing")
        message = f"{dotted(base + path)}: {said[:1].lower()}{said[1:]}"
        raise self.error(base + path, message, key=on_key)


def fault(name: str, position: Position, message: str, *, hint: str | None = None) -> Invalid:
    """An error at a place of a text."""
    return Invalid(f"{name}:{position.line}:{position.column}: {message}", hint=hint)


def at(value: Any, path: Path) -> Any:
    """What stands at `path` below a value that has it."""
    for step in path:
        value = value[step]
    return value


def dotted(path: Path) -> str:
    """A path as people write it: `stage.sft.args.lr`, `claim[0].margin`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text.removeprefix("."))
    return shown[:200] or "the document"


def fields_at(wanted: Any, path: Path) -> list[str]:
    """Keys that the type has at `path`, sorted; none where it does not say."""
    found = [inspect.type_info(wanted)]
    for step in path:
        found = [below for kind in _alternatives(found) for below in _below(kind, step)]
    return sorted(
        {
            field.encode_name
            for kind in _alternatives(found)
            if isinstance(kind, inspect.StructType)
            for field in kind.fields
        }
    )


def _alternatives(kinds: list[inspect.Type]) -> list[inspect.Type]:
    return [
        inner for kind in kinds for inner in (kind.types if isinstance(kind, inspect.UnionType) else [kind])
    ]


def _below(kind: inspect.Type, step: str | int) -> list[inspect.Type]:
    if isinstance(kind, inspect.StructType):
        return [field.type for field in kind.fields if field.encode_name == step]
    if isinstance(kind, inspect.DictType):
        return [kind.value_type]
    if isinstance(kind, inspect.ListType | inspect.VarTupleType):
        return [kind.item_type]
    return []


def _suggest(key: str, known: list[str]) -> str | None:
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known are {', '.join(known)}" if 0 < len(known) <= 30 else None


def _find(match: re.Match[str], value: Any, wanted: Any) -> tuple[Path, bool]:
    """The complaint's path with every `[...]`, which msgspec says for any key of a mapping, made out."""
    path: Path = ()
    for name, index, _anything in _STEP.findall(match["path"] or ""):
        if name or index:
            path = (*path, int(index) if index else name)
            continue
        key = _faulty_key(match[0], value, wanted, path)
        if key is None:
            return path, False
        path = (*path, key)
    if match["key"]:
        key = _faulty_key(match[0], value, wanted, path)
        return (path if key is None else (*path, key)), True
    return path, False


def _faulty_key(complaint: str, value: Any, wanted: Any, path: Path) -> str | None:
    """The key of the mapping at `path` whose entry alone draws the same complaint."""
    mapping = at(value, path)
    for key in list(mapping)[:MAX_TRIED]:
        try:
            msgspec.convert(_replaced(value, path, {key: mapping[key]}), wanted)
        except msgspec.ValidationError as error:
            if str(error) == complaint:
                return str(key)
    return None


def _replaced(value: Any, path: Path, new: Any) -> Any:
    """A copy of `value`, shallow off the path, with `new` at `path`."""
    if not path:
        return new
    copy: Any = value.copy()
    copy[path[0]] = _replaced(copy[path[0]], path[1:], new)
    return copy
