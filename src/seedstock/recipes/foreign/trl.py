"""YAML of trl's scripts, as Open-R1 keeps them: one flat mapping. Defaults are those of trl 1.16."""

from __future__ import annotations

from seedstock.core.errors import Invalid
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

_GRPO_LOSSES = {"dapo": "token_mean", "bnpo": "token_mean", "grpo": "sequence_mean", "dr_grpo": "dr_grpo"}
_SCALES = {"group": "group_std", "batch": "batch_std", "none": "none", "True": "group_std", "False": "none"}
# Open-R1's names for what the registry of rewards has.
_REWARDS = {"accuracy": "number", "format": "format"}
_OURS = frozenset({"exact", "number", "format", "countdown", "arithmetic"})


def read(draft: Draft, op: str | None = None) -> None:
    """Fill the draft from a file of trl's. Raises Invalid for values of the wrong type."""
    draft.op = op or _op(draft)
    readers = {"sft": _sft, "dpo": _dpo, "grpo": _grpo}
    if draft.op not in readers:
        raise Invalid(f"{draft.op!r} is no script of trl that is read", hint="sft, dpo or grpo")
    model = draft.take("model_name_or_path", str, "FILL/IN")
    revision = draft.take("model_revision", str, "main")
    draft.add_input("base", "model", model, revision, ("model_name_or_path",))
    _data(draft)
    dtypes = [draft.find(key, str) for key in ("torch_dtype", "dtype")]
    is_bf16 = draft.take("bf16", bool, "bfloat16" in dtypes)
    device_of(draft, is_bf16=is_bf16)
    draft.how["seed"] = draft.take("seed", int, 42)
    _common(draft)
    readers[draft.op](draft)
    draft.no_effect(NO_EFFECT, NO_EFFECT_PREFIXES)
    optimizer_of(draft, "optim")
    for key in ("chat_template", "eos_token", "system_prompt"):
        draft.drop(key, "prepare the data so, or publish the base with it")
    for key in ("attn_implementation", "use_liger_kernel", "use_vllm"):
        draft.drop(key, "how fast, and the last bits; the method is the same")


def _op(draft: Draft) -> str:
    keys = draft.left.keys()
    if keys & {"reward_funcs", "num_generations", "max_completion_length"}:
        return "grpo"
    return "dpo" if keys & {"beta", "rpo_alpha", "precompute_ref_log_probs"} else "sft"


def _data(draft: Draft) -> None:
    split = draft.find("dataset_train_split", str)
    column = draft.find("dataset_prompt_column", str) or "prompt"
    name = draft.take("dataset_name", str, "FILL/IN")
    role = "prompts" if draft.op == "grpo" else "data"
    draft.add_input(role, "dataset", name, None, ("dataset_name",))
    columns = {} if column == "prompt" else {"prompt": column}
    rows_of(draft, role, split, ("dataset_train_split",), columns)
    draft.drop("dataset_config", "publish that part by itself, or name its files")
    draft.drop("dataset_mixture", "one dataset a stage: publish the mixture")


def _common(draft: Draft) -> None:
    steps_of(draft, epochs_key="num_train_epochs", epochs=3.0)
    schedule_of(draft, "lr_scheduler_type", "linear")
    warmup_of(draft)
    draft.number("weight_decay", "weight_decay", 0.0)
    draft.number("max_grad_norm", "max_grad_norm", 1.0)
    draft.args["gradient_checkpointing"] = draft.take("gradient_checkpointing", bool, True)
    draft.no_effect(["gradient_checkpointing_kwargs", "per_device_eval_batch_size"])
    if draft.take("use_peft", bool, False):
        keys = {
            "r": "lora_r",
            "alpha": "lora_alpha",
            "dropout": "lora_dropout",
            "targets": "lora_target_modules",
        }
        draft.args["lora"] = lora_of(draft, keys, quantised=draft.take("load_in_4bit", bool, False))
    else:
        draft.args["lora"] = None
    if not draft.take("do_eval", bool, False) and draft.take("eval_strategy", str, "no") == "no":
        draft.args["held_out"] = 0.0


def _sft(draft: Draft) -> None:
    draft.number("learning_rate", "learning_rate", 2e-5)
    draft.args["batch_size"] = batch_of(draft, size_key="per_device_train_batch_size", size=8)
    draft.args["max_length"] = draft.take("max_length", int, draft.take("max_seq_length", int, 1024))
    draft.args["packing"] = draft.take("packing", bool, False)
    draft.args["assistant_only_loss"] = draft.take("assistant_only_loss", bool, False)


def _dpo(draft: Draft) -> None:
    draft.number("learning_rate", "learning_rate", 1e-6)
    draft.args["batch_size"] = batch_of(draft, size_key="per_device_train_batch_size", size=8)
    draft.count("max_length", "max_length", 1024)
    draft.number("beta", "beta", 0.1)
    loss = draft.take("loss_type", str, "sigmoid")
    draft.args["loss"] = loss if loss in {"sigmoid", "ipo", "hinge"} else "sigmoid"
    if draft.args["loss"] != loss:
        draft.unmapped(("loss_type",), f"{loss!r} became 'sigmoid'")


def _grpo(draft: Draft) -> None:
    draft.number("learning_rate", "learning_rate", 1e-6)
    batch = batch_of(draft, size_key="per_device_train_batch_size", size=8)
    group = draft.take("num_generations", int, 8)
    if group < 2:
        raise draft.located.error(("num_generations",), "num_generations: a group has at least two")
    draft.args |= {"group": group, "questions": max(1, batch // group), "batch_size": batch}
    if batch % group:
        draft.unmapped(
            ("num_generations",), f"a batch of {batch} is not whole groups; questions became {batch // group}"
        )
    completion = draft.take("max_completion_length", int, 512)
    draft.args["max_new_tokens"] = completion
    prompt = draft.find("max_prompt_length", int)
    draft.args["max_length"] = completion + (512 if prompt is None else prompt)
    if prompt is None:
        draft.assume("args.max_length", "512 tokens of prompt, and the completion")
    for key, name, default in (("beta", "beta", 0.0), ("epsilon", "eps", 0.2), ("temperature", "temperature", 1.0), ("top_p", "top_p", 1.0)):  # fmt: skip
        draft.number(key, name, default)
    draft.count("num_iterations", "minibatches", 1)
    loss = draft.take("loss_type", str, "dapo")
    draft.args["loss"] = _GRPO_LOSSES.get(loss, "token_mean")
    if loss not in _GRPO_LOSSES:
        draft.unmapped(("loss_type",), f"{loss!r} became 'token_mean'")
    scale = str(draft.take("scale_rewards", str | bool, "group"))  # type: ignore[arg-type]
    draft.args["scale"] = _SCALES.get(scale, "group_std")
    _rewards(draft)


def _rewards(draft: Draft) -> None:
    names = draft.take("reward_funcs", list[str], [])
    weights = draft.take("reward_weights", list[float], [1.0] * len(names))
    if len(weights) != len(names):
        raise draft.located.error(("reward_weights",), f"{len(weights)} weights for {len(names)} rewards")
    found = []
    for index, (name, weight) in enumerate(zip(names, weights, strict=True)):
        ours = _REWARDS.get(name, name)
        if ours in _OURS:
            found.append({"fn": ours, "weight": weight, "args": {}})
        else:
            draft.unmapped(("reward_funcs", index), f"the registry has no {name[:40]!r}")
    if not found:
        found = [{"fn": "exact", "weight": 1.0, "args": {}}]
        draft.assume("args.rewards", "the answer equals the column `answer`")
    draft.args["rewards"] = found
