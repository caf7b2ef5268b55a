"""A dataset: a folder of files, read as rows of one shape. Everything wrong with it is said before weights load."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import xxhash

from seedstock.adapt.rows.files import choose_files
from seedstock.adapt.rows.limits import Place, bad, brief
from seedstock.adapt.rows.normal import conversational, kinds, normal_row
from seedstock.adapt.rows.read import iter_rows
from seedstock.adapt.rows.shapes import METHOD_SHAPES, Mapped, Shape, map_columns
from seedstock.core.errors import Invalid

__all__ = ["Dataset", "Findings", "Shape", "conversational", "leaks", "open_dataset", "shared_rows"]

MAX_COMPARED = 20_000_000
"""Rows among which duplicates are looked for: 8 bytes each, and as much again while they are sorted."""
_LOOK_ROWS = 100
_FEW_ROWS = 20


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole pass over the rows showed; faults are errors and never get here."""

    rows: int
    duplicates: int = 0
    """Rows that equal an earlier one in the columns that are trained on."""
    warnings: tuple[str, ...] = ()


class Dataset:
    """Rows in a fixed order; each pass streams the files anew, so that memory is that of a few rows.

    A row has the columns of its shape (`shape.columns`), checked and in one form: `messages`, and a
    conversational `prompt`, `completion`, `chosen`, `rejected`, are lists of `{"role", "content"}` with the
    roles system, user, assistant, tool; otherwise they are strings. The file's other columns, which rewards
    look at, are there under their own names, unchecked. A column is of one kind in all rows.
    """

    def __init__(
        self, folder: Path, *, files: tuple[str, ...], split: str, mapped: Mapped, columns: tuple[str, ...]
    ) -> None:
        self.folder = folder
        self.files = files
        self.split = split
        self.shape = mapped.shape
        self.mapped = mapped
        """`str()` of it says which mapping was taken."""
        self.columns = columns
        """Of the first rows, as the file names them."""
        self._length: int | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows, checked; raises Invalid naming file and line at the first that is not usable."""
        for _, row in self.placed():
            yield row

    def placed(self) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Yield the rows with the place that each comes from."""
        first: dict[str, str] = {}
        for name in self.files:
            for place, raw in iter_rows(self.folder, name):
                row = normal_row(raw, self.mapped, place)
                now = kinds(row, self.shape)
                first = first or now
                if now != first:
                    raise _mixed(first, now, place)
                yield place, row

    def __len__(self) -> int:
        """Number of rows; the first call reads the files through."""
        if self._length is None:
            self._length = sum(1 for _ in self.placed())
        return self._length

    def __bool__(self) -> bool:
        """True: an empty dataset is found out by `check`, not by reading it through here."""
        return True

    def check(self, method: str, *, columns: Sequence[str] = ()) -> Findings:
        """Read everything through as `method` will; raises Invalid at the first fault.

        `columns` are further ones that every row must have (what the rewards look at).
        """
        self.check_shape(method)
        seen, alike = array("Q"), 0
        number = 0
        for place, row in self.placed():
            number += 1
            _check_columns(row, columns, place)
            alike += self.shape is Shape.PREFERENCE and row["chosen"] == row["rejected"]
            if number <= MAX_COMPARED:
                seen.append(row_digest(row, self.shape))
        if not number:
            raise Invalid(f"There are no rows in {self._files()}", hint="A dataset needs at least one row")
        self._length = number
        duplicates = len(seen) - len(np.unique(np.frombuffer(seen, dtype=np.uint64)))
        return Findings(rows=number, duplicates=duplicates, warnings=_warnings(number, duplicates, alike))

    def check_shape(self, method: str) -> None:
        """Raises Invalid where `method` reads rows of other shapes."""
        wanted = METHOD_SHAPES.get(method)
        if wanted is None:
            raise Invalid(f"{brief(method)} reads no rows", hint=f"One of {', '.join(METHOD_SHAPES)}")
        if self.shape not in wanted:
            map_columns(self.columns, {}, method, self._files())
            raise Invalid(
                f"{self._files()}: {self.mapped}; {method} reads {', '.join(wanted)}",
                hint="Open the dataset for this method, or choose other columns",
            )

    def _files(self) -> str:
        more = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        return f"{self.files[0]}{more}"


def open_dataset(
    folder: Path,
    *,
    files: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    method: str = "",
) -> Dataset:
    """Open the files of a dataset and look at the first rows; cheap, and raises Invalid where that cannot work.

    `files`: paths or patterns in the folder; empty: those of the `split` by the Hub's conventions, or all
    data files where names tell no split. `columns`: our column to the file's. `method`: a key of
    `methods.METHODS`; picks the shape where the columns allow several.
    """
    if not folder.is_dir():
        raise Invalid(f"There is no folder {brief(folder.name)} to read rows from")
    names = choose_files(folder, files, split)
    found: dict[str, None] = {}
    where = names[0]
    for name in names:
        for _, row in islice(iter_rows(folder, name), _LOOK_ROWS):
            where = name
            found.update(dict.fromkeys(row))
        if found:
            break
    if not found:
        raise Invalid(f"There are no rows in {', '.join(names[:5])}", hint="A dataset needs at least one row")
    mapped = map_columns(tuple(found), columns or {}, method, where)
    return Dataset(folder, files=names, split=split, mapped=mapped, columns=tuple(found))


def row_digest(row: Mapping[str, Any], shape: Shape) -> int:
    """64 bits of what a row trains on: equal rows have equal digests, whatever their other columns."""
    # repr is safe for whatever a row can hold: integers of any size and half surrogates included.
    text = repr([row[name] for name in shape.columns])
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def shared_rows(
    train: Iterable[Mapping[str, Any]], held_out: Iterable[Mapping[str, Any]], shape: Shape
) -> int:
    """How many held-out rows equal a training row in what is trained on."""
    digests = [row_digest(row, shape) for row in islice(held_out, MAX_COMPARED // 10)]
    wanted = set(digests)
    found = {digest for row in train if (digest := row_digest(row, shape)) in wanted}
    return sum(digest in found for digest in digests)


def leaks(train: Dataset, held_out: Dataset) -> tuple[str, ...]:
    """Warn of held-out rows that equal a training row: what is measured on them is memory."""
    if train.shape is not held_out.shape:
        return ()
    count = shared_rows(train, held_out, train.shape)
    if not count:
        return ()
    return (
        f"{count} of {len(held_out)} held-out rows are among the training rows: remove them from one side",
    )


def _check_columns(row: Mapping[str, Any], columns: Sequence[str], place: Place) -> None:
    for name in columns:
        if row.get(name) is None:
            have = ", ".join(brief(key, 40) for key in list(row)[:12])
            raise bad(
                place, f"there is no {brief(name)}, which the rewards look at; columns are {have}", "Add it"
            )


def _mixed(first: Mapping[str, str], now: Mapping[str, str], place: Place) -> Invalid:
    name = next(name for name in first if first[name] != now[name])
    return bad(place, f"{brief(name)} is {now[name]}, in the first row {first[name]}", "Write all rows alike")


def _warnings(rows: int, duplicates: int, alike: int) -> tuple[str, ...]:
    found = []
    if duplicates:
        found.append(f"{duplicates} of {rows} rows equal an earlier one")
    if alike:
        found.append(
            f"In {alike} of {rows} rows the chosen answer equals the rejected one: they teach nothing"
        )
    if rows < _FEW_ROWS:
        found.append(f"Only {rows} {'row' if rows == 1 else 'rows'}: a model learns them by heart")
    if rows > MAX_COMPARED:
        found.append(f"Duplicates were looked for among the first {MAX_COMPARED} rows")
    return tuple(found)
