"""Instructions that code can check, after J. Zhou and others, "Instruction-Following Evaluation for Large Language
Models" (2023), with prompts of our own: one to three demands on length, format, words, case or ends of the answer.

An item counts only if every demand is met. Raise VERSION when a change gives other items.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from seedstock.evaluation.items import Check, Item

VERSION = 1
DEFAULT_ITEMS = 150
MAX_TOKENS = 512

_TASKS = (
    "Describe {topic} to a visitor.",
    "Explain why people like {topic}.",
    "Write a short text about {topic}.",
    "Give advice to somebody who sees {topic} for the first time.",
    "Tell a small story in which {topic} matters.",
)
_TOPICS = (
    "a lighthouse;an old orchard;a night train;the first snow;a village market;a mountain lake;a wooden bridge"
    ";a bee hive;a public library;a ferry;a bakery at dawn;a botanical garden;a tide pool;a clock tower"
    ";a vegetable garden;a windmill;a thunderstorm;a chess club;a river delta;a lantern festival"
).split(";")
_WORDS = "morning quiet water light stone wind green corner story weather window silver".split()
_ENDINGS = ("That is all.", "See you there.", "Nothing more is needed.", "The end.")
_OPENINGS = ("Certainly:", "Listen:", "Here it is:")
_KEYS = ("title", "place", "summary", "reason", "season", "colour")

Demand = tuple[str, Check]
Maker = Callable[[random.Random], Demand]


def _most_words(draw: random.Random) -> Demand:
    number = draw.choice((30, 40, 60, 80))
    return f"Use at most {number} words.", Check("most_words", number=number)


def _least_words(draw: random.Random) -> Demand:
    number = draw.choice((40, 60, 80, 100))
    return f"Use at least {number} words.", Check("least_words", number=number)


def _bullets(draw: random.Random) -> Demand:
    number = draw.randint(2, 6)
    text = f"Answer with exactly {number} bullet points, each on a line of its own that starts with `- `."
    return text, Check("bullets", number=number)


def _numbered(draw: random.Random) -> Demand:
    number = draw.randint(3, 6)
    text = f"Answer with a numbered list of exactly {number} entries, as in `1. `, each on a line of its own."
    return text, Check("numbered", number=number)


def _paragraphs(draw: random.Random) -> Demand:
    number = draw.randint(2, 4)
    text = f"Write exactly {number} paragraphs, with a line that holds only `***` between them."
    return text, Check("paragraphs", number=number)


def _title(_draw: random.Random) -> Demand:
    return "Include a title in double angle brackets, as in <<my title>>.", Check("title")


def _quoted(_draw: random.Random) -> Demand:
    return "Put your whole answer in double quotation marks.", Check("quoted")


def _json(draw: random.Random) -> Demand:
    keys = tuple(draw.sample(_KEYS, draw.randint(2, 3)))
    listed = ", ".join(f"`{key}`" for key in keys)
    text = f"Answer with one JSON object and nothing else. It has exactly the keys {listed}, and every value is a text."
    return text, Check("json_keys", texts=keys)


def _include(draw: random.Random) -> Demand:
    words = tuple(draw.sample(_WORDS, draw.randint(1, 2)))
    listed = " and ".join(f"`{word}`" for word in words)
    return f"Use the {'word' if len(words) == 1 else 'words'} {listed}.", Check("include", texts=words)


def _exclude(draw: random.Random) -> Demand:
    word = draw.choice(("very", "beautiful", "because", "people", "often"))
    return f"Do not use the word `{word}`.", Check("exclude", texts=(word,))


def _no_commas(_draw: random.Random) -> Demand:
    return "Use no commas.", Check("no_commas")


def _lower(_draw: random.Random) -> Demand:
    return "Write everything in lower case: no capital letters at all.", Check("lower")


def _upper(_draw: random.Random) -> Demand:
    return "Write everything in CAPITAL letters.", Check("upper")


def _ending(draw: random.Random) -> Demand:
    text = draw.choice(_ENDINGS)
    return f"End with exactly these words, and nothing after them: {text}", Check("ends", text=text)


def _opening(draw: random.Random) -> Demand:
    text = draw.choice(_OPENINGS)
    return f"Begin with exactly these words: {text}", Check("starts", text=text)


# Demands of one family exclude each other, so at most one of each is made.
_FAMILIES: dict[str, tuple[Maker, ...]] = {
    "length": (_most_words, _least_words),
    "format": (_bullets, _numbered, _paragraphs, _title),
    "words": (_include, _exclude, _no_commas),
    "case": (_lower, _upper),
    "ends": (_ending, _opening, _quoted),
}
_LISTS = (_bullets, _numbered)


def _demands(draw: random.Random, count: int) -> list[Demand]:
    """Demands that one answer can meet together."""
    if draw.random() < 0.12:  # JSON leaves room for little else
        others = [draw.choice((_include, _exclude)), _most_words]
        return [_json(draw), *(make(draw) for make in others[: count - 1])]
    families = draw.sample(sorted(_FAMILIES), count)
    chosen = {family: draw.choice(_FAMILIES[family]) for family in families}
    if chosen.get("format") in _LISTS and "ends" in chosen:
        chosen["ends"] = _ending if draw.random() < 0.5 else _opening  # lines around a list are allowed
    return [make(draw) for make in chosen.values()]


def generate(seed: int, count: int) -> list[Item]:
    """`count` items with one, two and three demands in turn; a shorter run has the first items of a longer one."""
    items = []
    for number in range(count):
        demanded = number % 3 + 1
        draw = random.Random(f"instructions:{VERSION}:{seed}:{number}")  # noqa: S311 - reproducible, no secret
        task = draw.choice(_TASKS).format(topic=draw.choice(_TOPICS))
        demands = _demands(draw, demanded)
        items.append(
            Item(
                f"{number:05d}",
                " ".join([task, *(text for text, _ in demands)]),
                tuple(check for _, check in demands),
                f"{demanded} demand{'s' if demanded > 1 else ''}",
            )
        )
    return items
