"""TOML to JSON values that know their places: `tomllib` reads the values, a scanner finds where they stand.

The scanner walks only text that `tomllib` has accepted, so it need not judge; a property test holds it to finding
every value that `tomllib` found. Places are offsets too, so that a value can be replaced with all else left as it is.
"""

from __future__ import annotations

import bisect
import math
import re
import tomllib
from typing import Any

import msgspec

from seedstock.adapt.located import Located, Path, Position, fault

MAX_TOML_BYTES = 256 << 10
MAX_DEPTH = 16
_MAX_INTEGER = 1 << 63

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\r\n]*")
_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_STRINGS = (
    re.compile(r'"""(?:[^\\"]|\\.|"(?!""))*"{3,5}', re.DOTALL),
    re.compile(r"'''(?:[^']|'(?!''))*'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\]|\\.)*"'),
    re.compile(r"'[^']*'"),
)


class Span(msgspec.Struct, frozen=True):
    """Characters [start, stop) of a text."""

    start: int
    stop: int


class TomlText(msgspec.Struct, frozen=True):
    """A text, what it says, and where.

    `spans` has every value; of a table under a header, that of the header; a table that is only implied (by a
    dotted key, or by the header of one below it) has an empty span. `headed` are the paths that headers open.
    """

    text: str
    located: Located
    spans: dict[Path, Span]
    headed: frozenset[Path]


def read_toml(text: str | bytes, name: str) -> TomlText:
    """Read a document; `name` is what errors call it. Raises Invalid as `name:line:column: message`."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) > MAX_TOML_BYTES:
        raise fault(name, Position(1, 1), f"more than {MAX_TOML_BYTES} bytes")
    try:
        source = raw.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise fault(name, Position(raw[: error.start].count(b"\n") + 1, 1), "not UTF-8") from None
    try:
        value = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_fault(name, source, str(error)) from None
    except (ValueError, RecursionError) as error:  # digits beyond Python's limit; nesting beyond its stack
        raise fault(name, Position(1, 1), f"cannot be read: {str(error)[:100]}") from None
    scanner = _Scanner(source)
    scanner.document()
    positions = _Positions(source)
    values = {path: positions.of(span.start) for path, span in scanner.spans.items()}
    keys = {path: positions.of(start) for path, start in scanner.keys.items()}
    located = Located(name, value, keys, values)
    _check_values(located, value, ())
    return TomlText(source, located, scanner.spans, frozenset(scanner.headed))


def _syntax_fault(name: str, source: str, message: str) -> Exception:
    match = _AT.search(message)
    place = Position(source.count("\n") + 1, 1)
    if match and match[1]:
        place = Position(int(match[1]), int(match[2]))
    return fault(name, place, _AT.sub("", message)[:200])


def _check_values(located: Located, value: Any, path: Path) -> None:
    """Refuse what JSON cannot carry, and what is nested too deep."""
    if len(path) > MAX_DEPTH:
        raise located.error(path, f"nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for step, inner in pairs:
            _check_values(located, inner, (*path, step))
    elif isinstance(value, float) and not math.isfinite(value):
        raise located.error(path, "not a finite number")
    elif isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise located.error(path, "an integer beyond 64 bits")
    elif not isinstance(value, str | int | float):
        raise located.error(path, "dates and times are not used here", hint="write it as text, in quotes")


class _Positions:
    """Offsets to lines and columns."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def of(self, offset: int) -> Position:
        line = bisect.bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)


class _Scanner:
    """Finds keys and values of a text that is TOML."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._offset = 0
        self._lists: dict[Path, int] = {}
        self.headed: set[Path] = set()
        self.keys: dict[Path, int] = {}
        self.spans: dict[Path, Span] = {(): Span(0, 0)}

    def document(self) -> None:
        """Walk the whole text."""
        table: Path = ()
        while self._skip(_BLANK) < len(self._text):
            table = self._header() if self._text[self._offset] == "[" else self._entry(table, table)

    def _header(self) -> Path:
        start = self._offset
        doubled = self._text.startswith("[[", start)
        self._offset += 2 if doubled else 1
        parts, starts = self._dotted_key()
        self._offset += 2 if doubled else 1
        whole = Span(start, self._offset)
        path: Path = ()
        for number, (part, begin) in enumerate(zip(parts, starts, strict=True)):
            path = (*path, part)
            last = number == len(parts) - 1
            self.headed.add(path)
            self.keys.setdefault(path, begin)
            self.spans.setdefault(path, Span(start, start))
            if last and doubled:
                self._lists[path] = self._lists.get(path, -1) + 1
            elif last:
                self.spans[path], self.keys[path] = whole, begin
            if path in self._lists:
                path = (*path, self._lists[path])
                self.headed.add(path)
                self.spans.setdefault(path, whole)
        return path

    def _entry(self, table: Path, result: Path) -> Path:
        """`key = value` in `table`."""
        begin = self._offset
        parts, starts = self._dotted_key()
        path = table
        for part, start in zip(parts, starts, strict=True):
            path = (*path, part)
            self.keys.setdefault(path, start)
            self.spans.setdefault(path, Span(begin, begin))
        self._offset += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)
        return result

    def _dotted_key(self) -> tuple[list[str], list[int]]:
        parts, starts = [], []
        while True:
            start = self._skip(_SPACE)
            if self._text[start] in "\"'":
                self._offset = self._string_end(start)
                parts.append(tomllib.loads(f"k={self._text[start : self._offset]}")["k"])
            else:
                parts.append(self._text[start : self._skip(_BARE_KEY)])
            starts.append(start)
            if self._text[self._skip(_SPACE)] != ".":
                return parts, starts
            self._offset += 1

    def _value(self, path: Path) -> None:
        start = self._offset
        opening = self._text[start]
        if opening in "\"'":
            self._offset = self._string_end(start)
        elif opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            end = self._skip(_SCALAR)
            self._offset = start + len(self._text[start:end].rstrip())
        self.spans[path] = Span(start, self._offset)

    def _array(self, path: Path) -> None:
        self._offset += 1
        index = 0
        while self._text[self._skip(_BLANK)] != "]":
            self._value((*path, index))
            index += 1
            if self._text[self._skip(_BLANK)] == ",":
                self._offset += 1
        self._offset += 1

    def _inline_table(self, path: Path) -> None:
        self._offset += 1
        while self._text[self._skip(_BLANK)] != "}":
            self._entry(path, path)
            if self._text[self._skip(_BLANK)] == ",":
                self._offset += 1
        self._offset += 1

    def _string_end(self, start: int) -> int:
        for pattern in _STRINGS:  # the triple ones first: an empty string is the start of one
            match = pattern.match(self._text, start)
            if match:
                return match.end()
        raise AssertionError("tomllib accepts no string without an end")

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._offset)
        assert match is not None
        self._offset = match.end()
        return self._offset
