"""What one dataset may ask of the machine, and how a fault in it is named."""

from __future__ import annotations

import msgspec

from seedstock.core.errors import Invalid

MAX_FILES = 10_000
MAX_ROW_BYTES = 8 << 20
"""Of one row as it lies in the file. Longest sequences trained here are some 100,000 tokens, about 0.5 MB."""
MAX_WHOLE_BYTES = 64 << 20
"""Of a .json that is one object of columns: it cannot be read row by row."""
MAX_EXPANSION = 200
"""Bytes that one compressed byte may become; text gets 3 to 20, repetitive logs 50, bombs 1,000."""
MAX_BLANK_LINES = 10_000
"""In a row: they cost time, compress to nothing, and no file of rows has them."""
MAX_DEPTH = 64
"""Of lists and objects in a row."""


class Place(msgspec.Struct, frozen=True):
    """Where a row came from: its file and its line or row in it, counted from 1."""

    file: str
    number: int
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.file}, {self.unit} {self.number}"


def bad(where: Place | str, what: str, hint: str) -> Invalid:
    """The error for a fault of the data."""
    return Invalid(f"{where}: {what}", hint=hint)


def brief(value: object, limit: int = 60) -> str:
    """A value as an error message quotes it."""
    text = repr(value[:limit] if isinstance(value, str | bytes | list | tuple) else value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
