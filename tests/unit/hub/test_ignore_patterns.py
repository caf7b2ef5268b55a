"""Ignore patterns match what pathspec's own do, without its running time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from seedstock.hub.ignore_patterns import compile_patterns

_patterns = st.lists(
    st.lists(st.sampled_from(["a", "b", "*", "**", "?", "[ab]", "[!a]", "\\*"]), max_size=5).map("".join),
    min_size=1,
    max_size=6,
).map("/".join)
_paths = st.lists(st.text("ab*", min_size=1, max_size=6), min_size=1, max_size=7).map("/".join)


@given(pattern=_patterns, path=_paths)
def test_same_as_pathspec(pattern: str, path: str) -> None:
    assert compile_patterns([pattern]).match_file(path) == GitIgnoreSpec.from_lines([pattern]).match_file(
        path
    )


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 12 + "*b", "a" * 250),
        ("**/" + "a/**/" * 12 + "b", "/".join("a" * 400)),
        ("?*" * 12 + "b", "a" * 250),
    ],
)
def test_many_wildcards_take_no_time(pattern: str, path: str) -> None:
    started = time.process_time()
    assert not compile_patterns([pattern]).match_file(path)
    assert time.process_time() - started < 0.5
