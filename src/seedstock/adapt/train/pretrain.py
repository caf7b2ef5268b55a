"""Pre-training on plain text: continued from a base, or from scratch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from seedstock.adapt.methods import Pretrain
from seedstock.adapt.stage import Event, Stage
from seedstock.adapt.train.encode import Encoded, Row, encode_text
from seedstock.adapt.train.folder import (
    check_memory,
    described_elements,
    inspect_folder,
    settings_of,
    usable_length,
)
from seedstock.adapt.train.model import (
    Loaded,
    Say,
    from_scratch,
    load,
    load_tokenizer,
    make_deterministic,
    open_base,
)
from seedstock.adapt.train.prepare import prepare
from seedstock.adapt.train.rows import open_rows
from seedstock.adapt.train.sft import train_on
from seedstock.core.errors import Invalid


def run(stage: Stage, work: Path, say: Say, stopping: Callable[[], bool]) -> dict[str, Any]:
    """Train on the dataset's text. Long documents are split, not cut: no token is lost."""
    method = msgspec.convert(stage.args, Pretrain)
    make_deterministic(stage)
    _check(method)
    scratch, base = method.architecture, work / "inputs" / "base"
    if scratch is None:
        tokenizer = open_base(stage, work)
        length = usable_length(settings_of(inspect_folder(base)), method.max_length)
    else:
        check_memory(described_elements(scratch), stage.memory_bytes)
        tokenizer = load_tokenizer(work / "inputs" / "tokenizer")
        length = usable_length(scratch, method.max_length)

    say(Event(log="Reading the dataset", fraction=0.0))
    rows = open_rows(work, method.rows, "pretrain", say)

    def encode(row: Row) -> Encoded:
        return encode_text(tokenizer, row["text"])

    prepared = prepare(
        rows,
        encode,
        work=work,
        say=say,
        stopping=stopping,
        max_length=length,
        held_out=method.held_out,
        seed=stage.seed,
        packing=method.packing,
        split_long=True,
    )
    if scratch is None:
        say(Event(log="Loading the base model", fraction=0.0))
        loaded = load(stage, work, method, tokenizer=tokenizer)
    else:
        model = from_scratch(scratch, tokenizer, device=stage.device, seed=stage.seed)
        loaded = Loaded(model, tokenizer, work / "inputs" / "tokenizer", torch.float32)
    return train_on(stage, work, say, stopping, method, loaded, prepared, chat=False, length=length)


def _check(method: Pretrain) -> None:
    if method.architecture is not None and method.lora is not None:
        raise Invalid(
            "A model from scratch has no weights that an adapter could be added to", hint="Unset lora"
        )
