"""trl's trainers that learn from the model's own completions: these from our sampler, logged under our names, resumed exactly."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from trl.trainer.distillation_trainer import DistillationTrainer
from trl.trainer.grpo_trainer import GRPOTrainer

from seedstock.adapt.train.rollout import Decoding, complete, generator

ROLLOUTS = "rollouts.pt"
# What trl measures, as we name it; the rest is left out.
_NAMES = {
    "reward": "reward",
    "reward_std": "reward_std",
    "frac_reward_zero_std": "zero_variance",
    "kl": "kl",
    "entropy": "entropy",
    "clip_ratio/region_mean": "clip_ratio",
    "completions/mean_length": "length_mean",
    "completions/max_length": "length_max",
    "completions/clipped_ratio": "length_clipped",
}
PART = "reward_"
"""Before the name of a reward function: its mean, without its weight."""


class Rollouts:
    """What both trainers that learn from the model's own completions do alike."""

    def __init__(self, decoding: Decoding, seed: int, rows: int) -> None:
        self.decoding, self.seed, self.rows = decoding, seed, rows
        self.seconds = 0.0

    def __call__(self, model: Any, prompts: list[list[int]], step: int) -> list[list[int]]:
        """Completions for a step: the same in every attempt."""
        began = time.perf_counter()
        random = generator(model.device, self.seed, step)
        found = complete(model, prompts, self.decoding, random, rows=self.rows)
        self.seconds += time.perf_counter() - began
        return found


class Own:
    """A mixin for both trainers: completions by `rollouts`, and what is logged."""

    rollouts: Rollouts
    judging_s = 0.0
    _tokens_before: int | None = None

    def completions(self, prompt_ids: list[list[int]]) -> list[list[int]]:
        """What the model writes at this step."""
        self.tokens()
        trainer: Any = self
        model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
        return self.rollouts(model, prompt_ids, trainer.state.global_step)

    def tokens(self) -> int:
        """Tokens of this attempt; trl goes on counting from earlier ones."""
        trainer: Any = self
        seen = int(trainer.state.num_input_tokens_seen)
        if self._tokens_before is None:
            self._tokens_before = seen
        return seen - self._tokens_before

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Under our names, with the time of rollouts, of judging them and of learning from them apart."""
        trainer: Any = self
        found = trainer._metrics["train"]  # noqa: SLF001 - a mixin's own
        kept = {
            ours: found[theirs]
            for theirs, ours in (*_NAMES.items(), *((name, name) for name in found if name.startswith(PART)))
            if found.get(theirs)
        }
        spent = sum(found.get("step_time", []))
        if spent:
            wrote_s, judged_s = self.rollouts.seconds, self.judging_s
            kept |= {"rollout_s": [wrote_s], "train_s": [max(0.0, spent - wrote_s - judged_s)]}
            if judged_s:
                kept["judging_s"] = [judged_s]
            kept["num_tokens"] = [self.tokens()]
            self.rollouts.seconds = self.judging_s = 0.0
        found.clear()
        found.update(kept)
        trl: Any = super()
        trl.log(logs, start_time)


class GroupTrainer(Own, GRPOTrainer):
    """Learns from the rewards of groups of completions."""

    def __init__(self, *, rollouts: Rollouts, judge: Callable[..., list[float]], **arguments: Any) -> None:
        self.rollouts = rollouts
        self._judge = judge
        judged: Any = self._reward
        super().__init__(reward_funcs=[judged], **arguments)

    def _reward(self, prompts: Any, completion_ids: list[list[int]], **columns: Any) -> list[float]:
        del prompts
        began = time.perf_counter()
        totals = self._judge(columns["question"], completion_ids, columns["log_metric"])
        self.judging_s += time.perf_counter() - began
        return totals

    def _generate_single_turn(self, prompt_ids: list[list[int]], *_: Any, **__: Any) -> tuple[Any, None]:
        return self.completions(prompt_ids), None

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """With the completions that are still to be learned from, where a step left some."""
        super(GRPOTrainer, self)._save_checkpoint(model, trial)  # trl's own would write a card as well
        settings: Any = self.args
        folder = Path(settings.output_dir) / f"checkpoint-{self.state.global_step}"
        if self._step % (settings.steps_per_generation * self.num_iterations):
            torch.save({"step": self._step, "inputs": self._buffered_inputs}, folder / ROLLOUTS)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        trl: Any = super()
        trl._load_optimizer_and_scheduler(checkpoint)  # noqa: SLF001 - ours to extend
        path = Path(checkpoint, ROLLOUTS) if checkpoint else None
        if path is not None and path.is_file():
            kept = torch.load(path, map_location=self.args.device, weights_only=True)
            self._step, self._buffered_inputs = kept["step"], kept["inputs"]


class StudentTrainer(Own, DistillationTrainer):
    """Learns from what a teacher thinks of completions: the student's own, or given ones."""

    def __init__(
        self, *, rollouts: Rollouts, on_policy: float, given: list[list[int]], **arguments: Any
    ) -> None:
        self.rollouts = rollouts
        self._on_policy, self._given = on_policy, given
        self._asked: list[int] = []
        super().__init__(**arguments)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._asked = [row["question"] for row in inputs]
        found: dict[str, Any] = super()._generate_and_score_completions(inputs)
        return found

    def _generate_single_turn(self, prompt_ids: list[list[int]], *_: Any, **__: Any) -> Any:
        random = generator("cpu", self.rollouts.seed, self.state.global_step, 1)
        if float(torch.rand((), generator=random)) < self._on_policy:
            return self.completions(prompt_ids)
        self.tokens()
        return [self._given[at] for at in self._asked]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super(DistillationTrainer, self)._save_checkpoint(
            model, trial
        )  # trl's own would write a card as well
