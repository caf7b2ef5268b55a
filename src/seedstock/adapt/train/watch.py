"""What happens beside the steps of a run: metrics, evaluations, samples, checkpoints, and stopping."""

# ruff: noqa: ARG002 - the trainer gives callbacks more than they need

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers import TrainerCallback

from seedstock.adapt.output import write_durably
from seedstock.adapt.platform_facts import platform_facts
from seedstock.adapt.stage import Event, Stage
from seedstock.adapt.train.best import Best
from seedstock.adapt.train.chain import first_digest, next_link
from seedstock.adapt.train.checkpoints import Progress, complete, keep_last, read_until, thin
from seedstock.adapt.train.facts import Spent, peak_memory_bytes
from seedstock.adapt.train.heldout import Evaluating, Measured
from seedstock.adapt.train.model import Say
from seedstock.adapt.train.plan import SECONDS_BETWEEN_CHECKPOINTS, Plan
from seedstock.core.errors import Invalid

BEFORE = "before.json"
Measure = Callable[[], Measured]
Sampler = Callable[[], list[tuple[str, str]]]
# trl's names of what it logs, and ours; the rest of what it logs goes under its own.
_NAMES = {"mean_token_accuracy": "token_accuracy"}
_LEFT_OUT = {"epoch", "num_tokens", "total_flos", "train_loss", "train_runtime"}


class Watch(TrainerCallback):
    """Called by the trainer at every step; says events and keeps the run's state."""

    def __init__(
        self,
        *,
        stage: Stage,
        say: Say,
        stopping: Callable[[], bool],
        state: Path,
        plan: Plan,
        progress: Progress,
        best: Best | None,
        measure: Measure | None,
        sampler: Sampler | None,
    ) -> None:
        self.progress = progress
        self.stopped = False
        self.ended_early = False
        self.before: Measured | None = None
        self._say, self._stopping = say, stopping
        self._state, self._plan, self._best = state, plan, best
        self._measure, self._sampler = measure, sampler
        self._stage, self._until = stage, read_until(state)
        self._spent = Spent()
        self._base = msgspec.structs.replace(progress)
        self._first_step = progress.step
        self._saved_at = self._logged_at = time.monotonic()
        self._tokens_logged = 0

    # What the trainer calls.

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Measure the model as it is, once in the life of a run."""
        kept = self._state / BEFORE
        if self._measure is not None:
            if kept.is_file():
                self.before = msgspec.json.decode(kept.read_bytes(), type=Measured)
            else:
                self.before = self.measure(model)
                write_durably(kept, msgspec.json.encode(self.before))
                self._say_measured(0, self.before)
        if state.global_step == 0:
            self._say_samples(model, 0)
        self._spent_before_steps = self._spent.seconds
        self._saved_at = self._logged_at = time.monotonic()

    def on_step_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, optimizer: Any = None, **kwargs: Any
    ) -> None:
        """Before the first step of a segment that is run again: is it the state that it says it is?"""
        if self._until is None or self.progress.began_as_recorded is not None:
            return
        self.progress.platform = platform_facts()
        if self._until.link is None:
            self.progress.began_as_recorded = True
            return
        before = self.progress.chain[-2].digest if len(self.progress.chain) > 1 else first_digest(self._stage)
        link = next_link(before, state.global_step, model, optimizer)
        self.progress.began_as_recorded = link.digest == self._until.link

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """After each optimiser step."""
        step, last = state.global_step, state.global_step >= state.max_steps
        self.progress.step = step
        if not last and self._due(step, self._plan.eval_every):
            self._evaluate(model, step, control)
        if self._due(step, self._plan.sample_every) or last:
            self._say_samples(model, step)
        if last or control.should_training_stop:
            return  # what is left takes less time than saving a checkpoint that nothing would go on from
        if self._at_the_end_of_its_segment(step) or self._stopping():
            self.stopped = control.should_training_stop = control.should_save = True
        elif self._until is not None:
            return
        elif self._plan.save_every:
            control.should_save = self._due(step, self._plan.save_every)
        elif time.monotonic() - self._saved_at > SECONDS_BETWEEN_CHECKPOINTS:
            control.should_save = True

    def on_save(
        self, args: Any, state: Any, control: Any, model: Any = None, optimizer: Any = None, **kwargs: Any
    ) -> None:
        """A checkpoint has been written: declare it whole, then let go of older ones.

        One that an interruption made is no link: a run that was interrupted has the chain of one that was not.
        """
        step = state.global_step
        planned = self._at_the_end_of_its_segment(step) or self._due(step, self._plan.save_every)
        if planned or not self.stopped:
            self.link(model, optimizer)
        complete(self._state / f"checkpoint-{step}", self.so_far())
        if self._stage.checkpoints:
            keep_last(self._state, self._stage.checkpoints)
        elif self._stage.checkpoint_bytes is not None:
            thin(self._state, self._stage.checkpoint_bytes)
        self._saved_at = time.monotonic()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Say what the trainer measured."""
        logs = logs or {}
        if "loss" not in logs:
            return
        step = int(state.global_step)
        if not math.isfinite(logs["loss"]):
            raise Invalid(
                f"Training diverged: the loss is {logs['loss']} at step {step}",
                hint="Use a smaller learning_rate, a longer warmup, or a smaller max_grad_norm",
            )
        now, tokens = time.monotonic(), int(logs.get("num_tokens", 0))
        fresh, took = tokens - self._tokens_logged, now - self._logged_at
        self._tokens_logged, self._logged_at = tokens, now
        self.progress.tokens = self._base.tokens + tokens
        found = {
            _NAMES.get(name, name): float(value)
            for name, value in logs.items()
            if name not in _LEFT_OUT and isinstance(value, int | float) and math.isfinite(value)
        }
        found |= {"step": float(step), "memory_mb": memory_bytes() / 1e6}
        if took > 0 and fresh:
            found["tokens_per_s"] = fresh / took
        self._say(
            Event(
                metrics=found,
                fraction=0.98 * step / state.max_steps,
                message=self._left(step, state.max_steps),
            )
        )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The last measure and the last link of the chain are no part of the training's time."""
        self._spent.stop()

    # What the method asks.

    def measure(self, model: Any) -> Measured:
        """The held-out rows as the model is now."""
        assert self._measure is not None
        with Evaluating(model):
            return self._measure()

    def link(self, model: Any, optimizer: Any) -> None:
        """Add the link of this moment to the chain."""
        chain, step = self.progress.chain, self.progress.step
        before = chain[-1].digest if chain else first_digest(self._stage)
        self.progress.chain = [*chain, next_link(before, step, model, optimizer)]

    def so_far(self) -> Progress:
        """Figures over all attempts."""
        return msgspec.structs.replace(
            self.progress,
            seconds=self._base.seconds + self._spent.seconds,
            cpu_seconds=self._base.cpu_seconds + self._spent.cpu_seconds,
        )

    def _at_the_end_of_its_segment(self, step: int) -> bool:
        return self._until is not None and step == self._until.step

    def _due(self, step: int, every: int) -> bool:
        return every > 0 and step % every == 0

    def _left(self, step: int, steps: int) -> str:
        done = step - self._first_step
        left = (self._spent.seconds - self._spent_before_steps) / max(1, done) * (steps - step)
        return f"step {step} of {steps}" + (f", {_duration(left)} left" if done > 1 and left >= 1 else "")

    def _evaluate(self, model: Any, step: int, control: Any) -> None:
        if self._measure is None:
            return
        measured = self.measure(model)
        self._say_measured(step, measured)
        if self._best is None:
            return
        if self._best.offer(model, measured.mean, self.progress, step):
            control.should_training_stop = self.ended_early = True
            self._say(
                Event(log=f"Stopping early: no better eval_loss than at step {self.progress.best_step}")
            )

    def _say_measured(self, step: int, measured: Measured) -> None:
        more = {f"eval_{name}": value for name, value in measured.more.items()}
        self._say(Event(metrics={"step": float(step), "eval_loss": measured.mean, **more}))

    def _say_samples(self, model: Any, step: int) -> None:
        if self._sampler is None:
            return
        with Evaluating(model):
            for prompt, text in self._sampler():
                self._say(Event(sample={"step": step, "prompt": prompt, "text": text}))


def memory_bytes() -> int:
    """Peak memory on the device that trains."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_memory_bytes()


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
