"""A cursor over the header of a GGUF file, read in growing windows of which one is held.

Every method raises UnsupportedFormat where the file ends too early or the header is too long.
"""

from __future__ import annotations

import struct

from seedstock.core.errors import UnsupportedFormat
from seedstock.metadata.source import RangeReader, read_exact

MAX_HEADER_BYTES = 128 << 20
_FIRST_WINDOW_BYTES = 64 << 10
_LAST_WINDOW_BYTES = 2 << 20
MARK_EVERY = 1024


class Scan:
    """A forward-only cursor; `order` is the byte order, `kept_bytes` what the caller has kept of the file so far."""

    def __init__(self, reader: RangeReader, position: int = 0) -> None:
        self.order = "<"
        self.kept_bytes = 0
        self._reader = reader
        self._window = b""
        self._start = position  # file offset of the window
        self._at = 0  # cursor inside the window
        self._window_bytes = _FIRST_WINDOW_BYTES

    @property
    def position(self) -> int:
        """File offset of the cursor."""
        return self._start + self._at

    def check_count(self, count: int, limit: int, least_bytes: int, what: str) -> None:
        """Refuse a count over the limit, or of more items than the rest of the file can hold."""
        left = self._reader.size_bytes - self.position
        if count > limit or count * least_bytes > left:
            raise UnsupportedFormat(f"The header announces {count} {what}; {left} bytes are left of the file")

    def take(self, length: int) -> bytes:
        """The next bytes."""
        self._need(length)
        data = self._window[self._at : self._at + length]
        self._at += length
        return data

    def number(self, code: str, size_bytes: int) -> int:
        """The next number, by its code in `struct`."""
        return int(struct.unpack(self.order + code, self.take(size_bytes))[0])

    def skip(self, length: int) -> None:
        """Step over bytes without reading them."""
        self._check_end(length)
        if self._at + length <= len(self._window):
            self._at += length
        else:
            self._start, self._window, self._at = self.position + length, b"", 0

    def text(self, limit_bytes: int, what: str) -> str:
        """The next string, read whole."""
        length = self.number("Q", 8)
        if length > limit_bytes:
            raise UnsupportedFormat(f"A {what} of {length} bytes at offset {self.position}")
        return self.take(length).decode("utf-8", "replace")

    def skip_strings(self, count: int) -> tuple[int, ...]:
        """Step over `count` strings; return the offsets of every 1024th."""
        marks = []
        unpack = struct.Struct(self.order + "Q").unpack_from
        for index in range(count):
            if index % MARK_EVERY == 0:
                marks.append(self.position)
            self._need(8)
            length = unpack(self._window, self._at)[0]
            self._at += 8
            self.skip(length)
        return tuple(marks)

    def _check_end(self, length: int) -> None:
        if length > self._reader.size_bytes - self.position:
            raise UnsupportedFormat(f"The header is cut off: {length} bytes needed at offset {self.position}")
        if self.position + length > MAX_HEADER_BYTES:
            raise UnsupportedFormat(f"The header is longer than {MAX_HEADER_BYTES} bytes")

    def _need(self, length: int) -> None:
        if self._at + length <= len(self._window):
            return
        self._check_end(length)
        rest = self._window[self._at :]
        start = self.position
        stop = min(self._reader.size_bytes, start + max(length, self._window_bytes))
        self._window = rest + read_exact(self._reader, start + len(rest), stop)
        self._start, self._at = start, 0
        self._window_bytes = min(2 * self._window_bytes, _LAST_WINDOW_BYTES)
