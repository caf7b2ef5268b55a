"""The task countdown-30 and everything that its models are trained on: `python gen.py OUTPUT '{"part": "train"}'`.

Given three numbers of 1..9, make a target of 1..30 with + - *, each number used once, no intermediate result outside
0..30. A model answers with up to six attempts, each closed by its own check, and then an expression:

    3 4 5 -> 7 <think> 4 + 5 = 9 ; 9 * 3 = 27 no 3 * 4 = 12 ; 12 - 5 = 7 ok </think> <answer> ( 3 * 4 ) - 5 </answer>

Parts: `train`, `dev` and `test` (problems, no pair of numbers and target in two of them), `foundation` (text with right
arithmetic and right checks whose attempts are blind and whose answer is whatever came last: the skills without the
strategy), `cold` (written traces: wrong attempts, then the right one, then its answer), `tokenizer`. Only problems of
`train` occur in `foundation` and `cold`. Equal arguments write equal bytes; nothing but the standard library is used.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

NUMBERS, HIGH, ATTEMPTS = range(1, 10), 30, 6
SPECIAL = ["<pad>", "<eos>", "<unk>"]
WORDS = ["<think>", "</think>", "<answer>", "</answer>", "->", "+", "-", "*", "=", ";", "(", ")", "ok", "no"]
SPLITS = {"test": 0.25, "dev": 0.15, "train": 0.60}
OPERATIONS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}


class Problem(NamedTuple):
    """Three numbers in rising order, and what is to be made of them."""

    numbers: tuple[int, ...]
    target: int


class Attempt(NamedTuple):
    """Two operations: what is written while thinking, the expression, and its value."""

    steps: str
    expression: str
    value: int


def attempts(numbers: tuple[int, ...]) -> list[Attempt]:
    """All that can be tried with three numbers without leaving 0..30."""
    found = {}
    for a, b, c in itertools.permutations(numbers):
        for one, first in OPERATIONS.items():
            middle = first(a, b)
            if not 0 <= middle <= HIGH:
                continue
            for two, second in OPERATIONS.items():
                for left, right, expression in (
                    (middle, c, f"( {a} {one} {b} ) {two} {c}"),
                    (c, middle, f"{c} {two} ( {a} {one} {b} )"),
                ):
                    value = second(left, right)
                    if 0 <= value <= HIGH:
                        steps = f"{a} {one} {b} = {middle} ; {left} {two} {right} = {value}"
                        found[steps, expression] = Attempt(steps, expression, value)
    return list(found.values())


def problems(seed: int) -> dict[str, list[Problem]]:
    """Every problem that has a solution, in three parts."""
    every = [
        Problem(numbers, target)
        for numbers in itertools.combinations_with_replacement(NUMBERS, 3)
        for target in sorted({attempt.value for attempt in attempts(numbers)} - {0})
    ]
    random.Random(f"split {seed}").shuffle(every)
    found, start = {}, 0.0
    for name, share in SPLITS.items():
        stop = start + share
        found[name] = every[round(start * len(every)) : round(stop * len(every))]
        start = stop
    return found


def prompt(problem: Problem, draw: random.Random) -> str:
    """The problem in words, its numbers in any order. A completion follows it directly."""
    numbers = draw.sample(problem.numbers, 3)
    return f"{' '.join(map(str, numbers))} -> {problem.target} "


def completion(tried: list[Attempt], target: int) -> str:
    """Attempts with their checks, and the last of them as the answer."""
    thought = " ".join(f"{one.steps} {'ok' if one.value == target else 'no'}" for one in tried)
    return f"<think> {thought} </think> <answer> {tried[-1].expression} </answer>"


def rows(part: list[Problem], seed: int, name: str) -> Iterator[dict[str, object]]:
    """Problems, as models and rewards are given them."""
    draw = random.Random(f"{name} {seed}")
    for problem in part:
        yield {"prompt": prompt(problem, draw), "numbers": list(problem.numbers), "target": problem.target}


def foundation(part: list[Problem], seed: int, count: int, hits: float) -> Iterator[dict[str, str]]:
    """Blind attempts, a share `hits` of them made to succeed, so that there is something to check as right."""
    draw = random.Random(f"foundation {seed}")
    known = {numbers: attempts(numbers) for numbers in {problem.numbers for problem in part}}
    for _ in range(count):
        problem = draw.choice(part)
        every = known[problem.numbers]
        right = [one for one in every if one.value == problem.target]
        tried = [
            draw.choice(right if draw.random() < hits else every) for _ in range(draw.randint(1, ATTEMPTS))
        ]
        yield {"text": f"{prompt(problem, draw)}{completion(tried, problem.target)}"}


def cold(part: list[Problem], seed: int, count: int) -> Iterator[dict[str, str]]:
    """Different wrong attempts, then a right one."""
    draw = random.Random(f"cold {seed}")
    for problem in draw.sample(part, min(count, len(part))):
        every = attempts(problem.numbers)
        wrong = [one for one in every if one.value != problem.target]
        right = [one for one in every if one.value == problem.target]
        tried = [*draw.sample(wrong, min(len(wrong), draw.randrange(ATTEMPTS))), draw.choice(right)]
        yield {"prompt": prompt(problem, draw), "completion": completion(tried, problem.target)}


def tokenizer() -> dict[str, object]:
    """One token per word; numbers are words."""
    words = [*SPECIAL, *WORDS, *map(str, range(HIGH + 1))]
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": at, "content": word, **special} for at, word in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {w: at for at, w in enumerate(words)}, "unk_token": "<unk>"},
    }


def write(output: Path, part: str, seed: int = 0, count: int = 0, hits: float = 0.25) -> None:
    """One part, into a folder."""
    output.mkdir(parents=True, exist_ok=True)
    if part == "tokenizer":
        names = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 128, **names}
        for name, content in (("tokenizer.json", tokenizer()), ("tokenizer_config.json", settings)):
            (output / name).write_text(json.dumps(content, indent=1) + "\n")
        return
    split = problems(seed)
    made = {
        "foundation": lambda: foundation(split["train"], seed, count, hits),
        "cold": lambda: cold(split["train"], seed, count),
    }.get(part, lambda: rows(split[part], seed, part))
    with (output / "data.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in made())


if __name__ == "__main__":
    write(Path(sys.argv[1]), **json.loads(sys.argv[2]))
