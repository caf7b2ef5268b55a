"""What a training run will do, resolved to numbers, and as the arguments of transformers' and trl's trainers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers import TrainingArguments

from seedstock.adapt.methods import Training
from seedstock.adapt.stage import Stage
from seedstock.adapt.train.model import arithmetic
from seedstock.core.errors import Invalid

MOST_EVALUATIONS = 10
# Evaluations in between may take a tenth of the time; a row is evaluated in about a third of that of learning from it.
EVALUATED_PER_TRAINED = 0.3
MOST_LOGS = 1000
SECONDS_BETWEEN_CHECKPOINTS = 120.0
_SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


class Plan(msgspec.Struct, frozen=True):
    """Numbers of steps; of the `every`s 0 is never, but for checkpoints: by the clock."""

    steps: int
    micro_batch: int
    accumulation: int
    warmup: int
    log_every: int
    eval_every: int
    save_every: int
    sample_every: int


def make_plan(method: Training, rows: int, held_out: int) -> Plan:
    """Resolve the settings of a method that goes through `rows` sequences."""
    micro = method.micro_batch_size or method.batch_size
    if method.batch_size % micro:
        raise Invalid(
            f"batch_size {method.batch_size} is not a multiple of micro_batch_size {micro}",
            hint="A step's sequences are taken in equal parts",
        )
    per_epoch = math.ceil(rows / method.batch_size)
    steps = method.steps or max(1, math.ceil(method.epochs * per_epoch))
    return Plan(
        steps=steps,
        micro_batch=micro,
        accumulation=method.batch_size // micro,
        warmup=round(method.warmup * steps),
        log_every=max(1, steps // MOST_LOGS),
        eval_every=_eval_every(method, steps, held_out),
        save_every=method.save_every,
        sample_every=method.sample_every or max(1, steps // 4),
    )


def _checkpointing(wanted: bool) -> dict[str, Any]:
    """Of activations. transformers 5.24 has a new name for it, and warns of the old one."""
    known = TrainingArguments.__dataclass_fields__
    name = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    return {name: wanted, f"{name}_kwargs": {"use_reentrant": False} if wanted else None}


def _eval_every(method: Training, steps: int, held_out: int) -> int:
    if not held_out:
        return 0
    if method.eval_every:
        return method.eval_every
    affordable = int(EVALUATED_PER_TRAINED * steps * method.batch_size / held_out)
    between = min(MOST_EVALUATIONS, max(1, affordable))
    return max(1, math.ceil(steps / (between + 1)))


def trainer_arguments(method: Training, stage: Stage, work: Path, plan: Plan) -> dict[str, Any]:
    """What every trainer is given. Defaults that change results or reach outside are written out."""
    on_cpu = stage.device == "cpu"
    return {
        "output_dir": str(work / "state"),
        "max_steps": plan.steps,
        "num_train_epochs": 1,  # `max_steps` decides
        "per_device_train_batch_size": plan.micro_batch,
        "per_device_eval_batch_size": plan.micro_batch,
        "gradient_accumulation_steps": plan.accumulation,
        "learning_rate": method.learning_rate,
        "lr_scheduler_type": _SCHEDULES[method.schedule],
        "warmup_steps": plan.warmup,
        "weight_decay": method.weight_decay,
        "max_grad_norm": method.max_grad_norm,
        "optim": "adamw_torch_fused",  # one pass over the weights: 3.6 times as fast on a CPU
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "seed": stage.seed,
        "data_seed": stage.seed,
        "use_cpu": on_cpu,
        "bf16": arithmetic(method.dtype, stage.device) == torch.bfloat16,
        "fp16": False,
        "tf32": None if on_cpu else False,
        **_checkpointing(method.gradient_checkpointing),
        "logging_strategy": "steps",
        "logging_steps": plan.log_every,
        "logging_first_step": True,
        # A loss that is no number must be seen, not averaged away.
        "logging_nan_inf_filter": False,
        # Evaluations and checkpoints are `Watch`'s: it knows when, and which are whole.
        "eval_strategy": "no",
        "save_strategy": "no",
        "save_total_limit": None,
        "save_only_model": False,
        "load_best_model_at_end": False,
        "report_to": [],
        "push_to_hub": False,
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": not on_cpu,
        "dataloader_drop_last": False,
        "remove_unused_columns": False,
        "average_tokens_across_devices": False,
        "torch_compile": False,
        "neftune_noise_alpha": None,
        "label_smoothing_factor": 0.0,
    }
