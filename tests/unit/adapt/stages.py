"""Stages laid out in folders, and run: in this process, where torch is loaded once, or in one of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants  # noqa: F401 - before a stage makes this process's environment an offline one
import msgspec
import pytest

from seedstock.adapt.methods import METHODS
from seedstock.adapt.run_stage import run_stage
from seedstock.adapt.stage import Event, Stage, write_stage
from tests.factories.tiny_llama import write_model

# Of libraries about each other.
LIBRARY_WARNINGS = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing:FutureWarning"),
]
SOURCE = Path(__file__).parents[3] / "src"
WORDS = ["the", "thing", "there", "then", "in", "12", "her", "ring", "sing", "tin"]


def conversations(count: int) -> list[dict[str, Any]]:
    """Questions whose answers follow a rule."""
    found = []
    for at in range(count):
        word = WORDS[at % len(WORDS)]
        ask = {"role": "user", "content": f"{at % 7} {word}"}
        found.append({"messages": [ask, {"role": "assistant", "content": f"{word} {word} the end"}]})
    return found


def texts(count: int) -> list[dict[str, Any]]:
    """Lines with a pattern."""
    return [{"text": " ".join([WORDS[at % len(WORDS)], "the ring"] * (1 + at % 5))} for at in range(count)]


def pairs(count: int) -> list[dict[str, Any]]:
    """The better answer always ends alike."""
    return [
        {
            "prompt": f"say {WORDS[at % 10]}",
            "chosen": f" {WORDS[at % 10]} yes",
            "rejected": f" no {at % 9} 12",
        }
        for at in range(count)
    ]


def lay_out(
    work: Path,
    op: str,
    rows: list[dict[str, Any]],
    /,
    *,
    base: Path | None = None,
    stage: dict[str, Any] | None = None,
    **args: Any,
) -> Path:
    """A stage's folder, with a tiny model for its base unless one is given."""
    method = msgspec.convert(args, METHODS[op])
    whole = msgspec.to_builtins(method)
    write_stage(work, Stage(op=op, args=whole, inputs={}, **(stage or {"seed": 5})))
    if base is None:
        write_model(work / "inputs" / "base")
    else:
        (work / "inputs" / "base").symlink_to(base)
    data = work / "inputs" / "data"
    data.mkdir()
    (data / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return work


def run_here(work: Path, stopping: Callable[[], bool] = lambda: False) -> list[Event]:
    """Run a stage in this process; its events."""
    events: list[Event] = []
    kept = dict(os.environ)
    try:
        run_stage(work, events.append, stopping)
    finally:
        os.environ.clear()
        os.environ.update(kept)
    return events


def start(work: Path, **more: Any) -> subprocess.Popen[bytes]:
    """Run a stage as the hub does."""
    return subprocess.Popen(
        [sys.executable, "-m", "seedstock.adapt.run_stage", str(work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        **more,
    )


def finished(process: subprocess.Popen[bytes]) -> list[Event]:
    """The events of a stage that runs to its end."""
    out, _ = process.communicate(timeout=240)
    return decoded(out)


def decoded(out: bytes) -> list[Event]:
    """Events from lines."""
    return [msgspec.json.decode(line, type=Event) for line in out.splitlines()]


def result(events: list[Event]) -> dict[str, Any]:
    """The figures of a run that came to its end."""
    last = events[-1]
    assert last.result is not None, (last.error, last.hint)
    return last.result
