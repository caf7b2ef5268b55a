"""What a stage `eval` leaves: a row for each item in `data.jsonl`, and the score that they amount to.

Light: the hub reads with it what the stage wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.rewards.intervals import wilson
from seedstock.core.errors import Integrity

ITEMS_FILE = "data.jsonl"


class Item(msgspec.Struct, frozen=True):
    """One item with the model's answers to it."""

    item: int
    """Its place in the data, from 0."""
    prompt: Any
    answers: list[str]
    scores: list[float]
    """Of each answer, 0 to 1."""


class _Scores(msgspec.Struct, frozen=True):
    item: int
    scores: list[float]


class Score(msgspec.Struct, frozen=True):
    """The mean over items, with Wilson's 95 % interval at that many items: several answers to one make it no narrower."""

    value: float
    low: float
    high: float
    items: int

    def __str__(self) -> str:
        return f"{self.value:.4f} (95 % interval {self.low:.4f} to {self.high:.4f}, n = {self.items})"


def score_of(means: Sequence[float]) -> Score:
    """The score of items, each 0 to 1."""
    low, high = wilson(sum(means), len(means))
    return Score(sum(means) / len(means), low, high, len(means))


def read_means(output: Path) -> list[float]:
    """The score of each item, in the order of the data. Raises Integrity for what no stage `eval` wrote."""
    found = []
    try:
        with (output / ITEMS_FILE).open("rb") as file:
            for line in file:
                row = msgspec.json.decode(line, type=_Scores)
                found.append(sum(row.scores) / len(row.scores))
    except (OSError, msgspec.MsgspecError, ZeroDivisionError) as error:
        raise Integrity(f"{output} holds no evaluation: {str(error)[:200]}") from error
    if not found:
        raise Integrity(f"{output} holds an evaluation of no items")
    return found
