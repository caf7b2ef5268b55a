"""Rejection sampling: what is kept, that it is the same each time, and that it goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from tests.unit.adapt.questions import kept_rows
from tests.unit.adapt.stages import lay_out, result, run_here

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
SHORT = {"fn": "length", "args": {"unit": "characters", "at_least": 3, "at_most": 3}}
LONG = {"fn": "length", "args": {"unit": "characters", "at_least": 4, "at_most": 100, "margin": 3}}


def sampled(work: Path, rows: list[dict[str, Any]] | None = None, **args: Any) -> list[dict[str, Any]]:
    rows = [{"prompt": f"say {at}", "level": at} for at in range(6)] if rows is None else rows
    lay_out(work, "sample", rows, **{"per_prompt": 4, "max_new_tokens": 4, "batch_size": 8} | args)
    result(run_here(work))
    return kept_rows(work)


def test_everything_is_kept_without_rewards_and_the_same_each_time(tmp_path: Path) -> None:
    first = sampled(tmp_path / "one")
    assert len(first) == 24
    assert [row["prompt"] for row in first[:5]] == ["say 0"] * 4 + ["say 1"]
    assert first[0].keys() == {"prompt", "level", "completion", "ended", "base"}
    assert first == sampled(tmp_path / "two")
    assert first != sampled(tmp_path / "three", stage={"seed": 6})
    assert len({row["completion"] for row in first}) > 12
    assert len({row["completion"] for row in sampled(tmp_path / "four", temperature=0)}) <= 6


def test_only_what_the_rewards_let_through_is_kept(tmp_path: Path) -> None:
    everything = sampled(tmp_path / "all")
    kept = sampled(tmp_path / "some", rewards=[SHORT])
    assert [row["completion"] for row in kept] == [
        row["completion"] for row in everything if len(row["completion"]) == 3
    ]
    assert 0 < len(kept) < 24
    assert all(row["reward"] == 1 and row["rewards"] == {"length": 1} for row in kept)
    few = sampled(tmp_path / "few", rewards=[LONG], keep_at_least=0.0, keep_per_prompt=1)
    assert [row["prompt"] for row in few] == [f"say {at}" for at in range(6)]
    for row in few:
        lengths = [len(other["completion"]) for other in everything if other["prompt"] == row["prompt"]]
        assert len(row["completion"]) >= min(4, max(lengths))


def test_figures_and_the_card_tell_the_counts(tmp_path: Path) -> None:
    work = tmp_path / "work"
    kept = sampled(work, rewards=[SHORT])
    figures = json.loads((work / "state" / "result.json").read_bytes())
    assert (figures["completions"], figures["prompts"], figures["kept"]) == (24, 6, len(kept))
    assert figures["pass_low"] < figures["pass"] == len(kept) / 24 < figures["pass_high"]
    card = (work / "output" / "README.md").read_text()
    assert f"{len(kept)} answers to {figures['answered']} of 6 prompts" in card


def test_conversations_stay_conversations(tmp_path: Path) -> None:
    asked = [{"role": "system", "content": "short"}, {"role": "user", "content": "hello"}]
    rows = [{"messages": [*asked, {"role": "assistant", "content": "an old answer"}], "id": 3}]
    kept = sampled(tmp_path / "work", rows, per_prompt=2)
    assert [row["prompt"] for row in kept] == [asked, asked]
    assert kept[0].keys() == {"prompt", "completion", "id", "ended", "base"}
    assert all(len(row["completion"]) == 1 and row["completion"][0]["role"] == "assistant" for row in kept)
    assert "old" not in kept[0]["completion"][0]["content"]
    kept = sampled(tmp_path / "prompts", [{"prompt": asked}], per_prompt=1)
    assert kept[0]["prompt"] == asked
    assert kept[0]["completion"][0]["role"] == "assistant"


def test_a_stopped_run_goes_on_and_leaves_the_same(tmp_path: Path) -> None:
    expected = sampled(tmp_path / "whole", rewards=[LONG], keep_at_least=0.5)
    work = tmp_path / "work"
    rows = [{"prompt": f"say {at}", "level": at} for at in range(6)]
    lay_out(
        work, "sample", rows, per_prompt=4, max_new_tokens=4, batch_size=8, rewards=[LONG], keep_at_least=0.5
    )
    assert run_here(work, lambda: True)[-1].stopped
    # What a killed attempt wrote after its last complete batch does not count.
    with (work / "state" / "data.jsonl").open("a") as file:
        file.write('{"half a')
    events = run_here(work)
    assert any("Going on after 2 prompts" in (event.log or "") for event in events)
    result(events)
    assert kept_rows(work) == expected


def test_nothing_kept_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    work = lay_out(
        tmp_path / "work",
        "sample",
        [{"prompt": "x", "answer": "unlikely"}],
        rewards=[{"fn": "exact"}],
        max_new_tokens=2,
    )
    last = run_here(work)[-1]
    assert "None of 4 answers got a reward of 1" in (last.error or "")
    assert "per_prompt" in (last.hint or "")
    assert not (work / "output").exists()
