"""Rows of .csv and .tsv with a line of column names; quoted values may run over lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seedstock.adapt.rows.limits import MAX_ROW_BYTES, Place, bad, brief
from seedstock.adapt.rows.lines import iter_lines, too_long

_MAX_COLUMNS = 4096


class _Lines:
    """Feeds the csv reader; stops a row that a stray quote lets run on over the whole file."""

    def __init__(self, path: Path, name: str, gzipped: bool) -> None:
        self._lines = iter_lines(path, name, gzipped)
        self._name = name
        self.first = self.last = 0
        self._size = 0

    def start_row(self) -> None:
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        for number, line in self._lines:
            self.first = number if self._size == 0 else self.first
            self.last = number
            self._size += len(line) + 1
            if self._size > MAX_ROW_BYTES:
                raise too_long(Place(self._name, self.first))
            yield line + "\n"


def iter_delimited(
    path: Path, name: str, gzipped: bool, delimiter: str
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the rows, all values strings; the place is the line that a row starts on."""
    # The module's own limit of 131,072 characters is per process and stops long documents; ours is above.
    csv.field_size_limit(MAX_ROW_BYTES)
    lines = _Lines(path, name, gzipped)
    reader = csv.reader(iter(lines), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        lines.start_row()
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise bad(
                Place(name, lines.first), f"broken quotes: {error}", 'Double quotes within values: ""'
            ) from None
        if values is None:
            return
        place = Place(name, lines.first)
        if not values:
            continue
        if header is None:
            header = _header(values, place, delimiter)
        elif len(values) != len(header):
            raise bad(
                place,
                f"{len(values)} values; the first line names {len(header)} columns",
                f"Quote values that hold {brief(delimiter)} or line ends",
            )
        else:
            yield place, dict(zip(header, values, strict=True))


def _header(values: list[str], place: Place, delimiter: str) -> list[str]:
    names = [value.strip() for value in values]
    if len(names) > _MAX_COLUMNS:
        raise bad(
            place, f"{len(names)} columns; at most {_MAX_COLUMNS} are read", "Leave out what is not needed"
        )
    if len(set(names)) < len(names) or "" in names:
        raise bad(
            place, f"column names twice or empty: {brief(names, 200)}", "The first line must name the columns"
        )
    if len(names) == 1 and any(other in names[0] for other in ",;\t|" if other != delimiter):
        raise bad(
            place,
            f"one column, called {brief(names[0])}: the values are not divided by {brief(delimiter)}",
            "Use commas in .csv and tabs in .tsv",
        )
    return names
