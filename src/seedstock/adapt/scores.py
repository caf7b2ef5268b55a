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


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One item with the model's answers to it."""

    item: int
    """Its place in the data, from 0."""
    prompt: Any
    answers: list[str]
    scores: list[float]
    """Of each answer, 0 to 1."""

    @property
    def mean(self) -> float:
        """The item's own score."""
        return sum(self.scores) / len(self.scores)


class Score(msgspec.Struct, frozen=True):
    """The mean over items, with Wilson's 95 % interval at that many items: several answers to one make it no narrower."""

    value: float
    low: float
    high: float
    items: int


def score_of(means: Sequence[float]) -> Score:
    """The score of items, each 0 to 1."""
    low, high = wilson(sum(means), len(means))
    return Score(sum(means) / len(means), low, high, len(means))


def read_items(output: Path) -> list[Item]:
    """The items in the order of the data. Raises Integrity for what no stage `eval` wrote."""
    try:
        lines = (output / ITEMS_FILE).read_bytes().splitlines()
        found = [msgspec.json.decode(line, type=Item) for line in lines]
    except (OSError, msgspec.MsgspecError) as error:
        raise Integrity(f"{output} holds no evaluation: {str(error)[:200]}") from error
    if not found:
        raise Integrity(f"{output} holds an evaluation of no items")
    return found
