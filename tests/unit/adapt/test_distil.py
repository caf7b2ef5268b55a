"""On-policy distillation between tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from tests.factories.tiny_llama import write_model
from tests.unit.adapt.questions import measured, weights
from tests.unit.adapt.stages import lay_out, result, run_here

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def lay_out_distil(work: Path, rows: list[dict[str, Any]] | None = None, **args: Any) -> Path:
    rows = [{"prompt": f"say {at}"} for at in range(24)] if rows is None else rows
    teacher = args.pop("teacher", {"seed": 9})
    defaults = {
        "steps": 20,
        "learning_rate": 3e-3,
        "max_new_tokens": 6,
        "max_length": 64,
        "held_out": 0.25,
        "lora": None,
    }
    lay_out(work, "distil", rows, **defaults | args)
    write_model(work / "inputs" / "teacher", **teacher)
    return work


@pytest.mark.parametrize(("beta", "lora"), [(1.0, None), (0.0, {"r": 8}), (0.5, None)])
def test_the_student_comes_closer_to_its_teacher(tmp_path: Path, beta: float, lora: Any) -> None:
    work = lay_out_distil(tmp_path / "work", beta=beta, lora=lora, learning_rate=1e-2)
    events = run_here(work)
    figures = result(events)
    assert figures["eval_loss_drop_low"] > 0.1
    assert figures["eval_loss_after"] < figures["eval_loss_before"]
    assert figures["no_learning"] is False
    for name in ("rollout_s", "train_s", "length_mean", "entropy"):
        assert len(measured(events, name)) == 20, name
    assert [event.sample for event in events if event.sample]


def test_a_student_that_is_its_teacher_has_nothing_to_learn(tmp_path: Path) -> None:
    figures = result(run_here(lay_out_distil(tmp_path / "work", teacher={"seed": 0}, steps=1)))
    assert figures["eval_loss_before"] == pytest.approx(0, abs=1e-6)


def test_a_stopped_run_goes_on_exactly_and_rows_of_others_are_used(tmp_path: Path) -> None:
    rows = [{"prompt": f"say {at}", "completion": f" the {at}"} for at in range(24)]
    args = {"steps": 4, "on_policy": 0.5, "rows": rows}
    whole, own = (
        lay_out_distil(tmp_path / "whole", **args),
        lay_out_distil(tmp_path / "own", **args | {"on_policy": 1}),
    )
    result(run_here(whole))
    result(run_here(own))
    work = lay_out_distil(tmp_path / "work", **args)
    asked = iter([False] + [True] * 100)
    assert run_here(work, lambda: next(asked))[-1].stopped
    result(run_here(work))
    assert weights(work) == weights(whole) != weights(own)


def test_what_cannot_be_distilled_is_said(tmp_path: Path) -> None:
    def error(name: str, **args: Any) -> str:
        return run_here(lay_out_distil(tmp_path / name, steps=1, **args))[-1].error or ""

    assert "267 tokens and the teacher's 300" in error("sizes", teacher={"vocab_size": 300})
    assert "a row has no completion: 'say " in error("rows", on_policy=0.5)
    work = lay_out_distil(tmp_path / "tokens")
    path = work / "inputs" / "teacher" / "tokenizer.json"
    path.write_text(path.read_text().replace("<|im_start|>", "<|im_begin|>"))
    assert "<|im_start|>" in (run_here(work)[-1].error or "")


def test_weights_that_are_not_of_the_described_shape_are_refused(tmp_path: Path) -> None:
    work = lay_out_distil(tmp_path / "work", teacher={"intermediate_size": 48}, steps=1)
    last = run_here(work)[-1]
    assert "cannot be loaded" in (last.error or "")
