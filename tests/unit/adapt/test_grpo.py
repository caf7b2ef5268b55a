"""Reinforcement learning on verifiable rewards, with a tiny model that has something to learn."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("trl")

from seedstock.adapt.methods import Grpo
from tests.factories.tiny_llama import write_model
from tests.unit.adapt.questions import lay_out_grpo, measured, questions, weights
from tests.unit.adapt.stages import result, run_here, start

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_learns_an_easy_reward_beyond_noise(tmp_path: Path, seed: int) -> None:
    work = lay_out_grpo(tmp_path / "work", stage={"seed": seed})
    events = run_here(work)
    figures = result(events)
    # The intervals are of 95% each: that they are apart is far beyond the noise of sampling.
    assert figures["eval_pass_high_before"] < figures["eval_pass_low_after"]
    assert figures["eval_loss_drop_low"] > 0.3
    assert figures["eval_rows"] == figures["rows_held_out"] == 10
    assert figures["no_learning"] is False
    rewards = measured(events, "reward")
    assert [step for step, _ in rewards] == list(range(1, 17))
    for name in ("reward_std", "zero_variance", "kl", "length_mean", "clip_ratio", "rollout_s", "train_s"):
        assert len(measured(events, name)) == 16, name
    assert [event.sample["prompt"] for event in events if event.sample][:1] != []


def test_equal_stages_leave_equal_weights_and_other_seeds_others(tmp_path: Path) -> None:
    made = [
        lay_out_grpo(tmp_path / name, stage={"seed": seed}, steps=3)
        for name, seed in (("one", 0), ("two", 0), ("three", 1))
    ]
    for work in made:
        result(run_here(work))
    first, second, third = (weights(work) for work in made)
    assert first == second
    assert first != third


def test_where_no_group_differs_nothing_is_learned_and_that_is_said(tmp_path: Path) -> None:
    work = lay_out_grpo(tmp_path / "work", questions(letters=""), steps=2)
    events = run_here(work)
    figures = result(events)
    assert figures["no_learning"] is True
    assert "same reward" in figures["no_learning_reason"]
    logs = [event.log for event in events if event.log]
    assert any("All 64 completions tried got the same reward" in log for log in logs)
    assert any("The base succeeds in 0.0%" in log for log in logs)


def test_weights_that_stay_what_they_were_are_no_learning(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", dtype="BF16")
    rows = questions(letters="abcdefghijklmn")  # often enough that groups differ
    # bfloat16 has no room for so small a step.
    figures = result(run_here(lay_out_grpo(tmp_path / "work", rows, base=base, steps=3, learning_rate=1e-9)))
    assert figures["no_learning_reason"] == "the weights are what they were"


def test_a_killed_run_goes_on_exactly_even_amid_a_batch_of_completions(tmp_path: Path) -> None:
    # The third step is half through the second of the batches that make two steps each; dropout draws random numbers.
    args = {"steps": 6, "save_every": 3, "minibatches": 2, "lora": {"r": 4, "dropout": 0.1}}
    whole = lay_out_grpo(tmp_path / "whole", **args)
    expected = result(run_here(whole))
    work = lay_out_grpo(tmp_path / "work", **args)
    process = start(work)
    assert process.stdout is not None
    for line in process.stdout:
        if b'"step":5.0' in line and b'"loss"' in line:
            os.kill(process.pid, signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert (work / "state" / "checkpoint-3" / "rollouts.pt").is_file()
    events = run_here(work)
    assert any("Going on from step 3" in (event.log or "") for event in events)
    assert not any("Before training" in (event.log or "") for event in events)
    got = result(events)
    assert weights(work) == weights(whole)
    assert got["eval_losses"] == expected["eval_losses"]
    assert got["tokens"] == expected["tokens"]
    assert got["chain"] == expected["chain"]


def test_a_stopped_run_goes_on_exactly(tmp_path: Path) -> None:
    whole = lay_out_grpo(tmp_path / "whole", steps=4)
    result(run_here(whole))
    work = lay_out_grpo(tmp_path / "work", steps=4)
    asked = iter([False] + [True] * 100)
    assert run_here(work, lambda: next(asked))[-1].stopped
    assert list((work / "state").glob("checkpoint-*"))
    result(run_here(work))
    assert weights(work) == weights(whole)


def test_what_it_is_given_is_checked_before_it_trains(tmp_path: Path) -> None:
    cases = [
        ({"questions": 3, "group": 3, "minibatches": 2}, None, "9 completions, which do not make 2 equal"),
        ({"max_new_tokens": 64}, None, "max_new_tokens is 64, and max_length of 64"),
        ({"max_new_tokens": 60}, [{"prompt": "x" * 50}], "no prompt to answer"),
        ({"rewards": [{"fn": "exact"}]}, questions(2), "there is no 'answer', which the rewards look at"),
        ({"rewards": [{"fn": "nonsense"}]}, None, "no reward 'nonsense'"),
        (
            {"rewards": [{"fn": "python_file", "args": {"file": "starts.py"}}]},
            None,
            "no admin has allowed",
        ),
    ]
    for number, (args, rows, why) in enumerate(cases):
        events = run_here(lay_out_grpo(tmp_path / str(number), rows, **args))
        assert why in (events[-1].error or ""), why


def test_conversations_and_an_adapter_with_a_reference(tmp_path: Path) -> None:
    rows = [{"prompt": [{"role": "user", "content": f"say {at}"}], "letters": "etaoin"} for at in range(12)]
    work = lay_out_grpo(tmp_path / "work", rows, lora={"r": 4}, beta=0.05, steps=2, sample_prompts=["hello"])
    events = run_here(work)
    assert result(events)["adapter"] is True
    assert measured(events, "kl")[0][1] == 0.0
    shown = [event.sample for event in events if event.sample]
    assert "<|im_start|>user\nhello<|im_end|>" in shown[0]["prompt"]
    assert (work / "output" / "adapter_model.safetensors").is_file()


def test_what_reaches_trl_is_what_the_method_says(tmp_path: Path) -> None:
    from seedstock.adapt.stage import Stage
    from seedstock.adapt.train.grpo import grpo_config, sized
    from seedstock.adapt.train.plan import make_plan
    from seedstock.adapt.train.questions import order

    rewards = [{"fn": "exact"}]
    args = {
        "rewards": rewards,
        "group": 4,
        "questions": 6,
        "minibatches": 3,
        "micro_batch_size": 4,
        "beta": 0.5,
    }
    method = sized(msgspec.convert(args | {"eps": 0.3, "loss": "dr_grpo", "scale": "batch_std"}, Grpo))
    plan = make_plan(method, 40, 0)
    config = grpo_config(method, Stage(op="grpo", args={}, inputs={}), tmp_path, plan)
    assert (config.generation_batch_size, config.steps_per_generation) == (24, 6)
    assert (config.per_device_train_batch_size, config.gradient_accumulation_steps) == (4, 2)
    assert (config.beta, config.epsilon, config.epsilon_high) == (0.5, 0.3, 0.3)
    assert (config.loss_type, config.scale_rewards, config.num_generations) == ("dr_grpo", "batch", 4)
    assert config.bf16 is False
    assert config.use_cpu is True
    asked = order(5, 12, seed=3)
    assert sorted(asked[:5]) == sorted(asked[5:10]) == list(range(5))
    assert asked == order(5, 12, seed=3) != order(5, 12, seed=4)
