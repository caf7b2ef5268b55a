"""A dataset's rows as sequences to train on, in a file that is mapped rather than held, and the rows held out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from datasets import Dataset, Features, List, Value
from datasets.arrow_writer import ArrowWriter

from seedstock.adapt.stage import Event, Stopped
from seedstock.adapt.train.encode import Encoded, Row
from seedstock.adapt.train.heldout import choose
from seedstock.adapt.train.model import Say
from seedstock.adapt.train.pack import join, pack
from seedstock.core.errors import Invalid

FEWEST_DOCUMENTS = 20
"""Below it, documents are too few to hold whole ones out: pieces of them are."""
ASK_EVERY = 256
_IDS = {"input_ids": List(Value("int32")), "labels": List(Value("int32"))}
_SEQUENCES = Features(_IDS)
_PACKED = Features({**_IDS, "seq_lengths": List(Value("int32"))})


class Prepared(msgspec.Struct, frozen=True):
    """What a run trains on and what it is measured on."""

    train: Any
    """A `datasets.Dataset` with `input_ids`, `labels` and, packed, `seq_lengths`."""
    held_out: list[Encoded]
    rows: int
    """Of the dataset."""
    cut: int
    dropped: int
    tokens: int
    """In all sequences, held-out ones included."""


class Reading(msgspec.Struct):
    """Counts while rows are read."""

    rows: int = 0
    cut: int = 0
    dropped: int = 0
    tokens: int = 0
    documents: list[int] = []
    """The row that each sequence comes from."""


def prepare(
    rows: Iterable[Row],
    encode: Callable[[Row], Encoded],
    *,
    work: Path,
    say: Say,
    stopping: Callable[[], bool],
    max_length: int,
    held_out: float,
    seed: int,
    packing: bool,
    split_long: bool,
) -> Prepared:
    """Encode, cut (or split) to `max_length`, hold out, and pack if asked."""
    folder = work / "state" / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    reading = Reading()
    everything = written(
        folder / "sequences.arrow",
        _SEQUENCES,
        (
            msgspec.structs.asdict(sequence)
            for sequence in _sequences(rows, encode, reading, max_length, split_long, stopping)
        ),
    )
    _warn(reading, max_length, say)
    chosen = _held_out(reading, held_out, seed)
    train = everything.select([at for at in range(len(everything)) if at not in chosen])
    if packing:
        train = _packed(train, folder / "packed.arrow", max_length)
    measured = [Encoded(**everything[at]) for at in sorted(chosen)]
    return Prepared(train, measured, reading.rows, reading.cut, reading.dropped, reading.tokens)


def _sequences(
    rows: Iterable[Row],
    encode: Callable[[Row], Encoded],
    reading: Reading,
    max_length: int,
    split_long: bool,
    stopping: Callable[[], bool],
) -> Iterable[Encoded]:
    for row in rows:
        if reading.rows % ASK_EVERY == 0 and stopping():
            raise Stopped
        with at_row(reading.rows + 1):
            whole = encode(row)
        parts = whole.pieces(max_length) if split_long else [whole.cut(max_length)]
        reading.cut += not split_long and len(whole.input_ids) > max_length
        for part in parts:
            if not part.learns:
                reading.dropped += not split_long
                continue
            reading.documents.append(reading.rows)
            reading.tokens += len(part.input_ids)
            yield part
        reading.rows += 1


@contextlib.contextmanager
def at_row(number: int) -> Iterator[None]:
    """Say of an error which row it is about."""
    try:
        yield
    except Invalid as error:
        raise Invalid(f"Row {number}: {error.message}", hint=error.hint) from error
    except UnicodeError as error:
        raise Invalid(f"Row {number}: text that is not Unicode: {error}") from error


def _warn(reading: Reading, max_length: int, say: Say) -> None:
    count = f"{reading.rows:,} rows, {len(reading.documents):,} sequences, {reading.tokens:,} tokens"
    say(Event(log=f"Read {count}"))
    if reading.cut:
        share = f"{reading.cut} of {reading.rows} rows are longer than max_length {max_length} and were cut"
        say(Event(log=f"Warning: {share}"))
    if reading.dropped:
        say(
            Event(
                log=f"Warning: {reading.dropped} of {reading.rows} rows have nothing to learn, and were left out"
            )
        )
    if not reading.documents:
        raise Invalid(
            "No row of the dataset has a token to learn from",
            hint="Prompts alone may fill max_length: raise it" if reading.rows else "The dataset is empty",
        )


def _held_out(reading: Reading, share: float, seed: int) -> set[int]:
    """Sequences that are held out: all those of the chosen documents."""
    count = len(set(reading.documents))
    if count < FEWEST_DOCUMENTS and len(reading.documents) > count:
        return set(choose(len(reading.documents), share, seed))
    numbers = sorted(set(reading.documents))
    chosen = {numbers[at] for at in choose(count, share, seed)}
    return {at for at, document in enumerate(reading.documents) if document in chosen}


def _packed(train: Any, path: Path, capacity: int) -> Any:
    lengths = [len(ids) for ids in train["input_ids"]]
    return written(
        path, _PACKED, (join(Encoded(**train[at]) for at in row) for row in pack(lengths, capacity))
    )


def written(path: Path, features: Features, rows: Iterable[dict[str, Any]]) -> Any:
    """A dataset in one file. An earlier attempt's is replaced: what is read is what this attempt wrote."""
    with ArrowWriter(path=str(path), features=features) as writer:
        for row in rows:
            writer.write(row)
        writer.finalize()
    return Dataset.from_file(str(path))
