"""A text on its way out, piece by piece: cut at stop sequences, and with the thoughts told from the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum, auto

OPEN, CLOSE = "<think>", "</think>"


def held_back(text: str, marks: Sequence[str]) -> int:
    """How many last characters may be the beginning of a mark."""
    longest = max((len(mark) for mark in marks), default=1) - 1
    return next(
        (
            length
            for length in range(min(longest, len(text)), 0, -1)
            if any(mark.startswith(text[-length:]) for mark in marks)
        ),
        0,
    )


class Stops:
    """Lets text through up to the first stop sequence, of which nothing is told."""

    def __init__(self, marks: Sequence[str]) -> None:
        self._marks = marks
        self._rest = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """What can be told now."""
        self._rest += text
        found = [at for at in (self._rest.find(mark) for mark in self._marks) if at >= 0]
        if found:
            self.stopped = True
            told, self._rest = self._rest[: min(found)], ""
            return told
        keep = len(self._rest) - held_back(self._rest, self._marks)
        told, self._rest = self._rest[:keep], self._rest[keep:]
        return told

    def end(self) -> str:
        """What was held back, when nothing more comes."""
        told, self._rest = self._rest, ""
        return told


class _State(Enum):
    START = auto()
    THOUGHT = auto()
    ANSWER = auto()


class Thoughts:
    """Tells what stands between think marks from what follows; line breaks beside the marks go."""

    def __init__(self, *, begun: bool) -> None:
        """`begun`: the prompt ends inside a thought."""
        self._state = _State.THOUGHT if begun else _State.START
        self._trims = begun
        self._rest = ""

    def feed(self, text: str, *, last: bool = False) -> Iterator[tuple[bool, str]]:
        """Pieces, each with whether it is a thought."""
        self._rest += text
        if self._state is _State.START and not self._begins(last=last):
            return
        if self._state is _State.THOUGHT:
            yield from self._thought(last=last)
        if self._state is _State.ANSWER and (told := self._trimmed()):
            self._rest = ""
            yield False, told

    def _begins(self, *, last: bool) -> bool:
        """Whether it is known by now what the text begins with."""
        bare = self._rest.lstrip()
        if not last and OPEN.startswith(bare):
            return False
        self._trims = bare.startswith(OPEN)
        self._state = _State.THOUGHT if self._trims else _State.ANSWER
        self._rest = bare[len(OPEN) :] if self._trims else self._rest
        return True

    def _thought(self, *, last: bool) -> Iterator[tuple[bool, str]]:
        text = self._trimmed()
        told, closed, after = text.partition(CLOSE)
        if not closed and not last:
            body = text[: len(text) - held_back(text, [CLOSE])]
            told = body.rstrip("\n")  # line breaks may precede the mark
            after = text[len(told) :]
        self._rest = after
        if closed:
            told = told.rstrip("\n")
            self._state, self._trims = _State.ANSWER, True
        if told:
            yield True, told

    def _trimmed(self) -> str:
        if self._trims:
            self._rest = self._rest.lstrip("\n")
            self._trims = not self._rest
        return self._rest
