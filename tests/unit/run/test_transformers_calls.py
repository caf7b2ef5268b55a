"""Calls of tools told from text, however it comes in pieces."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.run.engines.transformers_calls import Calls, joined

NAMES = ["weather", "clock"]


def told(text: str, places: list[int], *, parallel: bool = True) -> tuple[str, list[tuple[str, str]], Calls]:
    """The text, and each call's name and arguments."""
    at = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    calls = Calls(NAMES, parallel=parallel)
    parts: list[Any] = []
    for start, stop in itertools.pairwise(at):
        parts += calls.feed(text[start:stop])
    parts += calls.feed("", last=True)
    said = "".join(part for part in parts if isinstance(part, str))
    deltas = [part for part in parts if not isinstance(part, str)]
    found = joined(deltas)
    assert [delta["index"] for delta in deltas if "id" in delta] == list(range(len(found)))
    assert len({call["id"] for call in found}) == len(found)
    functions = [call["function"] for call in found]
    return said, [(function["name"], function["arguments"]) for function in functions], calls


ARGUMENTS = '{"city": "a } \\" {", "in": [1, {"b": {}}]}'
MARKED = '<tool_call>\n{"name": "weather", "arguments": ' + ARGUMENTS + "}\n</tool_call>"
SPLIT = st.lists(st.integers(0, 400), max_size=12)


@given(SPLIT)
def test_calls_between_marks(places: list[int]) -> None:
    said, calls, _ = told(f"sure\n{MARKED}\n{MARKED}\n", places)
    assert (said, calls) == ("sure", [("weather", ARGUMENTS)] * 2)
    said, calls, one = told(f"{MARKED}{MARKED}", places, parallel=False)
    assert (said, calls, one.over) == ("", [("weather", ARGUMENTS)], True)


@given(SPLIT)
def test_an_answer_that_is_nothing_but_a_call(places: list[int]) -> None:
    bare = '\n {"name": "clock", "parameters": ' + ARGUMENTS + "}"
    assert told(bare, places)[:2] == ("", [("clock", ARGUMENTS)])
    typed = '{"type": "function", "name": "clock", "parameters": {}}; ' + bare
    assert told(typed, places)[:2] == ("", [("clock", "{}"), ("clock", ARGUMENTS)])


@given(
    SPLIT,
    st.sampled_from(
        [
            '{"name": "other", "parameters": {}}',
            '{"name": "clockwork"}',
            '{"answer": 1}',
            "{",
            '{"name": "clock", "hands": 2}',
            "a <tool_call is <tool_",
            "<tool_call>nothing</tool_call> more",
            '<tool_call>{"name": "wea',
            "  spaced \n text \n",
        ]
    ),
)
def test_what_is_no_call_is_text(places: list[int], text: str) -> None:
    assert told(text, places)[:2] == (text, [])


@given(SPLIT)
def test_calls_that_are_written_otherwise_or_cut(places: list[int]) -> None:
    turned = '<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>'
    assert told(turned, places)[:2] == ("", [("f", '{"a": 1}')])
    quoted = '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>'
    assert told(quoted, places)[:2] == ("", [("f", '{"a": 1}')])
    assert told(MARKED[: MARKED.index(ARGUMENTS) + 3], places)[:2] == ("", [("weather", ARGUMENTS[:3])])


def test_arguments_come_while_they_are_written() -> None:
    calls = Calls(NAMES)
    head = list(calls.feed('<tool_call>{"name": "weather", "arguments": {"city'))
    assert [part["function"]["arguments"] for part in head if isinstance(part, dict)] == ["", '{"city']
    (more,) = calls.feed('": "Par')
    assert more == {"index": 0, "function": {"arguments": '": "Par'}}


@pytest.mark.parametrize("size", [10_000])
def test_long_answers_take_no_long_time(size: int) -> None:
    letters = '{"name": "clock", "parameters": {"a": "' + "x" * size + '"}}'
    calls = Calls(NAMES)
    parts = [part for letter in letters for part in calls.feed(letter)]
    assert json.loads(joined([part for part in parts if isinstance(part, dict)])[0]["function"]["arguments"])
