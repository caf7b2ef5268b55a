"""The process of a stage: killed, stopped, short of memory, and given inputs that cannot work."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from seedstock.adapt.run_stage import STOPPED_STATUS, Voice, out_of_memory
from seedstock.adapt.stage import Event, Stage, write_stage
from tests.factories.tiny_llama import config, write_model
from tests.unit.adapt.stages import (
    LIBRARY_WARNINGS,
    conversations,
    decoded,
    finished,
    lay_out,
    pairs,
    result,
    run_here,
    start,
    texts,
)

pytestmark = LIBRARY_WARNINGS
SETTINGS: dict[str, Any] = {
    "steps": 60,
    "batch_size": 4,
    "micro_batch_size": 2,
    "max_length": 64,
    "save_every": 4,
}
METHODS = {
    # Dropout draws random numbers at every step: they must go on where they were.
    "sft": (conversations(30), {"lora": {"r": 4, "dropout": 0.2}, "packing": True}),
    "dpo": (pairs(30), {"lora": None}),
}


def weights(work: Path) -> dict[str, Any]:
    return load_file(next((work / "output").glob("*model.safetensors")))


@pytest.mark.parametrize("op", list(METHODS))
def test_a_killed_run_goes_on_and_ends_with_the_weights_of_one_that_was_not(tmp_path: Path, op: str) -> None:
    rows, more = METHODS[op]
    whole = lay_out(tmp_path / "whole", op, rows, **SETTINGS, **more)
    expected = result(run_here(whole))
    work = lay_out(tmp_path / "killed", op, rows, **SETTINGS, **more)
    said = _killed_after_step(work, 13)
    # What the death left half-written is not taken.
    (work / "state" / "checkpoint-999").mkdir()
    (work / "state" / "checkpoint-999" / "trainer_state.json").write_text("{")
    events = run_here(work)
    found = result(events)
    ours, theirs = weights(whole), weights(work)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert found["steps"] == expected["steps"] == 60
    assert found["tokens"] == expected["tokens"]
    assert found["eval_losses"] == expected["eval_losses"]
    assert found["chain"] == expected["chain"]
    assert [link["step"] for link in found["chain"]] == list(range(4, 61, 4))
    assert found["seconds"] > 0
    steps = [event.metrics["step"] for event in events if event.metrics and "loss" in event.metrics]
    assert steps[0] in {13.0, 17.0, 21.0}, "it went on from a checkpoint"
    assert steps == list(range(int(steps[0]), 61))
    before = [event for event in said if event.metrics and event.metrics["step"] == 0]
    again = [event for event in events if event.metrics and event.metrics["step"] == 0]
    assert len(before) == 1
    assert again == [], "what the model was before is measured once"
    assert len(list((work / "state").glob("checkpoint-*"))) == 2


def _killed_after_step(work: Path, step: int) -> list[Event]:
    process = start(work)
    assert process.stdout is not None
    said: list[Event] = []
    for line in process.stdout:
        said += decoded(line)
        metrics = said[-1].metrics or {}
        if metrics.get("step") == step and "loss" in metrics:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (work / "output").exists()
    return said


def test_a_run_that_is_asked_to_stop_saves_its_state_and_goes_on_later(tmp_path: Path) -> None:
    rows, settings = conversations(30), SETTINGS | {"save_every": 0}
    whole = lay_out(tmp_path / "whole", "sft", rows, **settings)
    result(run_here(whole))
    work = lay_out(tmp_path / "stopped", "sft", rows, **settings)
    process = start(work)
    assert process.stdout is not None
    for line in process.stdout:
        if (decoded(line)[0].metrics or {}).get("step") == 5:
            process.send_signal(signal.SIGTERM)
            break
    out, _ = process.communicate(timeout=120)
    assert process.returncode == STOPPED_STATUS
    assert decoded(out)[-1].stopped
    assert not (work / "output").exists()
    # Whatever the libraries print, `finished` finds events alone on standard output.
    found = result(finished(start(work)))
    assert found["platform"]["env.OMP_NUM_THREADS"] == "1"
    assert all(np.array_equal(value, weights(work)[name]) for name, value in weights(whole).items())


def test_a_stage_can_be_stopped_before_it_trains(tmp_path: Path) -> None:
    work = lay_out(tmp_path / "work", "sft", conversations(4), steps=2)
    assert run_here(work, stopping=lambda: True)[-1].stopped


def test_running_out_of_memory_is_said_as_such_with_what_to_change(tmp_path: Path) -> None:
    limit = 900 * 2**20
    settings = {"steps": 2, "batch_size": 64, "max_length": 512, "lora": None, "packing": True}
    long = [{"text": "the ring sing " * 60} for _ in range(400)]
    base = write_model(tmp_path / "base", max_position_embeddings=512)
    work = lay_out(tmp_path / "work", "sft", long, base=base, stage={"memory_bytes": limit}, **settings)
    process = start(work, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)))
    last = finished(process)[-1]
    assert process.returncode == 1
    assert last.error is not None
    assert "memory" in last.error
    assert "900 MiB" in last.error
    assert last.hint is not None
    assert "micro_batch_size" in last.hint


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), True),
        (RuntimeError("shapes do not match"), False),
        (OSError(2, "No such file"), False),
    ],
)
def test_want_of_memory_is_told_from_other_errors(error: Exception, is_memory: bool) -> None:
    assert out_of_memory(error) is is_memory
    wrapped = ValueError("while loading")
    wrapped.__cause__ = error
    assert out_of_memory(wrapped) is is_memory


Change = Callable[[Path], None]


def _config(**more: Any) -> Change:
    return lambda base: (base / "config.json").write_text(json.dumps(config(**more))) and None


def _text(name: str, text: str) -> Change:
    return lambda base: (base / name).write_text(text) and None


def _without(name: str) -> Change:
    return lambda base: (base / name).unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_config(hidden_size=2**20, intermediate_size=2**28), "describes"),
        (_config(num_hidden_layers=10**9), "at most"),
        (_config(num_hidden_layers=64, hidden_size=512, intermediate_size=60000), "describes"),
        (_config(num_hidden_layers=3), "lacks weights"),
        (_config(hidden_size=-4), "configuration"),
        (_config(num_attention_heads=0), "configuration"),
        (_config(vocab_size=10**30), "at most"),
        (_config(hidden_size="many"), "configuration"),
        (_config(model_type="mystery"), "does not know the architecture 'mystery'"),
        (_config(auto_map={"AutoModelForCausalLM": "evil.Model"}, model_type="evil"), "does not know"),
        (_config(quantization_config={"quant_method": "gptq"}), "quantised"),
        (_text("config.json", "[" * 100_000), "not valid"),
        (_text("model.safetensors", "no weights"), "model.safetensors"),
        (_text("tokenizer.json", "{}"), "tokenizer"),
        (
            _text("tokenizer_config.json", '{"chat_template": "{{ 1 / 0 }}", "eos_token": "<|end|>"}'),
            "chat template",
        ),
        (_without("config.json"), "config.json"),
        (_without("model.safetensors"), "safetensors"),
        (_without("tokenizer.json"), "tokenizer"),
    ],
)
def test_a_base_that_cannot_work_is_refused_in_one_line(tmp_path: Path, change: Change, words: str) -> None:
    base = write_model(tmp_path / "base")
    change(base)
    work = lay_out(tmp_path / "work", "sft", conversations(4), base=base, steps=1)
    last = run_here(work)[-1]
    assert last.error is not None
    assert words in last.error
    assert "\n" not in last.error
    assert "Error: Error" not in last.error


@pytest.mark.parametrize(
    ("op", "args", "words"),
    [
        ("sft", {"lora": {"targets": ["w_pack"]}}, "no linear modules named w_pack"),
        ("sft", {"lora": {"targets": ["lm_head"]}}, "lm_head"),
        ("sft", {"lora": {"quantised": True}}, "GPU"),
        ("sft", {"batch_size": 6, "micro_batch_size": 4}, "not a multiple"),
        ("pretrain", {"architecture": {"model_type": "llama"}, "lora": {}}, "scratch"),
        ("pretrain", {"architecture": {"model_type": "nothing"}}, "does not know"),
        ("pretrain", {"architecture": {"model_type": "llama", "hidden_size": 7}}, "architecture"),
        ("pretrain", {"architecture": {"model_type": "llama", "vocab_size": 5}}, "267 tokens"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(
    tmp_path: Path, op: str, args: dict[str, Any], words: str
) -> None:
    work = lay_out(tmp_path / "work", op, conversations(9) if op == "sft" else texts(9), **args)
    (work / "inputs" / "tokenizer").symlink_to(work / "inputs" / "base")
    last = run_here(work)[-1]
    assert last.error is not None
    assert words in last.error


def test_a_diverging_run_ends_with_an_error_and_no_output(tmp_path: Path) -> None:
    settings = {
        "learning_rate": 1.0,
        "weight_decay": 1e38,
        "max_grad_norm": 1e30,
        "lora": None,
        "warmup": 0.0,
    }
    work = lay_out(tmp_path / "work", "sft", conversations(12), steps=8, **settings)
    last = run_here(work)[-1]
    assert last.error is not None
    assert "diverged" in last.error
    assert last.hint is not None
    assert "learning_rate" in last.hint
    assert not (work / "output").exists()


def test_a_stage_that_is_not_one_is_refused(tmp_path: Path) -> None:
    for content, words in [
        (None, "cannot be read"),
        (b"{", "malformed"),
        (b'{"op": "dance", "args": {}, "inputs": {}}', "no operation 'dance'"),
        (b'{"op": "sft", "args": {"learning_rate": -1}, "inputs": {}}', "arguments of sft"),
        (b'{"op": "sft", "args": {"mystery": 1}, "inputs": {}}', "mystery"),
    ]:
        if content is not None:
            (tmp_path / "stage.json").write_bytes(content)
        last = run_here(tmp_path)[-1]
        assert last.error is not None
        assert words in last.error
    write_stage(tmp_path, Stage(op="sft", args={}, inputs={}))
    last = run_here(tmp_path)[-1]
    assert last.error is not None
    assert "no input" in last.error or "tokenizer" in last.error


def test_a_reader_who_is_gone_counts_as_a_wish_to_stop() -> None:
    reading, writing = os.pipe()
    voice = Voice(writing)
    voice(Event(log="the ring"))
    assert decoded(os.read(reading, 1000)) == [Event(log="the ring")]
    assert not voice.deaf
    os.close(reading)
    voice(Event(log="sing"))
    assert voice.deaf
    os.close(writing)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_the_process_is_light_until_it_knows_what_to_do(tmp_path: Path) -> None:
    limit = 120 * 2**20
    process = start(tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)))
    last = finished(process)[-1]
    assert last.error is not None
    assert "cannot be read" in last.error
