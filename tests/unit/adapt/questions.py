"""Questions that a tiny model can learn to answer, and how it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seedstock.adapt.stage import Event
from tests.unit.adapt.stages import lay_out

# A random tiny model begins a few of a hundred completions like this, and learns to in a few steps.
EASY: dict[str, Any] = {
    "rewards": [{"fn": "python_file", "args": {"file": "starts.py", "allowed": True}}],
    "group": 8,
    "questions": 4,
    "steps": 16,
    "learning_rate": 1e-2,
    "lora": None,
    "warmup": 0,
    "schedule": "constant",
    "held_out": 0.25,
    "max_new_tokens": 4,
    "max_length": 64,
}
REWARD = "def reward(prompt, completion, row):\n    return float(completion[:1] in row['letters'])\n"


def questions(count: int = 40, letters: str = "etaoin") -> list[dict[str, Any]]:
    """Prompts with the letters that an answer may begin with."""
    return [{"prompt": f"say {at}", "letters": letters} for at in range(count)]


def lay_out_grpo(work: Path, rows: list[dict[str, Any]] | None = None, **args: Any) -> Path:
    """A stage that rewards completions for their first letter."""
    base, stage = args.pop("base", None), args.pop("stage", None)
    lay_out(work, "grpo", questions() if rows is None else rows, base=base, stage=stage, **EASY | args)
    (work / "inputs" / "rewards").mkdir()
    (work / "inputs" / "rewards" / "starts.py").write_text(REWARD)
    return work


def measured(events: list[Event], name: str) -> list[tuple[int, float]]:
    """A metric by step."""
    return [
        (int(event.metrics["step"]), event.metrics[name])
        for event in events
        if event.metrics and name in event.metrics
    ]


def weights(work: Path) -> bytes:
    """What the stage left."""
    folder = work / "output"
    name = "adapter_model.safetensors" if (folder / "adapter_config.json").is_file() else "model.safetensors"
    return (folder / name).read_bytes()


def kept_rows(work: Path) -> list[dict[str, Any]]:
    """The rows of a dataset that a stage wrote."""
    return [json.loads(line) for line in (work / "output" / "data.jsonl").read_text().splitlines()]
