"""Rows of .jsonl, and of .json: an array of objects read one at a time, or one object of columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from seedstock.adapt.rows.limits import MAX_EXPANSION, MAX_ROW_BYTES, MAX_WHOLE_BYTES, Place, bad, brief
from seedstock.adapt.rows.lines import decode_text, iter_lines, open_bytes, read_piece, too_long

_PIECE = 1 << 20
_DECODER = msgspec.json.Decoder()
# What matters for finding where an element of an array ends: brackets and quotes, and commas between elements.
_MARK = re.compile(rb'[\[\]{},"]')
_STRING_END = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BYTE = re.compile(r"\(byte (\d+)\)")
Row = dict[str, Any]


def iter_jsonl(path: Path, name: str, gzipped: bool) -> Iterator[tuple[Place, Row]]:
    """Yield the object of every line; blank lines are passed over."""
    for number, line in iter_lines(path, name, gzipped):
        if line and not line.isspace():
            place = Place(name, number)
            yield place, as_object(decode_json(line, place), place)


def iter_json(path: Path, name: str, gzipped: bool) -> Iterator[tuple[Place, Row]]:
    """Yield the rows of an array, of an object of columns, or of JSON Lines that are called .json."""
    first = _first_line(path, name, gzipped)
    if first.startswith("["):
        yield from _iter_array(path, name, gzipped)
    elif _is_json_lines(path, name, gzipped):
        yield from iter_jsonl(path, name, gzipped)
    else:
        yield from _iter_columns(path, name, gzipped)


def decode_json(text: str, place: Place | str) -> Any:
    """The value of a JSON text; raises Invalid with the column where it breaks."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise bad(place, "nested too deeply", "Rows are objects of strings and lists of messages") from None
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise bad(place, _reason(text, str(error)), "Each row must be one JSON object") from None


def as_object(value: Any, place: Place) -> Row:
    """The value if it is an object; raises Invalid naming what it is instead."""
    if isinstance(value, dict):
        return value
    kind = {list: "an array", str: "a string", type(None): "null", bool: "a boolean"}.get(
        type(value), "a number"
    )
    raise bad(
        place, f"{kind} where an object is wanted", 'A row looks like {"prompt": "...", "completion": "..."}'
    )


def _reason(text: str, message: str) -> str:
    found = _BYTE.search(message)
    what = message.removeprefix("JSON is malformed: ").split(" (byte")[0]
    if found is None:
        return f"broken JSON: {what}"
    before = text.encode("utf-8", "surrogatepass")[: int(found[1])].decode("utf-8", "ignore")
    return f"broken JSON at column {len(before) + 1}: {what}"


def _first_line(path: Path, name: str, gzipped: bool) -> str:
    with open_bytes(path, name, gzipped) as file:
        start = read_piece(file, name, 4096)
    return start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1].decode("latin-1")


def _is_json_lines(path: Path, name: str, gzipped: bool) -> bool:
    """Whether the first line is a whole object and another follows."""
    with open_bytes(path, name, gzipped) as file:
        lines = [read_piece(file, name, MAX_ROW_BYTES, line=True) for _ in range(2)]
    try:
        return bool(lines[1].strip()) and isinstance(_DECODER.decode(lines[0]), dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def _iter_array(path: Path, name: str, gzipped: bool) -> Iterator[tuple[Place, Row]]:
    for number, start, raw in _Elements(path, name, gzipped):
        place = Place(name, number, "element")
        text = decode_text(raw, name, number, start, "element")
        yield place, as_object(decode_json(text, place), place)


class _Elements:
    """The elements of a top-level array, cut out of the bytes by counting brackets; holds one at a time."""

    def __init__(self, path: Path, name: str, gzipped: bool) -> None:
        self._path, self._name, self._gzipped = path, name, gzipped
        self._most = MAX_EXPANSION * (path.stat().st_size + 65_536) if gzipped else None

    def __iter__(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield (number from 1, byte it starts at, its bytes)."""
        with open_bytes(self._path, self._name, self._gzipped) as file:
            yield from self._cut(file)

    def _cut(self, file: IO[bytes]) -> Iterator[tuple[int, int, bytes]]:
        number, base, depth, start, at, in_string = 0, 0, 0, 0, 0, False
        held = b""
        while piece := read_piece(file, self._name, _PIECE):
            held += piece
            self._check_expansion(base + len(held))
            while True:
                at, in_string, found = _next_mark(held, at, in_string)
                if found is None:
                    break
                mark = held[found]
                if mark in b"[{":
                    depth += 1
                    start = found + 1 if depth == 1 else start
                    continue
                closes = mark in b"]}"
                depth -= closes
                if (depth == 0 and closes) or (depth == 1 and mark == 0x2C):
                    element = held[start:found]
                    if element.strip() or depth == 1 or number:
                        number += 1
                        yield number, base + start, element
                    start = found + 1
                if depth == 0:
                    self._check_rest(held[found + 1 :] + read_piece(file, self._name, _PIECE))
                    return
            if len(held) - start > MAX_ROW_BYTES:
                raise too_long(Place(self._name, number + 1, "element"))
            base, held, at, start = base + start, held[start:], at - start, 0
        raise bad(self._name, f"the array ends in its element {number + 1}", "Upload the whole file")

    def _check_rest(self, rest: bytes) -> None:
        if rest.strip():
            raise bad(self._name, "something follows the array", "The file must be one JSON array")

    def _check_expansion(self, size: int) -> None:
        if self._most is not None and size > self._most:
            raise bad(
                self._name,
                f"expands to more than {MAX_EXPANSION} times its size",
                "Give the file uncompressed if it is what it should be",
            )


def _next_mark(held: bytes, at: int, in_string: bool) -> tuple[int, bool, int | None]:
    """Find the next bracket or comma outside strings: (where to go on, whether within a string, its index)."""
    while True:
        if in_string:
            end = _STRING_END.match(held, at)
            if end is None:
                return at, True, None
            at, in_string = end.end(), False
        mark = _MARK.search(held, at)
        if mark is None:
            return len(held), False, None
        at = mark.end()
        if mark[0] != b'"':
            return at, False, mark.start()
        in_string = True


def _iter_columns(path: Path, name: str, gzipped: bool) -> Iterator[tuple[Place, Row]]:
    """Rows of `{"prompt": [...], "completion": [...]}`, or of `{"data": [{...}, ...]}`."""
    with open_bytes(path, name, gzipped) as file:
        raw = read_piece(file, name, MAX_WHOLE_BYTES + 1)
    if len(raw) > MAX_WHOLE_BYTES:
        raise bad(
            name,
            f"one object of more than {MAX_WHOLE_BYTES} bytes cannot be read row by row",
            "Write it as .jsonl",
        )
    value = decode_json(decode_text(raw, name, 1, 0), name)
    if not isinstance(value, dict):
        raise bad(name, "neither an array nor an object", "Write one JSON object per line, as .jsonl")
    lists = {key: column for key, column in value.items() if isinstance(column, list)}
    if len(value) == 1 and lists and all(isinstance(row, dict) for row in next(iter(lists.values()))):
        for number, row in enumerate(next(iter(lists.values())), 1):
            yield Place(name, number, "row"), row
        return
    yield from _rows_of(value, lists, name)


def _rows_of(value: Row, lists: dict[str, list[Any]], name: str) -> Iterator[tuple[Place, Row]]:
    if len(lists) != len(value):
        other = next(key for key in value if key not in lists)
        raise bad(
            name, f"{brief(other)} is no list: one object is not rows", "Write an array of objects, or .jsonl"
        )
    lengths = {key: len(column) for key, column in lists.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{brief(key)} {length}" for key, length in list(lengths.items())[:6])
        raise bad(name, f"columns of different lengths: {shown}", "Each column needs one value per row")
    for number, values in enumerate(zip(*lists.values(), strict=True), 1):
        yield Place(name, number, "row"), dict(zip(lists, values, strict=True))
