"""The reward functions that need no process of their own, with the arguments of each.

Each is pure: the same prompt, completion and row give the same reward; none touches a global random generator, and
none raises on text, however hostile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from seedstock.adapt.rewards.arithmetic import NotArithmetic, evaluate
from seedstock.adapt.rewards.parts import (
    MAX_ANSWER_CHARS,
    Where,
    answer_of,
    normalised,
    number_in,
    number_of,
    text_of,
    well_formed,
)

RewardFunction = Callable[[str, str, dict[str, Any]], float]
"""(prompt, completion, row) to a reward."""


class Exact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 when the answer equals a column, but for case, spaces and a final full stop."""

    column: str = "answer"
    where: Where = "auto"


class Format(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 when the completion is `<think>…</think><answer>…</answer>`, each once, and nothing else."""

    opened: bool = False
    """The prompt already ends with `<think>`."""


class Number(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 when the first or last number of the answer equals a column."""

    column: str = "answer"
    where: Where = "auto"
    which: Literal["first", "last"] = "last"
    tolerance: float = 0.0


class Countdown(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 when the answer makes the target of the given numbers, each used once."""

    numbers: str = "numbers"
    target: str = "target"
    where: Where = "answer"
    operators: str = "+-*/"
    low: float | None = None
    """Least value of every intermediate result."""
    high: float | None = None
    all_numbers: bool = True
    """False: some may be left out."""
    format: bool = False
    """The completion must also be well-formed, as for `format`."""
    opened: bool = False


class Length(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """1 within the limits of length, falling to 0 over `margin` outside them."""

    unit: Literal["characters", "words"] = "words"
    at_least: int = 0
    at_most: int = 1000
    margin: int = 0


def exact(args: Exact) -> RewardFunction:
    """See `Exact`."""

    def reward(_prompt: str, completion: str, row: dict[str, Any]) -> float:
        said = answer_of(completion, args.where)
        wanted = text_of(row.get(args.column))
        if said is None or wanted is None:
            return 0.0
        return float(normalised(said.strip()) == normalised(wanted))

    return reward


def format(args: Format) -> RewardFunction:
    """See `Format`."""
    return lambda _prompt, completion, _row: float(well_formed(completion, opened=args.opened))


def number(args: Number) -> RewardFunction:
    """See `Number`."""

    def reward(_prompt: str, completion: str, row: dict[str, Any]) -> float:
        wanted = number_of(row.get(args.column))
        said = answer_of(completion, args.where)
        found = None if said is None else number_in(said, args.which)
        if wanted is None or found is None:
            return 0.0
        return float(abs(found - wanted) <= args.tolerance)

    return reward


def countdown(args: Countdown) -> RewardFunction:
    """See `Countdown`."""

    def reward(_prompt: str, completion: str, row: dict[str, Any]) -> float:
        numbers, target = _integers(row.get(args.numbers)), number_of(row.get(args.target))
        said = answer_of(completion, args.where)
        if numbers is None or target is None or said is None or len(said) > MAX_ANSWER_CHARS:
            return 0.0
        if args.format and not well_formed(completion, opened=args.opened):
            return 0.0
        try:
            value, used = evaluate(said, operators=args.operators, low=args.low, high=args.high)
        except NotArithmetic:
            return 0.0
        return float(value == target and _fits(used, numbers, args.all_numbers))

    return reward


def length(args: Length) -> RewardFunction:
    """See `Length`."""

    def reward(_prompt: str, completion: str, _row: dict[str, Any]) -> float:
        size = len(completion) if args.unit == "characters" else len(completion.split())
        outside = max(args.at_least - size, size - args.at_most, 0)
        return max(0.0, 1.0 - outside / (args.margin + 1))

    return reward


def _integers(value: Any) -> list[int] | None:
    """The numbers of a column: a list, or text with spaces or commas."""
    if isinstance(value, str):
        value = value[:MAX_ANSWER_CHARS].replace(",", " ").split()
    if not isinstance(value, list | tuple) or len(value) > 100:
        return None
    found = [number_of(item) for item in value]
    if any(item is None or item != item.to_integral_value() for item in found):
        return None
    return [int(item) for item in found if item is not None]


def _fits(used: list[int], given: list[int], all_numbers: bool) -> bool:
    left = list(given)
    for item in used:
        if item not in left:
            return False
        left.remove(item)
    return not (all_numbers and left)
