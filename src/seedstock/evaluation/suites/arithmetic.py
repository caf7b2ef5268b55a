"""Arithmetic reasoning in five levels: from one-digit sums, which a model of 100 M parameters gets often, to chains of
steps with large numbers, which few get always. The answer is a whole number and is compared exactly.

Raise VERSION when a change gives other items: results of different versions are not ranked together.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from seedstock.evaluation.items import Check, Item

VERSION = 1
DEFAULT_ITEMS = 200
MAX_TOKENS = 384
_CLOSING = "Work it out, then end with a line of the form `Answer: <number>`."

_NAMES = (
    "Ann Ben Cara Dan Ema Finn Gita Hugo Ines Jon Kira Liam Mona Nils Olga Pavel Rosa Sven Tara Umar".split()
)
_THINGS = "apples pencils tickets stones shells buttons cards coins marbles stamps books candles".split()

Drawn = tuple[str, int]


def _level_1(draw: random.Random) -> Drawn:
    left, right = draw.randint(0, 9), draw.randint(0, 9)
    if draw.random() < 0.5:
        return f"What is {left} + {right}?", left + right
    return f"What is {max(left, right)} - {min(left, right)}?", abs(left - right)


def _level_2(draw: random.Random) -> Drawn:
    left, right = draw.randint(10, 99), draw.randint(10, 99)
    kind = draw.randrange(3)
    if kind == 0:
        return f"What is {left} + {right}?", left + right
    if kind == 1:
        return f"What is {left} - {right}?", left - right
    small = draw.randint(2, 9)
    return f"What is {small} × {left % 20 + 3}?", small * (left % 20 + 3)


def _level_3(draw: random.Random) -> Drawn:
    who, what = draw.choice(_NAMES), draw.choice(_THINGS)
    have, more = draw.randint(12, 60), draw.randint(5, 40)
    gone = draw.randint(2, have + more - 1)
    if draw.random() < 0.5:
        return (
            f"{who} has {have} {what}, finds {more} more and gives {gone} away. How many {what} are left?",
            have + more - gone,
        )
    boxes, each, loose = draw.randint(3, 12), draw.randint(4, 15), draw.randint(2, 20)
    return (
        (
            f"{who} packs {boxes} boxes with {each} {what} each, and {loose} {what} lie beside them."
            f" How many {what} are there in all?"
        ),
        boxes * each + loose,
    )


def _level_4(draw: random.Random) -> Drawn:
    a, b, c, d = draw.randint(11, 40), draw.randint(3, 19), draw.randint(21, 99), draw.randint(2, 9)
    if draw.random() < 0.5:
        return f"What is {a} × {b} - {c} × {d}?", a * b - c * d
    who, other, what = *draw.sample(_NAMES, 2), draw.choice(_THINGS)
    each, days, share = draw.randint(6, 24), draw.randint(5, 14), draw.randint(3, 6)
    spare = draw.randint(1, share - 1)
    total = each * days
    # Divisible, so that the answer is whole: what is over goes into the story.
    over = (total - spare) % share + spare
    return (
        (
            f"{who} collects {each} {what} a day for {days} days, loses {over} of them, and divides the rest equally"
            f" among {share} friends, {other} being one. How many {what} does {other} get?"
        ),
        (total - over) // share,
    )


def _level_5(draw: random.Random) -> Drawn:
    if draw.random() < 0.4:
        a, b, c = draw.randint(123, 987), draw.randint(23, 97), draw.randint(7, 19)
        return f"What is the remainder when {a} × {b} + {a} is divided by {c}?", (a * b + a) % c
    who, what = draw.choice(_NAMES), draw.choice(_THINGS)
    start, per_box, boxes = draw.randint(140, 480), draw.randint(12, 36), draw.randint(11, 28)
    price, sold, fee = draw.randint(3, 17), draw.randint(60, 130), draw.randint(15, 95)
    return (
        (
            f"{who} owns {start} {what} and buys {boxes} boxes of {per_box} {what}. {who} sells {sold} {what} for {price}"
            f" coins each, pays a fee of {fee} coins, and then buys more {what} at 2 coins each with exactly"
            f" half of what the sale left, rounded down to whole {what}. How many {what} does {who} own in the end?"
        ),
        start + boxes * per_box - sold + (sold * price - fee) // 2 // 2,
    )


_LEVELS: tuple[Callable[[random.Random], Drawn], ...] = (_level_1, _level_2, _level_3, _level_4, _level_5)


def generate(seed: int, count: int) -> list[Item]:
    """`count` items, the levels taking turns; a shorter run has the first items of a longer one."""
    items = []
    for number in range(count):
        level = number % len(_LEVELS)
        draw = random.Random(f"arithmetic:{VERSION}:{seed}:{number}")  # noqa: S311 - reproducible, no secret
        question, answer = _LEVELS[level](draw)
        items.append(
            Item(
                f"{number:05d}",
                f"{question} {_CLOSING}",
                (Check("number", text=str(answer)),),
                f"level {level + 1}",
                str(answer),
            )
        )
    return items
