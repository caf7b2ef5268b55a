"""The card of a variant, written from what was really done: parents at their commits, data, settings, measures, licence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from seedstock.variants.pedigree import Pedigree
from seedstock.variants.plan import Input, Plan

_METHODS = {
    "sft": "supervised fine-tuning",
    "pretrain": "next-token training",
    "dpo": "direct preference optimisation (DPO)",
    "grpo": "reinforcement learning with verifiable rewards (GRPO)",
    "distil": "on-policy distillation",
    "distil_traces": "distillation from a teacher's kept answers",
    "merge": "merging",
}
_FIGURES = (
    # key, what it is, keys of a 95 % interval
    ("eval_loss_before", "Held-out loss before", None),
    ("eval_loss_after", "Held-out loss after", None),
    ("eval_loss_drop", "Held-out loss fell by", ("eval_loss_drop_low", "eval_loss_drop_high")),
    ("eval_reward_before", "Held-out reward before", None),
    ("eval_reward_after", "Held-out reward after", None),
    ("eval_pass_before", "Right answers before", ("eval_pass_low_before", "eval_pass_high_before")),
    ("eval_pass_after", "Right answers after", ("eval_pass_low_after", "eval_pass_high_after")),
    ("eval_reward_accuracy_before", "Preferred the chosen answer before", None),
    ("eval_reward_accuracy_after", "Preferred the chosen answer after", None),
    ("eval_rows", "Held-out rows", None),
    ("pass", "Answers that the rewards accept", ("pass_low", "pass_high")),
    ("completions", "Answers", None),
    ("kept", "Answers kept", None),
    ("steps", "Optimiser steps", None),
    ("tokens", "Tokens trained on", None),
    ("tensors", "Tensors", None),
    ("seconds", "Duration, s", None),
)
_OF_REWARDS = {"eval_loss_before", "eval_loss_after", "eval_loss_drop"}
"""Where a method is judged by its rewards, their negative under another name."""
_INHERITED = ("language", "pipeline_tag")
_MAX_LISTED = 60


class CardFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All that a card says."""

    name: str
    method: str
    plan: Plan
    relation: str | None
    pedigree: Pedigree
    base_card: Mapping[str, Any]
    results: Mapping[str, Mapping[str, Any]]
    """What each stage measured."""
    files: Sequence[str]
    adapter: bool
    note: str


def write_card(facts: CardFacts) -> str:
    """README.md of the variant."""
    lines = ["---", *_front(facts), "---", "", f"# {facts.name}", "", _summary(facts), ""]
    if facts.note:
        lines += [_quoted(facts.note), ""]
    lines += ["## What it is built on", "", *_inputs(facts.plan), ""]
    lines += _figures(facts.results)
    lines += ["## How it was made", ""]
    for stage in facts.plan.stages:
        lines += [f"### {stage.name}: `{stage.op}`", "", *_settings(stage.args), ""]
    lines += [_ending(facts), ""]
    lines += _licence(facts.pedigree)
    return "\n".join(lines).rstrip() + "\n"


def _front(facts: CardFacts) -> list[str]:
    front: dict[str, Any] = dict(facts.pedigree.front)
    front |= {key: facts.base_card[key] for key in _INHERITED if facts.base_card.get(key)}
    front.setdefault("pipeline_tag", "text-generation")
    front["library_name"] = "peft" if facts.adapter else "transformers"
    models = [found.repo for role, found in facts.plan.inputs.items() if _is_parent(role, found)]
    if models:
        unique = list(dict.fromkeys(models))
        front["base_model"] = unique[0] if len(unique) == 1 else unique
    if facts.relation:
        front["base_model_relation"] = facts.relation
    datasets = [found.repo for found in facts.plan.inputs.values() if found.kind == "dataset"]
    if datasets:
        front["datasets"] = list(dict.fromkeys(datasets))
    tags = [facts.method.replace("_", "-")] + (["lora"] if facts.adapter else [])
    front["tags"] = tags + (["merge"] if facts.method == "merge" and "merge" not in tags else [])
    return [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()]


def _is_parent(role: str, found: Input) -> bool:
    """Whether weights come from it: a teacher gives answers, a tokenizer words."""
    return found.kind == "model" and role not in {"teacher", "tokenizer"}


def _summary(facts: CardFacts) -> str:
    parents = [found for role, found in facts.plan.inputs.items() if _is_parent(role, found)]
    names = ", ".join(f"[{found.repo}](/{found.repo})" for found in parents)
    what = "A low-rank adapter of" if facts.adapter else "A variant of"
    begin = f"{what} {names}" if parents else "A model trained from scratch"
    return f"{begin}, made by {_METHODS[facts.method]} on this hub. All inputs are pinned; `recipe.toml` makes it again."


def _inputs(plan: Plan) -> list[str]:
    lines = ["| | repository | commit | content |", "|---|---|---|---|"]
    for role, found in plan.inputs.items():
        path = f"datasets/{found.repo}" if found.kind == "dataset" else found.repo
        lines.append(
            f"| {role} | [{found.repo}](/{path}/tree/{found.commit}) | `{found.commit}` | `{found.digest[:19]}` |"
        )
    return lines


def _figures(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = []
    for name, result in results.items():
        skipped = _OF_REWARDS if "eval_reward_after" in result else ()
        rows = [
            f"| {label} | {_number(result[key])}{_interval(result, ends)} |"
            for key, label, ends in _FIGURES
            if isinstance(result.get(key), int | float) and key not in skipped
        ]
        if rows:
            lines += [f"## Measured in {name}", "", "| | |", "|---|---|", *rows, ""]
    return lines


def _interval(result: Mapping[str, Any], ends: tuple[str, str] | None) -> str:
    found = [result.get(end) for end in ends or ()]
    if not found or not all(isinstance(end, int | float) for end in found):
        return ""
    return f" (95 %: {_number(found[0])} to {_number(found[1])})"  # type: ignore[arg-type]


def _number(value: float) -> str:
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.4g}"


def _settings(args: Mapping[str, Any]) -> list[str]:
    rows = [(key, value) for key, value in args.items() if value not in ([], {}, None, "")]
    table = [f"| `{key}` | `{_code(value)}` |" for key, value in rows[:_MAX_LISTED]]
    return ["| setting | value |", "|---|---|", *table]


def _code(value: Any) -> str:
    """A value that ends neither the code nor the cell it stands in."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() and letter not in "`|" else "_" for letter in text)[:300]


def _ending(facts: CardFacts) -> str:
    run = f"Seed {facts.plan.seed}, threads: {facts.plan.threads}, device {facts.plan.device}."
    return (
        f"{run} `run-record.dsse.json` is the signed record of this run: `seedstock verify-record` reads it."
    )


def _licence(pedigree: Pedigree) -> list[str]:
    if not pedigree.duties and not pedigree.warnings:
        return []
    lines = ["## What the licences above ask", "", *(f"- {duty}" for duty in pedigree.duties)]
    lines += [f"- **To check:** {warning}" for warning in pedigree.warnings]
    return [*lines, ""]


def _quoted(note: str) -> str:
    """Free text as it was written, without a line that could end or begin a part of the card."""
    return "\n".join(f"> {line}" for line in note.splitlines())
