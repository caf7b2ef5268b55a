"""Training methods on tiny models, from a stage's folder to an output that stock libraries load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from seedstock.adapt.stage import Event
from tests.factories.tiny_llama import config, write_model, write_tokenizer
from tests.unit.adapt.stages import LIBRARY_WARNINGS, conversations, lay_out, pairs, result, run_here, texts

pytestmark = LIBRARY_WARNINGS
QUICK: dict[str, Any] = {
    "steps": 20,
    "batch_size": 8,
    "learning_rate": 1e-2,
    "max_length": 64,
    "held_out": 0.2,
}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """A finished run that made an adapter."""
    work = lay_out(tmp_path_factory.mktemp("adapter") / "work", "sft", conversations(60), **QUICK)
    return work, run_here(work)


def test_an_adapter_learns_and_the_figures_say_how_sure_that_is(adapter: tuple[Path, list[Event]]) -> None:
    found = result(adapter[1])
    assert found["eval_loss_after"] < 0.6 * found["eval_loss_before"]
    assert 1 < found["eval_loss_drop_low"] < found["eval_loss_drop"] < found["eval_loss_drop_high"]
    assert found["eval_loss_drop"] == pytest.approx(found["eval_loss_before"] - found["eval_loss_after"])
    losses = found["eval_losses"]
    assert sum(losses["after"]) / sum(losses["weights"]) == pytest.approx(found["eval_loss_after"])
    assert found["eval_rows"] == len(losses["before"]) == 12
    assert found["steps"] == 20
    assert found["tokens"] > 1000
    assert found["parameters_trained"] < found["parameters"]
    assert {"torch", "transformers", "peft", "trl"} <= found["versions"].keys()
    assert found["platform"]["threads"] == "1"


def test_metrics_samples_and_progress_are_said_on_the_way(adapter: tuple[Path, list[Event]]) -> None:
    events = adapter[1]
    steps = [event.metrics for event in events if event.metrics and "loss" in event.metrics]
    assert [metrics["step"] for metrics in steps] == list(range(1, 21))
    assert {"learning_rate", "grad_norm", "tokens_per_s", "memory_mb"} <= steps[-1].keys()
    evaluated = [event.metrics["step"] for event in events if event.metrics and "eval_loss" in event.metrics]
    assert evaluated[0] == 0
    assert evaluated[-1] == 20
    assert len(evaluated) > 3
    samples = [event.sample for event in events if event.sample]
    assert samples[0]["step"] == 0
    assert samples[-1]["step"] == 20
    assert samples[0]["prompt"].endswith("<|im_start|>assistant\n")
    fractions = [event.fraction for event in events if event.fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert any("step 15 of 20" in event.message for event in events)


def test_the_adapter_folder_holds_what_the_stock_library_loads_and_nothing_else(
    adapter: tuple[Path, list[Event]],
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    work = adapter[0]
    out = work / "output"
    assert {path.name for path in out.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o644}
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (out / name).read_bytes() == (work / "inputs" / "base" / name).read_bytes()
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] is None
    base = AutoModelForCausalLM.from_pretrained(work / "inputs" / "base")
    model = PeftModel.from_pretrained(base, out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "3 ring"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    assert model.generate(**ids, max_new_tokens=4, do_sample=False).shape[1] > ids["input_ids"].shape[1]


def test_running_a_finished_stage_says_its_result_again(adapter: tuple[Path, list[Event]]) -> None:
    work, events = adapter
    again = run_here(work)
    assert len(again) == 1
    assert again[0].result == events[-1].result


def test_all_weights_are_trained_and_saved_in_the_type_of_the_base(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", dtype="BF16")
    work = lay_out(tmp_path / "work", "sft", conversations(60), base=base, lora=None, **QUICK)
    found = result(run_here(work))
    assert found["eval_loss_after"] < 0.5 * found["eval_loss_before"]
    assert found["parameters_trained"] == found["parameters"]
    with safe_open(work / "output" / "model.safetensors", "np") as weights:
        kinds = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    assert kinds == {"BF16"}
    out = {path.name for path in (work / "output").iterdir()}
    assert out == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert json.loads((work / "output" / "config.json").read_text())["dtype"] == "bfloat16"

    from transformers import AutoModelForCausalLM

    model, info = AutoModelForCausalLM.from_pretrained(work / "output", output_loading_info=True)
    assert not info["missing_keys"]
    assert model.generation_config.eos_token_id == [264, 266], "generation stops where a turn ends"


def test_equal_stages_make_equal_weights(tmp_path: Path, adapter: tuple[Path, list[Event]]) -> None:
    other = lay_out(tmp_path / "work", "sft", conversations(60), **QUICK)
    result(run_here(other))
    assert_equal_weights(adapter[0], other, "adapter_model.safetensors")


def test_another_seed_makes_other_weights(tmp_path: Path, adapter: tuple[Path, list[Event]]) -> None:
    other = lay_out(tmp_path / "work", "sft", conversations(60), stage={"seed": 6}, **QUICK)
    result(run_here(other))
    ours, theirs = (load_file(work / "output" / "adapter_model.safetensors") for work in (adapter[0], other))
    assert any(not np.array_equal(ours[name], theirs[name]) for name in ours)


def test_accumulated_micro_batches_do_what_the_whole_batch_does(
    tmp_path: Path, adapter: tuple[Path, list[Event]]
) -> None:
    other = lay_out(tmp_path / "work", "sft", conversations(60), micro_batch_size=2, **QUICK)
    found = result(run_here(other))
    assert found["resolved"]["accumulation"] == 4
    assert found["eval_loss_after"] == pytest.approx(result(adapter[1])["eval_loss_after"], rel=1e-3)


def test_packed_rows_learn(tmp_path: Path) -> None:
    work = lay_out(tmp_path / "work", "sft", conversations(80), packing=True, **(QUICK | {"batch_size": 4}))
    found = result(run_here(work))
    assert found["sequences"] < found["rows"] - found["rows_held_out"]
    assert found["eval_loss_after"] < 0.7 * found["eval_loss_before"]


def test_preferences_are_learnt(tmp_path: Path) -> None:
    work = lay_out(tmp_path / "work", "dpo", pairs(60), micro_batch_size=4, **QUICK)
    found = result(run_here(work))
    assert found["eval_loss_before"] == pytest.approx(np.log(2))
    assert found["eval_loss_drop_low"] > 0.3
    assert found["eval_reward_margin_after"] > 1
    assert found["eval_reward_accuracy_after"] > 0.9
    assert found["adapter"]


@pytest.mark.parametrize("loss", ["ipo", "hinge"])
def test_all_weights_learn_preferences_by_other_losses(tmp_path: Path, loss: str) -> None:
    work = lay_out(tmp_path / "work", "dpo", pairs(30), loss=loss, lora=None, **(QUICK | {"steps": 6}))
    events = run_here(work)
    found = result(events)
    assert found["eval_loss_before"] == pytest.approx({"ipo": 25.0, "hinge": 1.0}[loss])
    assert found["eval_loss_drop_low"] > 0
    steps = [event.metrics for event in events if event.metrics and "loss" in event.metrics]
    assert steps[0]["loss"] == pytest.approx(found["eval_loss_before"], rel=1e-3), (
        "trl and we mean the same loss"
    )


def test_an_adapter_is_trained_further(tmp_path: Path, adapter: tuple[Path, list[Event]]) -> None:
    for op, rows in (("sft", conversations(60)), ("dpo", pairs(30))):
        work = lay_out(tmp_path / op, op, rows, **(QUICK | {"steps": 2}))
        (work / "inputs" / "adapter").symlink_to(adapter[0] / "output")
        found = result(run_here(work))
        if op == "sft":
            assert found["eval_loss_before"] == pytest.approx(result(adapter[1])["eval_loss_after"], rel=1e-4)
        else:
            assert found["eval_loss_before"] == pytest.approx(np.log(2)), (
                "the reference is the adapter as it came"
            )
        assert [path.name for path in (work / "output").iterdir() if path.is_dir()] == []


def test_a_model_is_made_from_scratch(tmp_path: Path) -> None:
    wanted = {key: value for key, value in config().items() if key not in {"vocab_size", "eos_token_id"}}
    work = lay_out(tmp_path / "work", "pretrain", texts(80), architecture=wanted, **QUICK)
    write_tokenizer(work / "inputs" / "tokenizer", chat=None)
    found = result(run_here(work))
    assert found["eval_loss_after"] < 0.4 * found["eval_loss_before"]
    assert found["eval_loss_before"] == pytest.approx(np.log(267), rel=0.1), "random weights know nothing"
    written = json.loads((work / "output" / "config.json").read_text())
    assert written["vocab_size"] == 267
    assert written["eos_token_id"] == 264
    assert written["model_type"] == "llama"


def test_text_is_split_not_cut_when_pre_training(tmp_path: Path) -> None:
    rows = [{"text": "the ring " * 100}, {"text": "sing " * 90}]
    work = lay_out(tmp_path / "work", "pretrain", rows, **(QUICK | {"steps": 2, "batch_size": 2}))
    found = result(run_here(work))
    assert found["rows_cut"] == found["rows_left_out"] == 0
    assert found["rows_held_out"] > 1, "few documents: pieces of them are held out"


def test_training_ends_early_and_keeps_the_best(tmp_path: Path) -> None:
    settings = QUICK | {"steps": 60, "learning_rate": 0.3, "schedule": "constant", "warmup": 0.0}
    work = lay_out(tmp_path / "work", "sft", conversations(60), eval_every=2, patience=3, **settings)
    events = run_here(work)
    found = result(events)
    assert found["ended_early"]
    assert found["steps"] < 60
    said = {
        event.metrics["step"]: event.metrics["eval_loss"]
        for event in events
        if event.metrics and "eval_loss" in event.metrics and event.metrics["step"]
    }
    best = min(list(said.values())[:-1])
    assert found["eval_loss_after"] == pytest.approx(best, rel=1e-6)


def test_a_base_without_a_chat_template_gets_one(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", chat=None)
    work = lay_out(tmp_path / "work", "sft", conversations(30), base=base, **(QUICK | {"steps": 2}))
    events = run_here(work)
    result(events)
    assert any("no chat template" in (event.log or "") for event in events)
    assert "<|im_start|>" in (work / "output" / "chat_template.jinja").read_text()


def test_prompts_of_the_method_are_answered(tmp_path: Path) -> None:
    work = lay_out(
        tmp_path / "work",
        "sft",
        conversations(30),
        sample_prompts=["4 sing"],
        sample_every=2,
        **(QUICK | {"steps": 4}),
    )
    samples = [event.sample for event in run_here(work) if event.sample]
    assert [sample["step"] for sample in samples] == [0, 2, 4]
    assert samples[0]["prompt"] == "<|im_start|>user\n4 sing<|im_end|>\n<|im_start|>assistant\n"


def test_checkpointed_activations_change_nothing(tmp_path: Path, adapter: tuple[Path, list[Event]]) -> None:
    work = lay_out(tmp_path / "work", "sft", conversations(60), gradient_checkpointing=True, **QUICK)
    result(run_here(work))
    assert_equal_weights(adapter[0], work, "adapter_model.safetensors")


def assert_equal_weights(one: Path, other: Path, name: str) -> None:
    ours, theirs = (load_file(work / "output" / name) for work in (one, other))
    assert ours.keys() == theirs.keys()
    for tensor in ours:
        assert np.array_equal(ours[tensor], theirs[tensor]), tensor
