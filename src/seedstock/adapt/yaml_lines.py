"""YAML to JSON values that know their lines: for specs that people write, and for those of other tools.

A careful subset: scalars as YAML 1.2 reads them, and `3e-4` is a number (YAML 1.1 parsers read it as text); `yes`
and `no` are text. Tags, aliases, repeated keys and second documents are refused, so nothing can grow beyond the text.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from seedstock.adapt.located import Located, Path, Position, fault

MAX_YAML_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 100_000

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?\Z")
_WORDS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str | bytes, name: str) -> Located:
    """Read one document; `name` is what errors call the text. Raises Invalid as `name:line:column: message`."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_YAML_BYTES:
        raise fault(name, Position(1, 1), f"more than {MAX_YAML_BYTES} bytes")
    try:
        source = raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise fault(name, Position(line, 1), "not UTF-8") from None
    builder = _Builder(name)
    try:
        for event in yaml.parse(source, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
        raise fault(name, place, error.problem or "not YAML") from None
    except yaml.YAMLError as error:
        raise fault(name, Position(1, 1), " ".join(str(error).split())[:200]) from None
    return Located(name, builder.root, builder.keys, builder.values)


class _Open:
    """A list or mapping whose end has not come."""

    def __init__(self, container: dict[str, Any] | list[Any], path: Path) -> None:
        self.container = container
        self.path = path
        self.key: str | None = None


class _Builder:
    """Folds parser events into values, without recursion."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root: Any = None
        self.keys: dict[Path, Position] = {}
        self.values: dict[Path, Position] = {}
        self._open: list[_Open] = []
        self._nodes = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """One event of the parser."""
        mark: Any = event.start_mark
        place = Position(mark.line + 1, mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise fault(self.name, place, "a second document", hint="one file, one document")
        elif isinstance(event, yaml.AliasEvent):
            hint = "write the value out where it is needed"
            raise fault(self.name, place, f"alias *{str(event.anchor)[:40]}: aliases are not read", hint=hint)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
        elif isinstance(event, yaml.NodeEvent):
            self._node(event, place)

    def _node(self, event: yaml.NodeEvent, place: Position) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise fault(self.name, place, f"more than {MAX_NODES} values")
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise fault(self.name, place, f"tag {tag[:40]}: tags are not read")
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top.container, dict) and top.key is None:
            self._key(event, place, top, top.container)
            return
        path = self._path(top)
        self.values[path] = place
        if isinstance(event, yaml.ScalarEvent):
            self._put(top, self._scalar(event, place))
            return
        if len(self._open) == MAX_DEPTH:
            raise fault(self.name, place, f"nested more than {MAX_DEPTH} deep")
        container: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._put(top, container)
        self._open.append(_Open(container, path))

    def _key(self, event: yaml.NodeEvent, place: Position, top: _Open, mapping: dict[str, Any]) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise fault(self.name, place, "a key is a word, not a list or mapping")
        if event.value in mapping:
            first = self.keys[(*top.path, event.value)].line
            raise fault(self.name, place, f"key {event.value[:80]!r} is in line {first} already")
        top.key = event.value
        self.keys[(*top.path, event.value)] = place

    @staticmethod
    def _path(top: _Open | None) -> Path:
        if top is None:
            return ()
        if isinstance(top.container, list):
            return (*top.path, len(top.container))
        assert top.key is not None
        return (*top.path, top.key)

    def _put(self, top: _Open | None, value: Any) -> None:
        if top is None:
            self.root = value
        elif isinstance(top.container, list):
            top.container.append(value)
        else:
            assert top.key is not None
            top.container[top.key] = value
            top.key = None

    def _scalar(self, event: yaml.ScalarEvent, place: Position) -> str | int | float | bool | None:
        text: str = event.value
        if not event.implicit[0]:
            return text
        if text in _NULLS:
            return None
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.match(text):
            return int(text)
        if _FLOAT.match(text):
            number = float(text)
            if not math.isfinite(number):
                raise fault(self.name, place, f"{text[:40]} is no finite number")
            return number
        return text
