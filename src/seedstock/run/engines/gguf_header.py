"""The metadata of a GGUF file, read without trusting it; arrays of more than a few items are skipped.

Layout (little-endian): `GGUF`, u32 version, u64 tensor count, u64 key count, then per key a string, a
u32 type and the value. A string is a u64 length and its bytes; an array a u32 item type, a u64 count and
the items. Every length is checked against the bytes that are left before it is used.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from seedstock.core.errors import UnsupportedFormat

Scalar = int | float | bool | str
Value = Scalar | list[Scalar]

_STRING, _ARRAY = 8, 9
_FORMATS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_MAX_KEYS = 4096
_MAX_STRING_BYTES = 1 << 20  # a chat template is the longest that is seen, some 20 kB
_MAX_ARRAY_ITEMS = 4_000_000  # vocabularies hold at most some 300 000
_KEPT_ARRAY_ITEMS = 1024  # per-layer values; longer arrays are vocabularies


def read_gguf_header(path: Path) -> dict[str, Value]:
    """Metadata of the GGUF file at `path`. Raises UnsupportedFormat if it is not one, or is damaged."""
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise UnsupportedFormat("This file is not a GGUF file", hint="llama.cpp runs GGUF files only")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Cursor(data).header()


class _Cursor:
    """A position in the mapped file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 4

    def header(self) -> dict[str, Value]:
        version = self._number(4)
        if version not in {2, 3}:
            raise UnsupportedFormat(f"GGUF version {version} is not supported", hint="versions 2 and 3 are")
        self._number(10)
        count = self._size(_MAX_KEYS, "metadata keys")
        found: dict[str, Value] = {}
        for _ in range(count):
            key = self._string()
            value = self._value(int(self._number(4)))
            if value is not None:
                found[key] = value
        return found

    def _value(self, kind: int) -> Value | None:
        if kind != _ARRAY:
            return self._scalar(kind)
        item_kind = int(self._number(4))
        count = self._size(_MAX_ARRAY_ITEMS, "array items")
        if count <= _KEPT_ARRAY_ITEMS:
            return [self._scalar(item_kind) for _ in range(count)]
        if item_kind == _STRING:
            for _ in range(count):
                self._take(self._size(_MAX_STRING_BYTES, "bytes in a string"))
        else:
            self._take(count * struct.calcsize(self._format(item_kind)))
        return None

    def _scalar(self, kind: int) -> Scalar:
        return self._string() if kind == _STRING else self._number(kind)

    def _number(self, kind: int) -> int | float | bool:
        form = self._format(kind)
        start = self._take(struct.calcsize(form))
        number: int | float | bool = struct.unpack_from(form, self._data, start)[0]
        return number

    def _string(self) -> str:
        length = self._size(_MAX_STRING_BYTES, "bytes in a string")
        start = self._take(length)
        return self._data[start : start + length].decode("utf-8", "replace")

    def _size(self, limit: int, what: str) -> int:
        size = int(self._number(10))
        if size > limit:
            raise UnsupportedFormat(f"Damaged GGUF header: {size} {what}, more than {limit}")
        return size

    def _take(self, size: int) -> int:
        start = self._at
        if size > len(self._data) - start:
            raise UnsupportedFormat("Damaged GGUF header: it ends in the middle of a value")
        self._at = start + size
        return start

    def _format(self, kind: int) -> str:
        try:
            return _FORMATS[kind]
        except KeyError:
            raise UnsupportedFormat(f"Damaged GGUF header: value type {kind} does not exist") from None
