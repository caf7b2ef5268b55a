"""Supervised fine-tuning with trl's SFTTrainer, on sequences and labels of our own making."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from seedstock.adapt.methods import Sft, Training
from seedstock.adapt.stage import Event, Stage
from seedstock.adapt.train.chat import ensure_chat_template
from seedstock.adapt.train.encode import Encoded, Row, encode_row
from seedstock.adapt.train.folder import inspect_folder, settings_of, usable_length
from seedstock.adapt.train.heldout import Measured, token_losses
from seedstock.adapt.train.loop import Run, fit
from seedstock.adapt.train.model import Loaded, Say, load, make_deterministic, open_base
from seedstock.adapt.train.pack import Padding
from seedstock.adapt.train.plan import make_plan, trainer_arguments
from seedstock.adapt.train.prepare import Prepared, prepare
from seedstock.adapt.train.rows import open_rows
from seedstock.adapt.train.sampling import prompts_of, sampler


class SequenceTrainer(SFTTrainer):
    """trl's trainer, counting the tokens of packed rows that keep their batch dimension."""

    def training_step(self, model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
        """One micro-batch."""
        rows, width = inputs["input_ids"].shape
        step: Any = super().training_step
        loss = step(model, inputs, *more, **named)
        if "position_ids" in inputs:
            self._total_train_tokens += (rows - 1) * width
            self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
        return loss


def run(stage: Stage, work: Path, say: Say, stopping: Callable[[], bool]) -> dict[str, Any]:
    """Fine-tune the base on the dataset's rows."""
    method = msgspec.convert(stage.args, Sft)
    make_deterministic(stage)
    tokenizer = open_base(stage, work)
    say(Event(log="Reading the dataset", fraction=0.0))
    rows = open_rows(work, method.rows, "sft", say)
    shapes: set[str] = set()

    def encode(row: Row) -> Encoded:
        chat = "messages" in row or ("prompt" in row and not isinstance(row["prompt"], str))
        if chat and not shapes:
            ensure_chat_template(tokenizer, say)
        shapes.add("chat" if chat else "text")
        return encode_row(tokenizer, row, assistant_only=method.assistant_only_loss)

    length = usable_length(settings_of(inspect_folder(work / "inputs" / "base")), method.max_length)
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
        split_long=False,
    )
    say(Event(log="Loading the base model", fraction=0.0))
    loaded = load(stage, work, method, tokenizer=tokenizer)
    return train_on(
        stage, work, say, stopping, method, loaded, prepared, chat="chat" in shapes, length=length
    )


def train_on(
    stage: Stage,
    work: Path,
    say: Say,
    stopping: Callable[[], bool],
    method: Training,
    loaded: Loaded,
    prepared: Prepared,
    *,
    chat: bool,
    length: int,
) -> dict[str, Any]:
    """Next-token training on prepared sequences; what fine-tuning and pre-training share."""
    plan = make_plan(method, len(prepared.train), len(prepared.held_out))
    padding = Padding(loaded.tokenizer.pad_token_id)
    arguments = SFTConfig(
        **trainer_arguments(method, stage, work, plan),
        # Sequences come encoded, cut, packed and labelled.
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=length,
        packing=False,
        padding_free=False,
        completion_only_loss=False,
        assistant_only_loss=False,
        loss_type="nll",
        activation_offloading=False,
    )
    trainer = SequenceTrainer(
        model=loaded.model,
        args=arguments,
        data_collator=padding,
        train_dataset=prepared.train,
        processing_class=loaded.tokenizer,
    )

    def measure() -> Measured:
        return token_losses(trainer.model, prepared.held_out, padding, plan.micro_batch)

    prompts = prompts_of(loaded.tokenizer, method.sample_prompts, prepared.held_out, chat=chat)
    run = Run(stage, work, say, stopping, method, plan)
    result = fit(
        run,
        trainer,
        loaded,
        measure=measure if prepared.held_out else None,
        sampler=sampler(trainer.model, loaded.tokenizer, prompts, length),
    )
    return result | data_figures(prepared)


def data_figures(prepared: Prepared) -> dict[str, Any]:
    """What became of the dataset's rows."""
    return {
        "rows": prepared.rows,
        "rows_cut": prepared.cut,
        "rows_left_out": prepared.dropped,
        "rows_held_out": len(prepared.held_out),
        "sequences": len(prepared.train),
    }
