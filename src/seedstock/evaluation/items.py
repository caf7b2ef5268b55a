"""What a model is asked and how its answer is judged, as plain data: the same for shipped suites and for datasets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

MAX_ITEMS = 10_000
MAX_PROMPT_CHARS = 100_000


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that an answer must fulfil; `kind` is a key of `scoring.CHECKS`."""

    kind: str
    text: str = ""
    texts: tuple[str, ...] = ()
    number: int = 0


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question. An answer is right if it passes every check."""

    id: str
    prompt: str
    checks: tuple[Check, ...]
    group: str = ""
    """Items of one difficulty or kind, which are counted together too."""
    target: str = ""
    """The right answer, where there is one, for people to read."""


class SampleLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the sample-level log: the question, the whole answer, and what each check said."""

    id: str
    prompt: str
    answer: str
    score: float
    passed: tuple[bool, ...]
    """By check, in their order."""
    checks: tuple[Check, ...] = ()
    group: str = ""
    target: str = ""
    stop_reason: str = ""
    """Why the model stopped; `max_tokens`: it was cut off."""
    answered_as: str = ""
    """What whoever runs it elsewhere called the model, often a dated version."""


def items_digest(items: Sequence[Item]) -> str:
    """SHA-256 of the items: equal for two results that can be compared item by item."""
    return sha256_of(items)


def sha256_of(value: Any) -> str:
    """SHA-256 of a value as JSON whose keys are sorted."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
