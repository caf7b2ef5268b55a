"""Lines of a text file that may hold anything: bounded in length, UTF-8, without NUL; gzipped or not."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from seedstock.adapt.rows.limits import MAX_BLANK_LINES, MAX_EXPANSION, MAX_ROW_BYTES, Place, bad
from seedstock.core.errors import Invalid

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"


def open_bytes(path: Path, name: str, gzipped: bool) -> IO[bytes]:
    """Open a file for reading bytes, decompressed where it is gzipped."""
    try:
        return cast("IO[bytes]", gzip.open(path, "rb")) if gzipped else path.open("rb")
    except OSError as error:
        raise Invalid(f"{name}: cannot be read: {error.strerror}") from None


def iter_lines(path: Path, name: str, gzipped: bool) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end). Raises Invalid with line and byte of what is no text."""
    most = MAX_EXPANSION * (path.stat().st_size + 65_536) if gzipped else None
    offset = 0
    with open_bytes(path, name, gzipped) as file:
        number = blank = 0
        while raw := _read_line(file, name, number + 1):
            number += 1
            if most is not None and offset + len(raw) > most:
                raise bad(
                    Place(name, number),
                    f"expands to more than {MAX_EXPANSION} times its size",
                    "Give the file uncompressed if it is what it should be",
                )
            line = decode_text(raw, name, number, offset)
            offset += len(raw)
            blank = blank + 1 if not line or line.isspace() else 0
            if blank > MAX_BLANK_LINES:
                raise bad(
                    Place(name, number), f"more than {MAX_BLANK_LINES} empty lines in a row", "Remove them"
                )
            yield number, line


def _read_line(file: IO[bytes], name: str, number: int) -> bytes:
    raw = read_piece(file, name, MAX_ROW_BYTES + 2, line=True)
    if len(raw) > MAX_ROW_BYTES and not raw.endswith(b"\n"):
        raise too_long(Place(name, number))
    return raw


def read_piece(file: IO[bytes], name: str, size: int, *, line: bool = False) -> bytes:
    """Read up to `size` bytes, to the line's end with `line`; compressed data that is broken raises Invalid."""
    try:
        return file.readline(size) if line else file.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise Invalid(f"{name}: the gzip data is broken or cut off", hint="Upload the file again") from None
    except OSError as error:
        raise Invalid(f"{name}: cannot be read: {error.strerror or 'read failed'}") from None


def decode_text(raw: bytes, name: str, number: int, offset: int, unit: str = "line") -> str:
    """The line's text without its end; `offset` is where it starts in the file, for the message."""
    if offset == 0:
        if raw.startswith(_UTF16):
            raise bad(
                Place(name, number, unit), "not UTF-8: this looks like UTF-16", "Save the file as UTF-8"
            )
        raw = raw.removeprefix(_BOM)
    if b"\0" in raw:
        raise bad(
            Place(name, number, unit),
            f"NUL byte at byte {offset + raw.index(0)} of the file: this is no text",
            "Check that the file is what its name says",
        )
    try:
        return raw.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise bad(
            Place(name, number, unit),
            f"not UTF-8: byte 0x{raw[error.start]:02x} at byte {offset + error.start} of the file",
            "Save the file as UTF-8",
        ) from None


def too_long(place: Place) -> Invalid:
    """The error for a row beyond MAX_ROW_BYTES."""
    return bad(
        place,
        f"longer than {MAX_ROW_BYTES} bytes, the most that a row may have",
        "Put each row on a line of its own, or cut it into shorter ones",
    )
