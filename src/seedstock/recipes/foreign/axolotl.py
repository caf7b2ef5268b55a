"""Axolotl's YAML: supervised fine-tuning and DPO of one dataset."""

from __future__ import annotations

from typing import Any

from seedstock.recipes.foreign.source import Draft
from seedstock.recipes.foreign.training import (
    NO_EFFECT,
    NO_EFFECT_PREFIXES,
    batch_of,
    device_of,
    lora_of,
    optimizer_of,
    rows_of,
    schedule_of,
    steps_of,
    warmup_of,
)

_NO_EFFECT = """model_type tokenizer_type saves_per_epoch evals_per_epoch eval_steps eval_sample_packing eval_batch_size
dataset_prepared_path strict debug local_rank early_stopping_patience flash_attention xformers_attention sdp_attention
deepspeed fsdp fsdp_config eval_table_size loss_watchdog_threshold loss_watchdog_patience""".split()
# Axolotl's ways to read rows that are shapes of ours.
_SHAPES = ("chat_template", "chat_template.default", "completion", "input_output")
_KNOWN_DATA_KEYS = frozenset(
    {"path", "split", "type", "name", "field_messages", "field", "ds_type", "data_files", "revision"}
)


def read(draft: Draft) -> None:
    """Fill the draft from a file of Axolotl's. Raises Invalid for values of the wrong type."""
    draft.op = _op(draft)
    draft.add_input(
        "base",
        "model",
        draft.take("base_model", str, "FILL/IN"),
        draft.find("revision_of_model", str),
        ("base_model",),
    )
    _data(draft)
    bf16 = draft.take("bf16", bool | str, False)  # type: ignore[arg-type]
    device_of(draft, is_bf16=bf16 in (True, "true", "auto", "full"))
    draft.how["seed"] = draft.take("seed", int, 42)
    draft.number("learning_rate", "learning_rate", 2e-4)
    steps_of(draft, epochs_key="num_epochs", epochs=1.0)
    schedule_of(draft, "lr_scheduler", "cosine")
    warmup_of(draft)
    draft.args["batch_size"] = batch_of(draft, size_key="micro_batch_size", size=1)
    draft.count("sequence_len", "max_length", 512)
    draft.number("weight_decay", "weight_decay", 0.0)
    draft.number("max_grad_norm", "max_grad_norm", 1.0)
    checkpointing = draft.take("gradient_checkpointing", bool | str, False)  # type: ignore[arg-type]
    draft.args["gradient_checkpointing"] = checkpointing is not False
    draft.args["held_out"] = _held_out(draft)
    draft.args["lora"] = _lora(draft)
    if draft.op == "sft":
        draft.args["packing"] = draft.take("sample_packing", bool, False)
        draft.args["assistant_only_loss"] = not draft.take("train_on_inputs", bool, False)
    else:
        draft.args["beta"] = draft.take("rl_beta", float, draft.take("dpo_beta", float, 0.1))
        draft.args["loss"] = "sigmoid"
    draft.no_effect([*NO_EFFECT, *_NO_EFFECT], NO_EFFECT_PREFIXES)
    draft.no_effect(
        ["tf32", "fp16", "gradient_checkpointing_kwargs", "pad_to_sequence_len", "group_by_length"]
    )
    draft.drop("special_tokens", "publish the base with them")
    draft.drop("chat_template", "publish the base with it")
    optimizer_of(draft, "optimizer")


def _op(draft: Draft) -> str:
    found = draft.find("rl", str)
    if found is None:
        return "sft"
    if found not in {"dpo", "ipo"}:
        draft.unmapped(("rl",), f"{found!r} became DPO")
    return "dpo"


def _data(draft: Draft) -> None:
    datasets = draft.take("datasets", list[dict[str, Any]], [])
    if not datasets:
        draft.add_input("data", "dataset", "FILL/IN", None, ())
        return
    first = draft.located.convert(dict[str, Any], ("datasets", 0))
    split, revision = (
        first[key] if isinstance(first.get(key), str) else None for key in ("split", "revision")
    )
    more: dict[str, Any] = {}
    files = first.get("data_files")
    if files is not None:
        found = draft.located.convert(str | list[str], ("datasets", 0, "data_files"))  # type: ignore[arg-type]
        more["files"] = [found] if isinstance(found, str) else found
    messages = first.get("field_messages")
    columns = {"messages": messages} if isinstance(messages, str) and messages != "messages" else {}
    rows_of(draft, "data", split, ("datasets", 0, "split"), columns)
    path = draft.located.convert(str, ("datasets", 0, "path"))
    draft.add_input("data", "dataset", path, revision, ("datasets", 0), **more)
    _tell_data(draft, first, len(datasets))


def _tell_data(draft: Draft, first: dict[str, Any], count: int) -> None:
    """What of the datasets is not in the recipe."""
    if "type" in first and first["type"] not in _SHAPES:
        draft.unmapped(("datasets", 0, "type"), "rows must be messages, prompt and completion, or text")
    for key in sorted(first.keys() - _KNOWN_DATA_KEYS):
        draft.unmapped(("datasets", 0, key), "a recipe has nothing like it")
    if "name" in first:
        draft.unmapped(("datasets", 0, "name"), "publish that part by itself, or name its files")
    for index in range(1, count):
        draft.unmapped(("datasets", index), "one dataset a stage: publish the mixture")


def _held_out(draft: Draft) -> float:
    size = draft.take("val_set_size", float, 0.0)
    if size < 1:
        return max(size, 0.0)
    draft.unmapped(("val_set_size",), "a number of rows: put in held_out as a share")
    return 0.0


def _lora(draft: Draft) -> dict[str, Any] | None:
    adapter = draft.find("adapter", str)
    four, eight = (draft.take(key, bool, False) for key in ("load_in_4bit", "load_in_8bit"))
    linear = draft.take("lora_target_linear", bool, False)
    if adapter not in {"lora", "qlora"}:
        if adapter is not None:
            draft.unmapped(("adapter",), f"{adapter!r} became a change of all weights")
        draft.no_effect(["lora_r", "lora_alpha", "lora_dropout", "lora_target_modules"])
        return None
    if eight:
        draft.unmapped(("load_in_8bit",), "the base is in 4 bits or not quantised")
    keys = {"r": "lora_r", "alpha": "lora_alpha", "dropout": "lora_dropout", "targets": "lora_target_modules"}
    found = lora_of(draft, keys, quantised=four or adapter == "qlora")
    return found | {"targets": "all-linear"} if linear else found
