"""Judges answers. An answer is the text of a stranger's model: every check ends in time that grows with its length,
raises nothing, and says no in doubt.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import msgspec

from seedstock.evaluation.items import Check, Item

VERSION = 1
"""Raised when answers are judged otherwise: results of two versions are not ranked together."""
MAX_ANSWER_CHARS = 200_000
"""An answer that is longer is judged by its end."""

_NUMBER = re.compile(r"(?<![\w.])[-+]?\$?(\d[\d,]*)(\.\d+)?")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+")
_MARK = re.compile(r"answer\b[\s*_`:=]*(?:is\b)?[\s*_`:=]*", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_MAX_DIGITS = 40
_REACH_CHARS = 200
_BULLET = re.compile(r"\s*[-*•] +\S")
_NUMBERED = re.compile(r"\s*(\d{1,3})[.)] +\S")
_FENCE = re.compile(r"\s*```[a-z]*\n(.*)\n\s*```\s*", re.DOTALL | re.IGNORECASE)
_CHOICE = re.compile(r"(?<![A-Za-z0-9])\(?([A-Z])\)?(?![A-Za-z0-9'’])")


def judge(item: Item, answer: str) -> tuple[float, tuple[bool, ...]]:
    """1 if the answer passes every check, else 0, and what each check said."""
    text = answer[-MAX_ANSWER_CHARS:].replace("\r\n", "\n").strip()
    passed = tuple(bool(text) and CHECKS[check.kind](text, check) for check in item.checks)
    return float(all(passed)), passed


def stated_number(text: str) -> str | None:
    """The number that an answer gives, normalised: the one after the last `Answer:`, else the last of all.

    Of a sum that is written out after the word, `7 + 8 = 15`, it is what follows the last sign of equality.
    """
    text = text.replace("−", "-").replace("\u2013", "-")
    for mark in reversed(list(_MARK.finditer(text))):
        line = text[mark.end() : mark.end() + _REACH_CHARS].partition("\n")[0].rpartition("=")[2]
        found = _NUMBER.search(line)
        if found is not None:
            return _normal(found, 0)
    last = None
    for found in _NUMBER.finditer(text):
        last = found
    return None if last is None else _normal(last, -1)


def _normal(found: re.Match[str], which: int) -> str | None:
    """A number without grouping, leading zeros and trailing ones; `which` of several that commas part."""
    whole, fraction = found[1].rstrip(","), (found[2] or "").rstrip("0").rstrip(".")
    if len(whole) > _MAX_DIGITS or len(fraction) > _MAX_DIGITS:
        return None
    if _GROUPED.fullmatch(whole):
        whole = whole.replace(",", "")
    elif "," in whole:
        whole, fraction = whole.split(",")[which] or "0", fraction if which else ""
    minus = "-" if found[0].startswith("-") and (int(whole) or fraction) else ""
    return f"{minus}{int(whole)}{fraction}"


def _number(text: str, check: Check) -> bool:
    return stated_number(text) == check.text


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _exact(text: str, check: Check) -> bool:
    """Equal but for case, space and a full stop at the end."""
    found = _folded(text).rstrip(".")
    return any(found == _folded(wanted).rstrip(".") for wanted in check.texts)


def _contains(text: str, check: Check) -> bool:
    """One of the texts, whole words, whatever the case."""
    found = _folded(text)
    return any(_holds(found, _folded(wanted)) for wanted in check.texts)


def _holds(text: str, wanted: str) -> bool:
    if not wanted:
        return False
    at = text.find(wanted)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(wanted) : at + len(wanted) + 1]
        inside = (wanted[0].isalnum() and before.isalnum()) or (wanted[-1].isalnum() and after.isalnum())
        if not inside:
            return True
        at = text.find(wanted, at + 1)
    return False


def _choice(text: str, check: Check) -> bool:
    """The letter of an option: after the last `Answer:`, else the first that stands alone."""
    marks = list(_MARK.finditer(text))
    tail = text[marks[-1].end() :] if marks else ""
    found = _CHOICE.search(tail[:200]) or _CHOICE.search(text)
    return found is not None and found[1] == check.text


def _words(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def _numbered(text: str, check: Check) -> bool:
    found = [int(match[1]) for line in _lines(text) if (match := _NUMBERED.match(line))]
    rising = all(after == before + 1 for before, after in pairwise(found))
    return len(found) == check.number and found[:1] == [1] and rising


def _paragraphs(text: str, check: Check) -> bool:
    parts = re.split(r"^[ \t]*\*\*\*[ \t]*$", text, flags=re.MULTILINE)
    return len(parts) == check.number and all(part.strip() for part in parts)


def _title(text: str, _check: Check) -> bool:
    start = text.find("<<")
    end = text.find(">>", start + 2)
    return start >= 0 and end > start and bool(text[start + 2 : end].strip())


def _json_keys(text: str, check: Check) -> bool:
    fenced = _FENCE.fullmatch(text)
    try:
        value = msgspec.json.decode(fenced[1] if fenced else text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return (
        isinstance(value, dict)
        and set(value) == set(check.texts)
        and all(isinstance(one, str) for one in value.values())
    )


def _cased(text: str, wanted: Callable[[str], str]) -> bool:
    return any(char.isalpha() for char in text) and wanted(text) == text


def _quoted(text: str, _check: Check) -> bool:
    return len(text) > 2 and (text[0], text[-1]) in {('"', '"'), ("“", "”")}


CHECKS: dict[str, Callable[[str, Check], bool]] = {
    "number": _number,
    "exact": _exact,
    "contains": _contains,
    "choice": _choice,
    "most_words": lambda text, check: _words(text) <= check.number,
    "least_words": lambda text, check: _words(text) >= check.number,
    "bullets": lambda text, check: sum(1 for line in _lines(text) if _BULLET.match(line)) == check.number,
    "numbered": _numbered,
    "paragraphs": _paragraphs,
    "title": _title,
    "quoted": _quoted,
    "json_keys": _json_keys,
    "include": lambda text, check: all(_holds(_folded(text), _folded(word)) for word in check.texts),
    "exclude": lambda text, check: not _contains(text, check),
    "no_commas": lambda text, _check: "," not in text,
    "lower": lambda text, _check: _cased(text, str.lower),
    "upper": lambda text, _check: _cased(text, str.upper),
    "starts": lambda text, check: _folded(text).startswith(_folded(check.text)),
    "ends": lambda text, check: _folded(text).endswith(_folded(check.text)),
}
