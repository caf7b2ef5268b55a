"""Direct preference optimisation with trl's DPOTrainer, on token ids of our own making.

The reference is the model as it was at the start: its base where the adapter is new, a frozen copy otherwise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from peft import PeftModel
from torch.nn import functional
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

from seedstock.adapt.methods import Dpo
from seedstock.adapt.output import write_durably
from seedstock.adapt.stage import Event, Stage
from seedstock.adapt.train.chat import ensure_chat_template
from seedstock.adapt.train.encode import IGNORED, Encoded
from seedstock.adapt.train.folder import inspect_folder, settings_of, usable_length
from seedstock.adapt.train.heldout import Measured, batches
from seedstock.adapt.train.loop import Run, fit
from seedstock.adapt.train.model import Say, load, lora_config, make_deterministic, open_base
from seedstock.adapt.train.pairs import Pair, PreparedPairs, prepare_pairs
from seedstock.adapt.train.plan import make_plan, trainer_arguments
from seedstock.adapt.train.rows import open_rows
from seedstock.adapt.train.sampling import prompts_of, sampler

REFERENCE = "reference.json"


class PreparedPairsTrainer(DPOTrainer):
    """trl's trainer, given pairs that are encoded already."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


def run(stage: Stage, work: Path, say: Say, stopping: Callable[[], bool]) -> dict[str, Any]:
    """Prefer the dataset's chosen answers to its rejected ones."""
    method = msgspec.convert(stage.args, Dpo)
    make_deterministic(stage)
    tokenizer = open_base(stage, work)
    say(Event(log="Reading the dataset", fraction=0.0))
    rows = open_rows(work, method.rows, "dpo", say)
    length = usable_length(settings_of(inspect_folder(work / "inputs" / "base")), method.max_length)
    prepared = prepare_pairs(
        rows,
        tokenizer,
        lambda: ensure_chat_template(tokenizer, say),
        work=work,
        say=say,
        stopping=stopping,
        max_length=length,
        held_out=method.held_out,
        seed=stage.seed,
    )
    say(Event(log="Loading the base model", fraction=0.0))
    loaded = load(stage, work, method, tokenizer=tokenizer, attach=False)
    plan = make_plan(method, len(prepared.train), len(prepared.held_out))
    padding = DataCollatorForPreference(pad_token_id=tokenizer.pad_token_id, max_length=length)
    continued = isinstance(loaded.model, PeftModel)
    trainer = PreparedPairsTrainer(
        model=loaded.model,
        ref_model=copy.deepcopy(loaded.model) if method.lora is None else None,
        peft_config=None if continued or method.lora is None else lora_config(method.lora),
        args=DPOConfig(
            **trainer_arguments(method, stage, work, plan),
            beta=method.beta,
            loss_type=[method.loss],
            label_smoothing=0.0,
            f_divergence_type="reverse_kl",
            max_length=length,
            truncation_mode="keep_start",
            disable_dropout=True,
            precompute_ref_log_probs=False,
            sync_ref_model=False,
            use_weighting=False,
            activation_offloading=False,
        ),
        data_collator=padding,
        train_dataset=prepared.train,
        processing_class=tokenizer,
    )
    loaded.model = trainer.model
    measure = Preferences(trainer, prepared.held_out, padding, plan.micro_batch, method, work / "state")
    shown = [Encoded(pair.prompt_ids + pair.chosen_ids, pair.labels) for pair in prepared.held_out]
    prompts = prompts_of(tokenizer, method.sample_prompts, shown, chat=prepared.chat)
    result = fit(
        Run(stage, work, say, stopping, method, plan),
        trainer,
        loaded,
        measure=measure if prepared.held_out else None,
        sampler=sampler(trainer.model, tokenizer, prompts, length),
    )
    return result | _data_figures(prepared)


def _data_figures(prepared: PreparedPairs) -> dict[str, Any]:
    return {
        "rows": prepared.rows,
        "rows_cut": prepared.cut,
        "rows_left_out": prepared.dropped,
        "rows_held_out": len(prepared.held_out),
        "sequences": 2 * len(prepared.train),
    }


class Preferences:
    """Measures the loss of held-out pairs, how often the chosen answer wins, and by how much.

    What the reference says of them is what the model says before its first step; it is kept for later attempts.
    """

    def __init__(
        self, trainer: Any, pairs: Sequence[Pair], padding: Any, size: int, method: Dpo, state: Path
    ) -> None:
        self._trainer, self._pairs, self._padding = trainer, pairs, padding
        self._size, self._method = size, method
        self._kept = state / REFERENCE

    def __call__(self) -> Measured:
        """The pairs as the model is now."""
        now = self._log_probabilities()
        if self._kept.is_file():
            reference = msgspec.json.decode(self._kept.read_bytes(), type=list[tuple[float, float]])
        else:
            reference = now
            write_durably(self._kept, msgspec.json.encode(now))
        gains = torch.tensor(now, dtype=torch.float64) - torch.tensor(reference, dtype=torch.float64)
        margins = self._method.beta * (gains[:, 0] - gains[:, 1])
        losses = self._losses(gains)
        more = {
            "reward_margin": float(margins.mean()),
            "reward_accuracy": float((margins > 0).double().mean()),
        }
        return Measured([float(loss) for loss in losses], [1.0] * len(self._pairs), more)

    def _losses(self, gains: torch.Tensor) -> torch.Tensor:
        beta = self._method.beta
        margins = beta * (gains[:, 0] - gains[:, 1])
        if self._method.loss == "sigmoid":
            return -functional.logsigmoid(margins)
        if self._method.loss == "hinge":
            return torch.relu(1 - margins)
        counts = [[len(pair.chosen_ids), len(pair.rejected_ids)] for pair in self._pairs]
        per_token = gains / torch.tensor(counts, dtype=torch.float64)
        return (per_token[:, 0] - per_token[:, 1] - 1 / (2 * beta)) ** 2

    def _log_probabilities(self) -> list[tuple[float, float]]:
        found = [(0.0, 0.0)] * len(self._pairs)
        model = self._trainer.model
        for part in batches([pair.length for pair in self._pairs], self._size):
            batch = self._padding([msgspec.structs.asdict(self._pairs[at]) for at in part])
            batch = {name: value.to(model.device) for name, value in batch.items()}
            labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, IGNORED)
            sums = model(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                labels=labels,
                use_cache=False,
                fused_lm_head=True,
            ).log_probs
            chosen, rejected = sums.float().sum(dim=1).chunk(2)
            for at, pair in zip(part, zip(chosen.tolist(), rejected.tolist(), strict=True), strict=True):
                found[at] = pair
        return found
