"""What the trainers' files have in common, by the names of transformers' TrainingArguments."""

from __future__ import annotations

import re
from typing import Any

from seedstock.adapt.located import Path
from seedstock.recipes.foreign.source import Draft

NO_EFFECT = """output_dir overwrite_output_dir log_level log_level_replica logging_steps logging_strategy logging_dir
logging_first_step report_to run_name push_to_hub hub_model_id hub_strategy hub_token hub_private_repo hub_revision
hub_model_revision save_strategy save_steps save_total_limit save_only_model disable_tqdm ddp_timeout
dataset_num_proc dataloader_num_workers dataloader_pin_memory include_tokens_per_second include_num_input_tokens_seen
resume_from_checkpoint auto_resume_from_checkpoints log_completions num_completions_to_print logging_nan_inf_filter
do_train benchmarks callbacks""".split()
NO_EFFECT_PREFIXES = ("wandb_", "mlflow_", "comet_", "use_wandb", "use_comet", "use_mlflow", "trackio_")

_PART = re.compile(r"[\[+]")
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant"}


def device_of(draft: Draft, *, is_bf16: bool) -> None:
    """Such files are written for GPUs where they ask for bfloat16; on a CPU that would be slow, and is told."""
    draft.how["dtype"] = "bfloat16" if is_bf16 else "float32"
    if is_bf16:
        draft.how |= {"device": "cuda", "cublas_workspace": ":4096:8", "tf32": False}
        draft.assume("determinism", "bfloat16 on a GPU, as the file asks; for a CPU put in cpu and float32")
    else:
        draft.assume("determinism", "float32 on a CPU with one thread")


def rows_of(draft: Draft, role: str, split: str | None, path: Path, columns: dict[str, str]) -> None:
    """What is read of the dataset in that role. Part of a split, such as `train[:10]`, cannot be named, and is told."""
    split = split or "train"
    whole = _PART.split(split, maxsplit=1)[0] or "train"
    if split != whole:
        draft.unmapped(path, f"{split[:100]!r} became {whole[:100]!r}: publish that part by itself")
    draft.args["rows"] = [{"input": role, "split": whole, "columns": columns}]


def schedule_of(draft: Draft, key: str, default: str) -> None:
    """The learning rate's course; those that we do not have become the nearest, and are told."""
    found = draft.take(key, str, default)
    draft.args["schedule"] = SCHEDULES.get(found, "cosine" if "cosine" in found else "linear")
    if found not in SCHEDULES:
        draft.unmapped((key,), f"{found!r} became {draft.args['schedule']!r}")


def steps_of(draft: Draft, *, epochs_key: str, epochs: float) -> None:
    """`max_steps` where it is given and positive, else the epochs."""
    draft.args["steps"] = max(draft.take("max_steps", int, -1), 0)
    draft.args["epochs"] = draft.take(epochs_key, float, epochs)


def warmup_of(draft: Draft) -> None:
    """A share of the steps. A number of steps is one too, where the number of steps is known."""
    ratio, steps = draft.find("warmup_ratio", float), draft.find("warmup_steps", float)
    draft.args["warmup"] = ratio or 0.0
    if not steps:
        return
    total = draft.args.get("steps", 0)
    if 0 < steps < 1:
        draft.args["warmup"] = steps
    elif 0 < steps < total:
        draft.args["warmup"] = steps / total
    else:
        draft.unmapped(("warmup_steps",), "of unknown many steps: put in warmup as a share")


def batch_of(draft: Draft, *, size_key: str, size: int) -> int:
    """Sequences an optimiser step sees on one device."""
    micro = draft.take(size_key, int, size)
    accumulated = draft.take("gradient_accumulation_steps", int, 1)
    if micro < 1 or accumulated < 1:
        raise draft.located.error((size_key,), "sizes of batches must be positive")
    draft.args["micro_batch_size"] = micro
    draft.assume(
        "args.batch_size", f"{micro} x {accumulated} on one device; times the devices that it was run on"
    )
    return micro * accumulated


def optimizer_of(draft: Draft, key: str) -> None:
    """AdamW, in whichever implementation; another one is told."""
    found = draft.find(key, str)
    if found is not None and not found.startswith("adamw_torch"):
        draft.unmapped((key,), f"{found[:40]!r} became AdamW")
    for beta in ("adam_beta1", "adam_beta2", "adam_epsilon"):
        draft.drop(beta, "AdamW's usual ones are used: 0.9, 0.999, 1e-8")


def lora_of(draft: Draft, keys: dict[str, str], *, quantised: bool) -> dict[str, Any]:
    """Low-rank settings; `keys` maps ours (r, alpha, dropout, targets) to the file's, whose defaults are peft's."""
    targets = draft.find(keys["targets"], str | list[str])  # type: ignore[arg-type]
    return {
        "r": draft.take(keys["r"], int, 8),
        "alpha": draft.take(keys["alpha"], int, 16),
        "dropout": draft.take(keys["dropout"], float, 0.0),
        "targets": targets or "all-linear",
        "quantised": quantised,
    }
