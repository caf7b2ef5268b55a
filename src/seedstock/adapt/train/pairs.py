"""Preference pairs as token ids, and the ones held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from datasets import Features, List, Value

from seedstock.adapt.stage import Event, Stopped
from seedstock.adapt.train.encode import IGNORED, Row, encode_pair
from seedstock.adapt.train.heldout import choose
from seedstock.adapt.train.model import Say
from seedstock.adapt.train.prepare import ASK_EVERY, at_row, written
from seedstock.core.errors import Invalid

_PAIRS = Features({name: List(Value("int32")) for name in ("prompt_ids", "chosen_ids", "rejected_ids")})


class Pair(msgspec.Struct, frozen=True):
    """A prompt and two answers to it."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]

    @property
    def length(self) -> int:
        """Tokens of the longer side."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def labels(self) -> list[int]:
        """Of prompt and chosen answer as one sequence."""
        return [IGNORED] * len(self.prompt_ids) + self.chosen_ids

    def cut(self, length: int) -> Pair:
        """With answers no longer than what the prompt leaves of a length."""
        left = length - len(self.prompt_ids)
        return Pair(self.prompt_ids, self.chosen_ids[:left], self.rejected_ids[:left])


class PreparedPairs(msgspec.Struct, frozen=True):
    """What preference optimisation trains on and is measured on."""

    train: Any
    held_out: list[Pair]
    rows: int
    cut: int
    dropped: int
    chat: bool


class _Reading(msgspec.Struct):
    rows: int = 0
    kept: int = 0
    cut: int = 0
    dropped: int = 0
    chat: bool = False


def prepare_pairs(
    rows: Iterable[Row],
    tokenizer: Any,
    on_chat: Callable[[], None],
    *,
    work: Path,
    say: Say,
    stopping: Callable[[], bool],
    max_length: int,
    held_out: float,
    seed: int,
) -> PreparedPairs:
    """Encode and cut the pairs, and hold some out. A prompt that fills `max_length` leaves nothing to prefer."""
    folder = work / "state" / "rows"
    folder.mkdir(parents=True, exist_ok=True)
    reading = _Reading()
    pairs = _pairs(rows, tokenizer, on_chat, reading, max_length, stopping)
    everything = written(folder / "pairs.arrow", _PAIRS, (msgspec.structs.asdict(pair) for pair in pairs))
    say(Event(log=f"Read {reading.rows:,} pairs"))
    if reading.cut:
        what = f"{reading.cut} of {reading.rows} pairs are longer than max_length {max_length} and were cut"
        say(Event(log=f"Warning: {what}"))
    if reading.dropped:
        say(
            Event(
                log=f"Warning: {reading.dropped} of {reading.rows} pairs show no preference, and were left out"
            )
        )
    if not reading.kept:
        raise Invalid(
            "No pair of the dataset shows a preference", hint="Prompts alone may fill max_length: raise it"
        )
    chosen = set(choose(len(everything), held_out, seed))
    train = everything.select([at for at in range(len(everything)) if at not in chosen])
    measured = [Pair(**everything[at]) for at in sorted(chosen)]
    return PreparedPairs(train, measured, reading.rows, reading.cut, reading.dropped, reading.chat)


def _pairs(
    rows: Iterable[Row],
    tokenizer: Any,
    on_chat: Callable[[], None],
    reading: _Reading,
    max_length: int,
    stopping: Callable[[], bool],
) -> Iterable[Pair]:
    for row in rows:
        if reading.rows % ASK_EVERY == 0 and stopping():
            raise Stopped
        reading.rows += 1
        if not reading.chat and not isinstance(row["prompt"], str):
            reading.chat = True
            on_chat()
        with at_row(reading.rows):
            whole = Pair(*encode_pair(tokenizer, row["prompt"], row["chosen"], row["rejected"]))
        if (
            len(whole.prompt_ids) >= max_length
            or not whole.prompt_ids
            or whole.chosen_ids == whole.rejected_ids
        ):
            reading.dropped += 1
            continue
        reading.cut += whole.length > max_length
        reading.kept += 1
        yield whole.cut(max_length)
