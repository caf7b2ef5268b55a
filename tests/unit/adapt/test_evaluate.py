"""The stage `eval`: what it scores, that it is the same each time, that it goes on where it was, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from seedstock.adapt.methods import METHODS
from seedstock.adapt.rewards.intervals import wilson
from seedstock.adapt.run_stage import OPERATIONS
from seedstock.adapt.scores import read_means
from seedstock.adapt.stage import Event
from seedstock.core.errors import Integrity
from seedstock.recipes.outputs import describe_output
from tests.unit.adapt.questions import kept_rows, lay_out_grpo, measured
from tests.unit.adapt.stages import finished, lay_out, result, run_here, start
from tests.unit.adapt.test_sample import LONG, SHORT, sampled

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
ITEMS = [{"prompt": f"say {at}", "level": at} for at in range(6)]
HOW: dict[str, Any] = {
    "metric": "pass@1", "rewards": [SHORT], "n": 6, "samples": 4, "temperature": 1.0, "top_p": 1.0,
    "max_new_tokens": 4, "batch_size": 8,
}  # fmt: skip


def laid_out(work: Path, items: list[dict[str, Any]] | None = None, **args: Any) -> Path:
    return lay_out(work, "eval", ITEMS if items is None else items, **HOW | args)


def refused(work: Path) -> tuple[str, str]:
    last = run_here(work)[-1]
    assert not (work / "output").exists()
    return last.error or "", last.hint or ""


def test_every_operation_of_a_recipe_can_be_run() -> None:
    assert OPERATIONS.keys() == METHODS.keys()


def test_every_item_is_scored_as_sampling_rewards_the_same_answers(tmp_path: Path) -> None:
    events = run_here(laid_out(tmp_path / "eval"))
    found = result(events)
    everything = sampled(tmp_path / "sample", rewards=[SHORT], keep_at_least=-1.0)
    rows = kept_rows(tmp_path / "eval")
    assert [row["item"] for row in rows] == list(range(6))
    assert [row["prompt"] for row in rows] == [item["prompt"] for item in ITEMS]
    answers = [answer for row in rows for answer in row["answers"]]
    assert answers == [row["completion"] for row in everything]
    assert [score for row in rows for score in row["scores"]] == [row["reward"] for row in everything]
    mean = sum(row["reward"] for row in everything) / 24
    assert 0 < mean < 1
    assert found["score"] == pytest.approx(mean)
    assert (found["score_low"], found["score_high"]) == pytest.approx(wilson(6 * mean, 6))
    assert (found["items"], found["completions"], found["metric"]) == (6, 24, "pass@1")
    assert read_means(tmp_path / "eval" / "output") == [sum(row["scores"]) / 4 for row in rows]
    assert [step for step, _ in measured(events, "score")] == [2, 4, 6]
    assert measured(events, "score")[-1][1] == pytest.approx(mean)
    card = (tmp_path / "eval" / "output" / "README.md").read_text()
    assert card.startswith(f"# pass@1\n\n{mean:.4f} (95 % interval ")


def test_the_same_twice_is_the_same_to_the_byte_in_a_process_of_its_own_too(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        result(run_here(laid_out(tmp_path / name)))
        digests.append(describe_output(tmp_path / name / "output", "dataset").tree)
    result(finished(start(laid_out(tmp_path / "three"))))
    digests.append(describe_output(tmp_path / "three" / "output", "dataset").tree)
    result(run_here(laid_out(tmp_path / "other", stage={"seed": 6})))
    assert len(set(digests)) == 1
    assert describe_output(tmp_path / "other" / "output", "dataset").tree != digests[0]


def test_a_stopped_run_goes_on_and_leaves_the_same(tmp_path: Path) -> None:
    result(run_here(laid_out(tmp_path / "whole")))
    work = laid_out(tmp_path / "work")
    assert run_here(work, lambda: True)[-1].stopped
    # What a killed attempt wrote after its last complete batch does not count.
    with (work / "state" / "data.jsonl").open("a") as file:
        file.write('{"half a')
    events = run_here(work)
    assert any("Going on after 2 prompts: 2 of 6 items, pass@1 " in (event.log or "") for event in events)
    result(events)
    for name in ("data.jsonl", "README.md"):
        assert (work / "output" / name).read_bytes() == (tmp_path / "whole" / "output" / name).read_bytes()


def test_only_the_first_items_are_asked_and_rewards_count_by_their_weights(tmp_path: Path) -> None:
    rewards = [{**SHORT, "weight": 3.0}, {**LONG, "weight": 1.0}]
    work = laid_out(tmp_path / "work", n=2, rewards=rewards)
    found = result(run_here(work))
    assert (found["items"], found["completions"]) == (2, 8)
    for row in kept_rows(work):
        for answer, score in zip(row["answers"], row["scores"], strict=True):
            long = min(1.0, max(0.0, 1 - (4 - len(answer)) / 3)) if len(answer) < 4 else 1.0
            assert score == pytest.approx((3 * (len(answer) == 3) + long) / 4, abs=1e-6)


def test_an_adapter_goes_onto_the_base(tmp_path: Path) -> None:
    trained = lay_out_grpo(tmp_path / "trained", lora={"r": 4}, steps=2)
    result(run_here(trained))
    plain, adapted = laid_out(tmp_path / "plain"), laid_out(tmp_path / "adapted")
    (adapted / "inputs" / "adapter").symlink_to((trained / "output").absolute())
    for work in (plain, adapted):
        result(run_here(work))
    assert kept_rows(plain) != kept_rows(adapted)


def test_conversations_are_asked_as_such(tmp_path: Path) -> None:
    asked = [{"role": "user", "content": "hello"}]
    rows = [{"messages": [*asked, {"role": "assistant", "content": "an old answer"}]}]
    work = laid_out(tmp_path / "work", rows, n=1)
    result(run_here(work))
    assert kept_rows(work)[0]["prompt"] == asked
    assert all(isinstance(answer, str) for answer in kept_rows(work)[0]["answers"])


def test_a_file_with_rewards_judges_and_may_not_leave_0_to_1(tmp_path: Path) -> None:
    def work_with(name: str, value: str) -> Path:
        own = {"fn": "python_file", "args": {"file": "own.py", "allowed": True}}
        work = laid_out(tmp_path / name, rewards=[own], n=2)
        (work / "inputs" / "rewards").mkdir()
        code = f"def reward(prompt, completion, row):\n    return {value}\n"
        (work / "inputs" / "rewards" / "own.py").write_text(code)
        return work

    assert result(run_here(work_with("half", "row['level'] / 2")))["score"] == 0.25
    assert refused(work_with("three", "3"))[0] == "An answer's score is 3; scores lie between 0 and 1"


def lacking(work: Path, *roles: str) -> Path:
    for role in roles:
        (work / "inputs" / role).rename(work / f"no-{role}")
    return work


def test_what_cannot_be_evaluated_is_refused_with_what_to_do(tmp_path: Path) -> None:
    exact = [{"fn": "exact"}]
    error, hint = refused(laid_out(tmp_path / "column", rewards=exact))
    assert (
        error
        == "train.jsonl, line 1: there is no 'answer', which the rewards look at; columns are 'prompt', 'level'"
    )
    assert hint == "Add it"
    error, hint = refused(laid_out(tmp_path / "few", n=7))
    assert error == "The evaluation is of 7 items; its data holds 6"
    assert hint == "Lower n, or name another split in rows"
    error, hint = refused(
        laid_out(tmp_path / "long", [*ITEMS[:5], {"prompt": "say the thing " * 200, "level": 6}])
    )
    assert error == "1 of 6 items leave no room for an answer in the model's window"
    assert hint == "Lower max_new_tokens, or evaluate on items that are shorter"
    own = [{"fn": "python_file", "args": {"file": "own.py", "allowed": True}}]
    assert (
        refused(laid_out(tmp_path / "own", rewards=own))[0]
        == "A reward from a file needs the input `rewards`"
    )
    negative = [{**SHORT, "weight": -1.0}]
    assert "none may be below 0" in refused(laid_out(tmp_path / "negative", rewards=negative))[0]
    assert refused(lacking(laid_out(tmp_path / "model"), "base"))[0] == "The stage has no input 'base'"
    assert (
        refused(lacking(laid_out(tmp_path / "data"), "data"))[0]
        == "There is no folder 'data' to read rows from"
    )
    train_only = [{"input": "data", "split": "test", "columns": {}}]
    assert "there is train" in refused(laid_out(tmp_path / "split", rows=train_only))[0]


def test_what_no_evaluation_wrote_is_not_read_as_one(tmp_path: Path) -> None:
    with pytest.raises(Integrity, match="holds no evaluation"):
        read_means(tmp_path)
    (tmp_path / "data.jsonl").write_text(json.dumps({"prompt": "x", "reward": 1.0}) + "\n")
    with pytest.raises(Integrity, match="holds no evaluation"):
        read_means(tmp_path)
    (tmp_path / "data.jsonl").write_text("")
    with pytest.raises(Integrity, match="no items"):
        read_means(tmp_path)


def test_it_says_how_far_it_is(tmp_path: Path) -> None:
    events: list[Event] = run_here(laid_out(tmp_path / "work"))
    told = [event.message for event in events if event.metrics]
    assert [text.split(", ")[0] for text in told] == ["2 of 6 items", "4 of 6 items", "6 of 6 items"]
    fractions = [event.fraction for event in events if event.metrics]
    assert fractions == [pytest.approx(at / 3) for at in (1, 2, 3)]
    assert any((event.log or "").startswith("pass@1: ") for event in events)
