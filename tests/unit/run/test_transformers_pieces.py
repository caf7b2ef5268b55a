"""Text cut at stop sequences and thoughts told apart, however it comes in pieces."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from seedstock.run.engines.transformers_pieces import Stops, Thoughts


def cut(text: str, places: list[int]) -> list[str]:
    at = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[start:stop] for start, stop in itertools.pairwise(at)]


@given(
    st.text("abc", max_size=30),
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 40)),
)
def test_stops_do_not_depend_on_the_pieces(text: str, marks: list[str], places: list[int]) -> None:
    stops, told = Stops(marks), ""
    for piece in cut(text, places):
        told += stops.feed(piece)
        if stops.stopped:
            break
    told += stops.end()
    found = [text.find(mark) for mark in marks if mark in text]
    ends = sorted(text.find(mark) + len(mark) for mark in marks if mark in text)
    assert stops.stopped == bool(found)
    if not found:
        assert told == text
    else:
        # A longer mark that began earlier may not have been whole yet when a shorter one was.
        assert text.startswith(told)
        assert len(told) < ends[0]
        assert not any(mark in told for mark in marks)


def read(text: str, places: list[int], *, begun: bool) -> tuple[str, str]:
    thoughts, found = Thoughts(begun=begun), {True: "", False: ""}
    pieces = cut(text, places)
    for piece in pieces:
        for thought, told in thoughts.feed(piece):
            found[thought] += told
    for thought, told in thoughts.feed("", last=True):
        found[thought] += told
    return found[True], found[False]


@given(st.lists(st.integers(0, 60)))
def test_thoughts_are_told_apart(places: list[int]) -> None:
    for text, begun, expected in [
        ("<think>\nhm\n\nso\n</think>\n\nyes <b>", False, ("hm\n\nso", "yes <b>")),
        ("hm</think>yes", True, ("hm", "yes")),
        ("\n\n</think>\nyes\n", True, ("", "yes\n")),
        ("  <think>never ends <", False, ("never ends <", "")),
        ("no thoughts, but <think>late</think>", False, ("", "no thoughts, but <think>late</think>")),
        (" <thin", False, ("", " <thin")),
        ("\n\nplain", False, ("", "\n\nplain")),
        ("", True, ("", "")),
    ]:
        assert read(text, places, begun=begun) == expected
