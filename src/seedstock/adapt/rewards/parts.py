"""The parts of a completion: what is thought, what is answered, and numbers in text. Linear in its length."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import Any, Literal

THINK = ("<think>", "</think>")
ANSWER = ("<answer>", "</answer>")
MAX_ANSWER_CHARS = 4000
"""A longer answer is nobody's answer; what compares answers stops here."""

Where = Literal["auto", "answer", "completion"]
"""Where the answer is: between the last `<answer>` tags, or anywhere; auto: in the tags if there are any."""

_NUMBER = re.compile(r"[-+]?(?:\d[\d,]{0,60}\d|\d)(?:\.\d{1,60})?")


def answer_of(completion: str, where: Where) -> str | None:
    """The text to judge; None where it has to be between tags and is not."""
    opening, closing = ANSWER
    end = completion.rfind(closing)
    start = completion.rfind(opening, 0, max(end, 0))
    if end >= 0 and start >= 0 and where != "completion":
        return completion[start + len(opening) : end]
    if where == "answer":
        return None
    if where == "auto":
        return completion.rpartition(THINK[1])[2]
    return completion


def well_formed(completion: str, *, opened: bool = False) -> bool:
    """Is it thought, then an answer, each once, and nothing around them?

    `opened`: the prompt ends with the opening tag of the thought.
    """
    text = (THINK[0] + completion if opened else completion).strip()
    if any(text.count(tag) != 1 for tag in THINK + ANSWER):
        return False
    thought, _, rest = text.removeprefix(THINK[0]).partition(THINK[1])
    answer = rest.strip().removeprefix(ANSWER[0]).removesuffix(ANSWER[1])
    return (
        text == f"{THINK[0]}{thought}{THINK[1]}{rest}" and rest.strip() == f"{ANSWER[0]}{answer}{ANSWER[1]}"
    )


def text_of(value: Any) -> str | None:
    """A column's value as text; None for what is nobody's answer: nothing, or more than can be written."""
    try:
        text = None if value is None else str(value)
    except (ValueError, RecursionError):  # an integer of more than 4300 digits; lists in lists in lists
        return None
    return text if text is None or len(text) <= MAX_ANSWER_CHARS else None


def normalised(text: str) -> str | None:
    """For comparing answers: compatibility forms, case, spaces and a final full stop do not count."""
    if len(text) > MAX_ANSWER_CHARS:
        return None
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).removesuffix(".").strip()


def number_in(text: str, which: Literal["first", "last"]) -> Decimal | None:
    """The first or last number that is written in digits."""
    found = None
    for match in _NUMBER.finditer(text):
        found = match
        if which == "first":
            break
    return None if found is None else Decimal(found.group().replace(",", ""))


def number_of(value: Any) -> Decimal | None:
    """The number of a column: itself, or the last in its text (as in GSM8K's answers)."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _finite(value)
    text = text_of(value)
    return None if text is None else number_in(text, "last")


def _finite(value: float) -> Decimal | None:
    # Integers of thousands of digits cannot be turned into text, and are no answer.
    if isinstance(value, int) and value.bit_length() > 512:
        return None
    number = Decimal(repr(value))
    return number if number.is_finite() else None
