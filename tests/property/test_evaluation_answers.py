"""Hostile answers and rows: judging ends soon, never raises, and says no in doubt; a bad row is named."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import HubError, Invalid
from seedstock.evaluation.card_results import CardResult, with_result
from seedstock.evaluation.catalogue import SUITES
from seedstock.evaluation.figures import compare, figure
from seedstock.evaluation.items import Check, Item
from seedstock.evaluation.scoring import CHECKS, judge, stated_number
from seedstock.evaluation.task_file import TaskFile, read_items, read_task
from seedstock.metadata.card import parse_card

ITEM = Item("0", "?", tuple(Check(kind, "a", ("a", "b"), 2) for kind in CHECKS))
HOSTILE = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="0123456789,.-+$ Answer:*_\n", max_size=300),
    st.text(alphabet='{}[]":,\\u0a<>`*- \n', max_size=300),
)


@given(HOSTILE)
def test_judging_never_raises(text: str) -> None:
    score, passed = judge(ITEM, text)
    assert score in {0.0, 1.0}
    assert len(passed) == len(CHECKS)
    for suite in SUITES.values():
        for item in suite.generate(0, 3):
            judge(item, text)


@pytest.mark.parametrize(
    "piece",
    [
        "1,111,",
        "answer ",
        "Answer: ",
        "-",
        "9",
        " ",
        "<<",
        "a" * 50 + " ",
        "[",
        "***\n",
        "```a\n",
        "1. a\n",
        "(A)",
        "\U0001f600",
    ],
)
def test_judging_takes_time_by_length(piece: str) -> None:
    text = (piece * 200_000)[:1_000_000]
    started = time.process_time()
    judge(ITEM, text)
    assert time.process_time() - started < 10


@given(st.integers(min_value=-(10**12), max_value=10**12))
def test_a_number_is_found_however_it_is_written(number: int) -> None:
    for text in (
        f"{number}",
        f"{number:,}",
        f"I think 5.\nAnswer: {number}.",
        f"**Answer: ${number:,}**",
        f"{number}.0",
    ):
        assert stated_number(text) == str(number), text


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_intervals_hold_the_share(right: list[bool]) -> None:
    found = figure([float(one) for one in right])
    assert 0 <= found.low <= found.score + 1e-12
    assert found.score - 1e-12 <= found.high <= 1
    assert math.isfinite(found.stderr)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=120))
def test_a_comparison_turned_round_says_the_opposite(pairs: list[tuple[bool, bool]]) -> None:
    first, second = [float(one) for one, _ in pairs], [float(two) for _, two in pairs]
    there, back = compare(first, second), compare(second, first)
    assert there.difference == pytest.approx(-back.difference)
    assert there.low <= there.difference + 1e-9
    assert there.high >= there.difference - 1e-9
    assert (there.only_first, there.only_second) == (back.only_second, back.only_first)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
TASKS = (
    TaskFile(prompt="q", answer="a"),
    TaskFile(prompt="Q: {q} {x}", answer="a", metric="contains"),
    TaskFile(prompt="q", answer="a", metric="choice", choices="x"),
)


@given(st.fixed_dictionaries({}, optional={"q": VALUES, "a": VALUES, "x": VALUES}), st.sampled_from(TASKS))
def test_a_hostile_row_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, row: dict[str, object], task: TaskFile
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    (folder / "test.jsonl").write_text(json.dumps(row) + "\n")
    said = "test.jsonl"
    try:
        (item,) = read_items(task, folder, 0, None)
        judge(item, "anything")
    except Invalid as error:
        said = error.message
    assert "test.jsonl" in said


@given(st.binary(max_size=300))
def test_a_hostile_task_file_is_refused_in_one_line(data: bytes) -> None:
    said = ""
    try:
        read_task(data)
    except Invalid as error:
        said = error.message
    assert "\n" not in said


RESULT = CardResult(
    "n", "t", "r", {"seed": 0}, 0.5, {"stderr": 0.1}, "Seedstock evaluation 1, by x", "http://h/x"
)


@given(st.one_of(st.text(max_size=200), st.text(alphabet="-\n: a[]{}#&*'\"|>model-index\r", max_size=200)))
def test_any_card_keeps_its_body_or_is_refused(text: str) -> None:
    for card in (text, f"---\n{text}\n---\nbody\n", f"---\nlicense: mit\n{text}\n---\n{text}"):
        before = parse_card(card)
        try:
            changed = with_result(card, "m", RESULT)
        except HubError:
            continue
        after = parse_card(changed)
        assert after.problem is None
        assert after.data.pop("model-index")[0]["results"][-1]["metrics"][0]["value"] == 0.5
        before.data.pop("model-index", None)
        assert after.data == before.data
        assert after.body == before.body
