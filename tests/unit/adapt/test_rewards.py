"""Verifiable rewards: what they accept, and that no text makes them fail, cheat or take long."""

from __future__ import annotations

import random
import time
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seedstock.adapt.methods import Reward
from seedstock.adapt.rewards import registry
from seedstock.adapt.rewards.arithmetic import NotArithmetic, evaluate
from seedstock.adapt.rewards.intervals import wilson
from seedstock.core.errors import Forbidden, Invalid

COUNTDOWN_30 = {"operators": "+-*", "low": 0, "high": 30, "format": True}


def reward(fn: str, completion: str, row: dict | None = None, **args: object) -> float:
    with registry.open_rewards([Reward(fn=fn, args=args)]) as rewards:
        return rewards.score("?", completion, row or {}).total


@pytest.mark.parametrize(
    ("said", "column", "args", "verdict"),
    [
        ("<think>hm</think><answer> Paris. </answer>", "paris", {}, 1),
        ("<think>Paris</think> It is Rome", "Paris", {}, 0),
        ("Paris", "Paris", {}, 1),
        ("Paris", "Paris", {"where": "answer"}, 0),
        ("the answer: <answer>1</answer> no, <answer>2</answer>", 2, {}, 1),
        ("<answer>ﬁve  apples</answer>", "Five apples", {}, 1),
        ("Paris", None, {}, 0),
        ("<answer>Paris", "Paris", {}, 0),
    ],
)
def test_exact(said: str, column: object, args: dict, verdict: float) -> None:
    assert reward("exact", said, {"answer": column}, **args) == verdict


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("<think>a</think><answer>b</answer>", 1),
        (" <think>a\n</think>\n\n<answer>b</answer>\n", 1),
        ("<think></think><answer></answer>", 1),
        ("<think>a</think><answer>b</answer> more", 0),
        ("before <think>a</think><answer>b</answer>", 0),
        ("<think>a</think> between <answer>b</answer>", 0),
        ("<think>a<think></think><answer>b</answer>", 0),
        ("<think>a</think><answer>b</answer><answer>b</answer>", 0),
        ("<answer>b</answer><think>a</think>", 0),
        ("<think><answer>b</answer></think>", 0),
        ("a</think><answer>b</answer>", 0),
        ("", 0),
    ],
)
def test_format(said: str, verdict: float) -> None:
    assert reward("format", said) == verdict
    if verdict:
        assert reward("format", said.strip().removeprefix("<think>"), opened=True) == 1


@pytest.mark.parametrize(
    ("said", "column", "args", "verdict"),
    [
        ("first 3 then 7", 7, {}, 1),
        ("first 3 then 7", 3, {"which": "first"}, 1),
        ("it costs $1,234.50.", "#### 1234.5", {}, 1),
        ("so -4", -4, {}, 1),
        ("3.14", 3.1416, {"tolerance": 0.01}, 1),
        ("3.14", 3.1416, {}, 0),
        ("none", 3, {}, 0),
        ("1", True, {}, 0),
        ("nan", float("nan"), {}, 0),
        ("9" * 100, 10**100 - 1, {}, 0),
        ("<think>9</think>8", 9, {}, 0),
    ],
)
def test_number(said: str, column: object, args: dict, verdict: float) -> None:
    assert reward("number", said, {"answer": column}, **args) == verdict


@pytest.mark.parametrize(
    ("answer", "args", "verdict"),
    [
        ("( 3 * 8 ) - 4", {}, 1),
        ("3*8-4", {}, 1),
        ("8 * 3 - 4", {}, 1),
        ("3 * 8 - 4 + 4 - 4", {}, 0),  # a number used three times
        ("4 * 5", {}, 0),  # a number that was not given
        ("3 * 8", {"all_numbers": False}, 0),  # not the target
        ("20", {}, 0),
        ("3 * 8 - 4 = 20", {}, 0),
        ("3 ** 8 - 4", {}, 0),
        ("-4 + 3 * 8", {}, 0),  # a sign is not an operation
    ],
)
def test_countdown(answer: str, args: dict, verdict: float) -> None:
    row = {"numbers": [3, 8, 4], "target": 20}
    text = f"<think> 3 * 8 = 24 ; 24 - 4 = 20 ok </think> <answer> {answer} </answer>"
    assert reward("countdown", text, row, **COUNTDOWN_30 | args) == verdict
    assert reward("countdown", text, {"numbers": "3, 8 4", "target": "20"}, **COUNTDOWN_30 | args) == verdict
    assert reward("countdown", text + "<answer>", row, **COUNTDOWN_30 | args) == 0


def test_countdown_bounds_what_is_in_between_and_takes_quotients_only_where_allowed() -> None:
    row = {"numbers": [9, 9, 9], "target": 9}
    assert reward("countdown", "<answer>9*9/9</answer>", row) == 1
    assert reward("countdown", "<answer>9*9/9</answer>", row, operators="+-*") == 0
    row = {"numbers": [9, 9, 60], "target": 21}
    assert reward("countdown", "<answer>9*9-60</answer>", row) == 1
    assert reward("countdown", "<answer>9*9-60</answer>", row, low=0, high=30) == 0
    assert reward("countdown", "<answer>1/(1-1)</answer>", {"numbers": [1, 1, 1], "target": 1}) == 0


def test_length_falls_over_its_margin() -> None:
    assert [reward("length", "w " * n, at_least=2, at_most=4, margin=3) for n in (0, 1, 2, 4, 5, 8)] == [
        0.5,
        0.75,
        1,
        1,
        0.75,
        0,
    ]


def test_rewards_add_up_with_their_weights_and_keep_their_parts() -> None:
    rewards = [
        Reward(fn="exact"),
        Reward(fn="format", weight=0.5),
        Reward(fn="exact", args={"column": "other"}),
    ]
    with registry.open_rewards(rewards) as opened:
        scored = opened.score("?", "<think></think><answer>a</answer>", {"answer": "a", "other": "b"})
    assert scored.total == 1.5
    assert scored.parts == {"exact": 1, "format": 1, "exact_2": 0}
    assert registry.columns(rewards) == ["answer", "other"]
    assert registry.versions(rewards) == {"exact": 1, "format": 1}


def test_what_is_wrong_with_a_reward_is_said() -> None:
    with pytest.raises(Invalid, match="no reward 'exakt'") as caught:
        registry.check([Reward(fn="exakt")])
    assert "countdown" in str(caught.value.hint)
    with pytest.raises(Invalid, match=r"arguments of the reward 'number'.*tolerence"):
        registry.check([Reward(fn="number", args={"tolerence": 1})])
    with pytest.raises(Forbidden, match="no admin has allowed"):
        registry.open_rewards([Reward(fn="python_file", args={"file": "mine.py"})], files=registry.Path("."))
    assert registry.needs_admin(
        [
            Reward(fn="exact"),
            Reward(fn="python_file", args={"file": "mine.py", "allowed": True}),
            Reward(fn="code_tests", args={"isolate": False}),
        ]
    ) == ["runs the code of rewards/mine.py", "`code_tests` runs code without isolation"]


def test_numbers_too_long_to_be_written_are_nobody_s_answer() -> None:
    huge = 10**5000
    for fn, row in (
        ("exact", {"answer": huge}),
        ("number", {"answer": [huge]}),
        ("number", {"answer": huge}),
    ):
        assert reward(fn, "9" * 5000, row) == 0
    assert reward("countdown", "<answer>1</answer>", {"numbers": [huge], "target": huge}) == 0


@st.composite
def expressions(draw: st.DrawFn) -> tuple[str, Fraction, list[int]]:
    if draw(st.booleans()):
        number = draw(st.integers(0, 99))
        return str(number), Fraction(number), [number]
    left, right = draw(expressions()), draw(expressions())
    sign = draw(st.sampled_from("+-*"))
    value = {"+": left[1] + right[1], "-": left[1] - right[1], "*": left[1] * right[1]}[sign]
    return f"({left[0]}) {sign} ({right[0]})", value, left[2] + right[2]


@given(expressions())
def test_arithmetic_is_exact(case: tuple[str, Fraction, list[int]]) -> None:
    text, value, used = case
    if len(text) <= 300:
        assert evaluate(text) == (value, used)


@given(st.text(alphabet="0123456789+-*/() .=x_'\"\\\n\0", max_size=400))
@example("(" * 299)
@example("-" * 299 + "1")
@example("9**9**9**9")
@example("9" * 299)
@example("1_000")
@example("1e9")
@example("0x10")
def test_arithmetic_refuses_whatever_else(text: str) -> None:
    try:
        value, used = evaluate(text)
    except NotArithmetic:
        return
    assert isinstance(value, Fraction)
    assert all(0 <= number < 10**12 for number in used)


HOSTILE = st.one_of(
    st.text(),
    st.text(alphabet="<think>/answer 0123456789()*+-.,`\n\0"),
    st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "1", "+", "```", " "])).map(
        "".join
    ),
)
ROWS = st.dictionaries(
    st.sampled_from(["answer", "numbers", "target", "tests"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
        lambda inner: st.lists(inner, max_size=4),
        max_leaves=8,
    ),
)
PURE = ["exact", "format", "number", "countdown", "length"]


@given(HOSTILE, ROWS)
def test_no_text_and_no_row_makes_a_reward_fail_or_touch_the_random_generator(text: str, row: dict) -> None:
    state = random.getstate()
    with registry.open_rewards([Reward(fn=fn) for fn in PURE]) as rewards:
        first = rewards.score("?", text, row)
        assert first == rewards.score("?", text, row)
    assert all(0 <= value <= 1 for value in first.parts.values())
    assert random.getstate() == state


@pytest.mark.parametrize(
    "text",
    [
        "<answer>" * 125_000,
        "<answer>" + "(" * 1_000_000 + "</answer>",
        "<answer>" + "9" * 1_000_000 + "</answer>",
        "<answer>" + "ﷺ" * 300_000 + "</answer>",
        "1," * 500_000,
        "<think>" + " " * 1_000_000 + "</think>",
        "</think>" * 125_000,
        "```" * 333_333,
    ],
    ids=lambda text: text[:12],
)
def test_a_megabyte_is_judged_quickly(text: str) -> None:
    began = time.process_time()
    row = {"answer": "1", "numbers": [1, 2], "target": 3}
    for fn in PURE:
        assert 0 <= reward(fn, text, row) <= 1
    assert time.process_time() - began < 1.0


@given(st.integers(0, 50), st.integers(1, 200))
@settings(max_examples=50)
def test_wilson_holds_the_rate(successes: int, more: int) -> None:
    trials = successes + more
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1


def test_wilson_gives_the_published_interval() -> None:
    # Newcombe 1998, table I: 15 of 148.
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
