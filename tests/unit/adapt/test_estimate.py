"""Estimates against runs that were measured, and how they move with the settings."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from seedstock.adapt.estimate import Estimate, Lengths, estimate
from seedstock.adapt.machine import cpu_machine, cuda_machine, free_memory, this_machine
from seedstock.adapt.methods import Distil, Dpo, Grpo, Lora, Merge, Method, Pretrain, Reward, Sample, Sft
from seedstock.adapt.model_size import ModelSize, read_model_size, size_of_architecture
from seedstock.core.errors import Invalid, UnsupportedFormat
from tests.factories import models
from tests.factories.hf_model import config, safetensors_bytes, weights

SMOLLM2 = {
    "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
    "intermediate_size": 1536, "vocab_size": 49152, "tie_word_embeddings": True,
}  # fmt: skip
BASE = size_of_architecture(SMOLLM2)
ONE_CORE = cpu_machine(1, 24 << 30)
SHORT = Lengths(rows=1000, mean=65, longest=65)
BARE = {"batch_size": 4, "steps": 1000, "held_out": 0.0}
_REWARDS = [Reward(fn="exact")]
# Prompts of that run were two worked examples and a question: taken for 24 to 28 tokens, which was not noted.
_SUMS = Grpo(
    lora=Lora(), rewards=_REWARDS, group=16, questions=4, max_new_tokens=4, beta=0, steps=1000, held_out=0.0
)


def per_step(found: Estimate) -> float:
    """The middle of the range, without the start."""
    return (found.seconds_low * 1.7 - 15) / found.steps


@pytest.mark.parametrize(
    ("method", "lengths", "teacher", "cpu_seconds", "peak_bytes"),
    [
        (Sft(**BARE), SHORT, None, 4.7, 2.0e9),
        (Sft(lora=None, **BARE), SHORT, None, 4.9, 3.0e9),
        (Dpo(**BARE), SHORT, None, 8.5, 2.5e9),
        (Distil(max_new_tokens=32, **BARE), Lengths(rows=1000, mean=33, longest=33), BASE, 12.3, 2.5e9),
        (_SUMS, Lengths(rows=1000, mean=24, longest=28), None, 29.7, 4.2e9),
    ],
    ids=["sft-lora", "sft-full", "dpo-lora", "distil-lora", "grpo-lora"],
)
def test_measured_runs(
    method: Method, lengths: Lengths, teacher: ModelSize | None, cpu_seconds: float, peak_bytes: float
) -> None:
    """CPU-seconds a step and peak resident memory of SmolLM2-135M, float32, one thread, AVX2."""
    found = estimate(method, BASE, lengths, ONE_CORE, teacher=teacher)
    assert 1 / 1.5 < found.memory_bytes / peak_bytes < 1.5
    assert 1 / 2.5 < per_step(found) / cpu_seconds < 2.5
    assert found.seconds_low < 15 + 1000 * cpu_seconds < found.seconds_high


def test_the_size_of_a_known_architecture() -> None:
    """134,515,008 parameters are published; norms are not counted."""
    assert BASE.parameters == 134_515_008 - 61 * 576
    assert BASE.lora_parameters(16) == 4_884_480
    assert BASE.lora_parameters(16, ["q_proj", "v_proj"]) == 30 * 16 * (576 + 576 + 576 + 192)


def test_headers_say_what_the_configuration_says(tmp_path: Path) -> None:
    settings = config("llama")
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(weights(settings), "BF16"))
    found, expected = read_model_size(tmp_path), size_of_architecture(settings)
    norms = 5 * 256
    assert (found.parameters, found.layers, found.hidden) == (expected.parameters + norms, 2, 256)
    assert (found.vocabulary, found.key_value) == (settings["vocab_size"], expected.key_value)
    assert found.lora_parameters(8) == expected.lora_parameters(8)
    assert found.activations_per_token == expected.activations_per_token


def test_gguf_headers_say_the_same(tmp_path: Path) -> None:
    state = models.llama(1, layers=2, width=64, neurons=128)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "one" / "model.safetensors").write_bytes(models.safetensors_of(state))
    (tmp_path / "two" / "x.Q4_0.gguf").write_bytes(models.gguf_of(state, "Q4_0"))
    one, two = read_model_size(tmp_path / "one"), read_model_size(tmp_path / "two")
    names = {"parameters", "layers", "hidden", "vocabulary", "key_value", "activations_per_token"}
    assert {name: getattr(one, name) for name in names} == {name: getattr(two, name) for name in names}


def test_folders_that_hold_no_language_model(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no weights"):
        read_model_size(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"x" * 40)
    with pytest.raises(UnsupportedFormat):
        read_model_size(tmp_path)
    path.write_bytes(safetensors_bytes({"conv.weight": np.zeros((4, 4), np.float32)}, "F32"))
    with pytest.raises(UnsupportedFormat, match="not those of a language model"):
        read_model_size(tmp_path)
    path.write_bytes(safetensors_bytes(weights(config("llama")), "F32"))
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(Invalid, match=r"config\.json"):
        read_model_size(tmp_path)


def test_experts_count_for_memory_but_not_for_time(tmp_path: Path) -> None:
    settings = config("llama")
    state = weights(settings)
    extra = {
        f"model.layers.0.mlp.experts.{at}.up_proj.weight": np.zeros((512, 256), np.float32) for at in range(8)
    }
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(state | extra, "F32"))
    (tmp_path / "config.json").write_text('{"num_local_experts": 8, "num_experts_per_tok": 2}')
    found = read_model_size(tmp_path)
    assert found.parameters - found.active == 6 * 512 * 256


def memory(method: Method, lengths: Lengths = SHORT, **part: int) -> int:
    return estimate(method, BASE, lengths, ONE_CORE).memory_bytes


def test_memory_follows_the_settings() -> None:
    plain = Sft(batch_size=8)
    long = Lengths(rows=1000, mean=400, longest=5000)
    assert memory(Sft(batch_size=8, micro_batch_size=1), long) < memory(plain, long)
    assert memory(Sft(batch_size=8, gradient_checkpointing=True), long) < 0.6 * memory(plain, long)
    assert memory(Sft(batch_size=8, max_length=128), long) < memory(plain, long)
    assert memory(Sft(batch_size=8, lora=None)) > memory(plain) + 12 * 120_000_000
    assert memory(plain, Lengths(rows=1000, mean=400, longest=512)) == memory(plain, long)
    assert memory(Dpo(lora=None)) > memory(Dpo()) + 4 * BASE.parameters
    logits = estimate(plain, BASE, long, ONE_CORE).parts["logits"]
    assert logits == round(8 * 512 * 49152 * 4 * 3 * 1.1)


def test_steps_and_time_follow_the_rows() -> None:
    one = estimate(Sft(held_out=0.0), BASE, SHORT, ONE_CORE)
    two = estimate(Sft(held_out=0.0, epochs=2.0), BASE, SHORT, ONE_CORE)
    assert (one.steps, two.steps) == (125, 250)
    assert two.seconds_high - 33 == pytest.approx(2 * (one.seconds_high - 33))
    assert estimate(Sft(steps=7), BASE, SHORT, ONE_CORE).steps == 7
    packed = estimate(Pretrain(max_length=650, held_out=0.0, batch_size=2), BASE, SHORT, ONE_CORE)
    assert packed.steps == 50
    assert (
        estimate(Sft(), BASE, SHORT, cpu_machine(2, 1)).seconds_high
        < 0.6 * estimate(Sft(), BASE, SHORT, ONE_CORE).seconds_high
    )
    assert estimate(Grpo(rewards=_REWARDS), BASE, SHORT, ONE_CORE).steps == 238
    assert estimate(Sft(held_out=0.5), BASE, SHORT, ONE_CORE).seconds_high > one.seconds_high / 2


def test_what_does_not_fit_is_said_with_what_to_change() -> None:
    found = estimate(Sft(lora=None), BASE, SHORT, cpu_machine(2, 2_000_000_000))
    assert not found.fits
    assert found.memory_available_bytes == 2_000_000_000
    assert sum(found.parts.values()) == found.memory_bytes
    assert "2.0 GB are free on 2 cores" in found.lines
    assert any("Train adapters" in line for line in found.lines)
    assert any("micro_batch_size" in line for line in found.lines)
    fitting = estimate(Sft(), BASE, SHORT, ONE_CORE)
    assert fitting.fits
    assert not any("Lower" in line for line in fitting.lines)


def test_sampling_generates_and_merging_is_not_estimated() -> None:
    found = estimate(Sample(per_prompt=4, batch_size=64), BASE, SHORT, ONE_CORE)
    assert found.steps == 63
    assert "gradients" not in found.parts
    assert found.parts["generation"]
    with pytest.raises(Invalid, match="merge"):
        estimate(Merge(method="linear"), BASE, SHORT, ONE_CORE)


def test_a_card_is_faster_and_holds_halves() -> None:
    card = estimate(Sft(lora=None), BASE, SHORT, cuda_machine(80 << 30))
    cpu = estimate(Sft(lora=None), BASE, SHORT, ONE_CORE)
    assert card.seconds_high < cpu.seconds_high / 5
    assert card.parts["weights"] == cpu.parts["weights"] // 2
    four_bit = estimate(Sft(lora=Lora(quantised=True)), BASE, SHORT, cuda_machine(80 << 30))
    assert four_bit.parts["weights"] < 0.2 * cpu.parts["weights"]


@pytest.mark.parametrize("value", [0, -1, "64", 1 << 40, True, 1.5])
def test_architectures_that_make_no_sense(value: object) -> None:
    with pytest.raises(Invalid, match="hidden_size"):
        size_of_architecture({"hidden_size": value})


def test_this_machine(tmp_path: Path) -> None:
    found = this_machine(threads=1)
    assert found.cores == 1
    assert found.memory_bytes > 0
    assert 1e9 < found.flops == this_machine(threads=1).flops < 1e12
    assert this_machine(memory_bytes=1000).memory_bytes == 1000
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 9 kB\nMemAvailable:   2000 kB\n")
    assert free_memory(info, tmp_path) == 2_048_000
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert free_memory(info, tmp_path) == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(info, tmp_path) == 2_048_000
    assert free_memory(tmp_path / "none", tmp_path / "none") > 1 << 20


def test_answers_are_plain_data() -> None:
    found = estimate(Sft(), BASE, SHORT, ONE_CORE)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Estimate) == found
