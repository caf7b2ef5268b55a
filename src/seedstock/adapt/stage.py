"""What a stage is: one operation with every argument written out, over folders of inputs, that leaves a folder.

A stage is run by `python -m seedstock.adapt.run_stage WORK` in a process of its own, which reads WORK and nothing else:

    WORK/stage.json        the Stage
    WORK/inputs/<name>/    what each input holds: a model, an adapter, a dataset (read-only; may be links)
    WORK/script/           of a `script` stage, its file
    WORK/state/            checkpoints; survives an attempt that was killed
    WORK/output/           the result; comes into being whole, by rename

It says what happens in JSON lines on its standard output (`Event`); anything it prints otherwise goes to standard error.
Asked to stop by SIGTERM, it saves its state and says `stopped`. Run again on the same WORK, it goes on from there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

STAGE_FILE = "stage.json"
LESS_MEMORY = (
    "use a smaller micro_batch_size or max_length, turn gradient_checkpointing on, train a LoRA adapter instead of "
    "all weights, or let jobs take more: SEEDSTOCK_ADAPT_MEMORY_BYTES"
)
"""What to do about a stage that needs more memory than it may have."""


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One operation. Equal stages over equal inputs make equal outputs, on one platform class."""

    op: str
    """A key of `methods.METHODS`."""
    args: dict[str, Any]
    """All of the method's arguments, none left to a default."""
    inputs: dict[str, str]
    """Role (`base`, `adapter`, `data`, `prompts`, `teacher`, ...) to the digest of its content."""
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    """`cpu` or `cuda`."""
    memory_bytes: int | None = None
    """What the process was allowed, for its message when that is too little."""
    checkpoints: int = 2
    """The newest that stay in the state; 0: all, for spot checks."""
    checkpoint_bytes: int | None = None
    """With `checkpoints` 0: what all may take together; where they take more, they are thinned evenly."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of what a stage says; just one of the first six is set."""

    log: str | None = None
    metrics: dict[str, float] | None = None
    """Always with `step`; then what the method measures: `loss`, `eval_loss`, `reward`, `kl`, `tokens_per_s` ..."""
    sample: dict[str, Any] | None = None
    """`step`, `prompt` and `text` of something generated during training."""
    result: dict[str, Any] | None = None
    """The end: figures of the whole run, for the record and the card."""
    error: str | None = None
    """The end: what went wrong, in one line."""
    stopped: bool = False
    """The end: it was asked to stop and has saved its state."""
    hint: str | None = None
    """With `error`: what to do."""
    again: bool = False
    """With `error`: what stood in the way may pass, and another attempt goes on from the last checkpoint."""
    fraction: float | None = None
    """May come with any of them: how far it is, 0 to 1."""
    message: str = ""
    """With `fraction`: what it is at."""


def write_stage(work: Path, stage: Stage) -> None:
    """Lay out a folder for a stage; its inputs are the caller's to put in place."""
    for name in ("inputs", "state"):
        (work / name).mkdir(parents=True, exist_ok=True)
    (work / STAGE_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(stage)))


def read_stage(work: Path) -> Stage:
    """The stage that a folder was laid out for."""
    return msgspec.json.decode((work / STAGE_FILE).read_bytes(), type=Stage)


def find_stage(work: Path) -> Stage | None:
    """The stage that a folder was laid out for; None where it was not, or not to the end."""
    try:
        return read_stage(work)
    except (OSError, msgspec.MsgspecError):
        return None


class Stopped(Exception):
    """An operation was asked to stop and has saved its state; running the stage again goes on from there."""
