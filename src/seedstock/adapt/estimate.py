"""Will it fit, and how long will it take: from headers, settings and lengths alone, before anything is loaded.

Constants come from runs of SmolLM2-135M in float32 on one core of an AVX2 server (the tests hold the estimate against
them); `machine.this_machine` scales them to the processor at hand.
"""

from __future__ import annotations

import math

import msgspec

from seedstock.adapt.machine import Machine
from seedstock.adapt.methods import Distil, Dpo, Grpo, Merge, Method, Pretrain, Sample, Sft, Training
from seedstock.adapt.model_size import ModelSize
from seedstock.core.errors import Invalid

LIBRARIES_BYTES = 550_000_000
"""A process that has imported torch, transformers, peft and trl: 0.50 GB measured, and what the rows take."""
CUDA_BYTES = 600_000_000
_HEADROOM = 1.1
"""The allocator's share, over what is counted here."""
_LOGIT_COPIES = 3
"""Logits, their log-softmax and their gradient, in float32, live at once."""
_ADAPTER_COPIES = 1.2
"""Adapters keep what they add beside what the base makes: 0.25 GB more of 1.1 GB, measured."""
_DECODE_WASTE = 1.75
"""Generation of a batch takes this much longer than the arithmetic of its forward passes."""
_START_S = 15.0
"""Imports and loading."""
_QUICKEST, _SLOWEST = 1 / 1.7, 2.2
_MAX_HELD_OUT = 200


class Lengths(msgspec.Struct, frozen=True, kw_only=True):
    """Of the rows, in tokens, as `preview` counts them; for GRPO, distillation and sampling: of the prompts."""

    rows: int
    mean: float
    longest: int


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """The answer; `lines` explain it, the largest part of the memory first."""

    memory_bytes: int
    memory_available_bytes: int
    fits: bool
    seconds_low: float
    seconds_high: float
    steps: int
    parts: dict[str, int]
    """Memory by what it is for."""
    lines: tuple[str, ...]


class _Load(msgspec.Struct, frozen=True, kw_only=True):
    """What a method asks for, in tokens."""

    steps: int
    micro_tokens: int
    """In the largest forward pass that keeps activations."""
    logit_tokens: int
    forward_backward: float
    """Tokens trained on in a step."""
    forward: float = 0
    """Tokens only looked at in a step: by a reference, a teacher, or reading prompts."""
    writes: float = 0
    """Tokens generated one after the other in a step."""
    writers: int = 1
    """Sequences generated at a time."""
    evaluated: float = 0
    """Tokens looked at in all evaluations."""


def estimate(
    method: Method, base: ModelSize, lengths: Lengths, machine: Machine, *, teacher: ModelSize | None = None
) -> Estimate:
    """Estimate a run of `method`. Raises Invalid for a merge, which needs no training's memory."""
    load = _load(method, lengths)
    parts = _memory(method, base, load, machine, teacher)
    needed = round(sum(parts.values()))
    seconds = _START_S + _seconds(method, base, load, machine, teacher)
    fits = needed <= machine.memory_bytes
    return Estimate(
        memory_bytes=needed,
        memory_available_bytes=machine.memory_bytes,
        fits=fits,
        seconds_low=seconds * _QUICKEST,
        seconds_high=seconds * _SLOWEST,
        steps=load.steps,
        parts=parts,
        lines=tuple(_explain(method, base, load, parts, fits, machine)),
    )


def _load(method: Method, lengths: Lengths) -> _Load:
    if isinstance(method, Sample):
        return _sample_load(method, lengths)
    if isinstance(method, Merge):
        raise Invalid("A merge is not training: its memory is that of its largest tensors")
    if isinstance(method, Grpo):
        return _grpo_load(method, lengths)
    return _supervised_load(method, lengths)


def _supervised_load(method: Sft | Pretrain | Dpo | Distil, lengths: Lengths) -> _Load:
    packed = isinstance(method, Sft | Pretrain) and method.packing
    extra = method.max_new_tokens if isinstance(method, Distil) else 0
    mean = min(lengths.mean + extra, method.max_length)
    longest = method.max_length if packed else min(lengths.longest + extra, method.max_length)
    sequences = lengths.rows * mean / longest if packed else lengths.rows
    mean = longest if packed else mean
    answers = 2 if isinstance(method, Dpo) else 1
    micro = (method.micro_batch_size or method.batch_size) * answers
    tokens = method.batch_size * answers * mean
    judged = tokens if isinstance(method, Dpo | Distil) else 0
    written = method.batch_size * extra * (method.on_policy if isinstance(method, Distil) else 0)
    return _Load(
        steps=_steps(method, sequences, method.batch_size),
        micro_tokens=round(micro * longest),
        logit_tokens=round(micro * longest),
        forward_backward=tokens,
        forward=judged + (tokens if written else 0),
        writes=written,
        writers=method.batch_size,
        evaluated=_evaluated(method, sequences, mean * answers),
    )


def _grpo_load(method: Grpo, lengths: Lengths) -> _Load:
    batch = method.questions * method.group
    micro = method.micro_batch_size or batch
    prompt = min(lengths.mean, method.max_length)
    whole = min(lengths.longest, method.max_length) + method.max_new_tokens
    tokens = batch * (prompt + method.max_new_tokens)
    return _Load(
        steps=_steps(method, lengths.rows, method.questions),
        micro_tokens=round(micro * whole),
        logit_tokens=micro * (method.max_new_tokens + 1),
        forward_backward=tokens,
        forward=batch * prompt + (tokens if method.beta else 0) + (tokens if method.minibatches > 1 else 0),
        writes=batch * method.max_new_tokens,
        writers=batch,
    )


def _sample_load(method: Sample, lengths: Lengths) -> _Load:
    answers = lengths.rows * method.per_prompt
    steps = max(1, math.ceil(answers / method.batch_size))
    return _Load(
        steps=steps,
        micro_tokens=0,
        logit_tokens=method.batch_size,
        forward_backward=0,
        forward=method.batch_size * lengths.mean,
        writes=method.batch_size * method.max_new_tokens,
        writers=method.batch_size,
    )


def _steps(method: Training, sequences: float, batch: int) -> int:
    trained = sequences * (1 - method.held_out)
    return method.steps or max(1, math.ceil(trained * method.epochs / batch))


def _evaluated(method: Training, sequences: float, mean: float) -> float:
    held_out = min(_MAX_HELD_OUT, sequences * method.held_out)
    times = (
        12 if not method.eval_every else _steps(method, sequences, method.batch_size) // method.eval_every + 2
    )
    return times * held_out * mean


def _memory(
    method: Method, base: ModelSize, load: _Load, machine: Machine, teacher: ModelSize | None
) -> dict[str, int]:
    lora = method.lora if isinstance(method, Training) else None
    weight = 0.6 if lora and lora.quantised else machine.element_bytes
    trained = base.lora_parameters(lora.r, lora.targets) if lora else base.parameters
    trained = trained if isinstance(method, Training) else 0
    per_token = base.activations_per_token
    if isinstance(method, Training) and method.gradient_checkpointing:
        per_token = base.layers * base.hidden + per_token // max(base.layers, 1)
    # A reference model is the base below the adapters, or a copy where all weights are trained.
    copies = (
        2
        if lora is None and isinstance(method, Dpo | Grpo) and (isinstance(method, Dpo) or method.beta)
        else 1
    )
    cache = 2 * base.layers * (base.key_value or base.hidden) * load.writers if load.writes else 0
    tokens = (load.micro_tokens / load.writers) if load.micro_tokens else 2048
    parts = {
        "libraries": LIBRARIES_BYTES if machine.device == "cpu" else CUDA_BYTES,
        "weights": copies * base.parameters * weight,
        "teacher": teacher.parameters * machine.element_bytes if teacher else 0,
        "gradients": trained * 4,
        "optimiser": trained * 8,
        "activations": load.micro_tokens
        * per_token
        * machine.element_bytes
        * (_ADAPTER_COPIES if lora else 1),
        "logits": load.logit_tokens * base.vocabulary * 4 * (_LOGIT_COPIES if load.micro_tokens else 2),
        "generation": cache * tokens * machine.element_bytes,
    }
    # What is generated is gone before what was generated is learnt from: the larger of the two counts.
    smaller = "generation" if parts["generation"] < parts["activations"] else "activations"
    parts[smaller] = 0
    return {
        name: round(size * (1 if name == "libraries" else _HEADROOM)) for name, size in parts.items() if size
    }


def _seconds(
    method: Method, base: ModelSize, load: _Load, machine: Machine, teacher: ModelSize | None
) -> float:
    forward = 2 * base.active
    # Adapters spare most weights their gradient: a third of the arithmetic, of which half is lost to small matrices.
    passes = 2.5 if isinstance(method, Training) and method.lora else 3.0
    passes += isinstance(method, Training) and method.gradient_checkpointing
    judge = 2 * teacher.active if teacher else forward
    step = load.forward_backward * passes * forward + load.forward * judge
    written = load.writes / max(load.writers, 1)
    # One token for every sequence: the weights are read once, the arithmetic is done per sequence.
    one = base.active * machine.element_bytes / machine.bytes_per_s
    one += _DECODE_WASTE * load.writers * forward / machine.flops
    return load.steps * (step / machine.flops + written * one) + load.evaluated * forward / machine.flops


def _explain(
    method: Method, base: ModelSize, load: _Load, parts: dict[str, int], fits: bool, machine: Machine
) -> list[str]:
    lines = [
        f"{base.parameters / 1e6:,.0f} million parameters in {base.layers} layers, {base.vocabulary:,} tokens known",
        f"{load.steps:,} steps of {round(load.forward_backward + load.forward + load.writes):,} tokens",
        *(
            f"{size / 1e9:.2f} GB for {_WORDS[name]}"
            for name, size in sorted(parts.items(), key=lambda item: -item[1])
        ),
        f"{machine.memory_bytes / 1e9:.1f} GB are free on {machine}",
    ]
    return lines if fits else [*lines, *_advice(method, parts)]


def _advice(method: Method, parts: dict[str, int]) -> list[str]:
    """What to change, that which saves most first."""
    if not isinstance(method, Training):
        return ["Lower batch_size or max_new_tokens"]
    kept = parts.get("activations", 0) + parts.get("logits", 0)
    advice = []
    if method.lora is None and parts.get("optimiser", 0) + parts.get("gradients", 0) > kept:
        advice.append("Train adapters (lora) in place of all weights")
    if (method.micro_batch_size or method.batch_size) > 1 or isinstance(method, Grpo):
        advice.append("Lower micro_batch_size: results stay the same, steps take a little longer")
    if not method.gradient_checkpointing:
        advice.append("Turn gradient_checkpointing on: a third more time for much less memory")
    advice.append("Lower max_length, or take a smaller base")
    return advice


_WORDS = {
    "libraries": "the libraries",
    "weights": "the weights",
    "teacher": "the teacher's weights",
    "gradients": "gradients",
    "optimiser": "the optimiser's two moments",
    "activations": "activations kept for the backward pass",
    "logits": "logits (vocabulary x tokens in memory)",
    "generation": "keys and values during generation",
}
