"""Completions judged: rewards for training, on held-out questions, and whether anything was learned at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import xxhash

from seedstock.adapt.methods import Reward
from seedstock.adapt.rewards.intervals import wilson
from seedstock.adapt.rewards.registry import Rewards
from seedstock.adapt.train.heldout import Measured
from seedstock.adapt.train.model import Loaded
from seedstock.adapt.train.policy import PART
from seedstock.adapt.train.questions import Question, said
from seedstock.adapt.train.rollout import Decoding, complete, generator

# Streams of random numbers apart from those of training, whose steps count from 0.
_MEASURING, _TRYING, _SHOWING = -1, -2, -3
_SAMPLES = 200
_MOST_PER_QUESTION = 8


class Judge:
    """The rewards of a run, applied to what a model writes."""

    def __init__(
        self, tokenizer: Any, rewards: Rewards, weights: Sequence[Reward], decoding: Decoding, seed: int
    ) -> None:
        self._tokenizer, self._rewards, self._decoding, self._seed = tokenizer, rewards, decoding, seed
        self.best = sum(max(0.0, reward.weight) for reward in weights)
        """What a completion gets that satisfies every reward."""

    def totals(
        self,
        questions: Sequence[Question],
        completions: Sequence[list[int]],
        log: Callable[[str, float], None] | None = None,
    ) -> list[float]:
        """A reward for each completion; `log` is told the mean of each function where there are several."""
        texts = [
            said(self._tokenizer, question, ids, self._decoding.ends)
            for question, ids in zip(questions, completions, strict=True)
        ]
        scored = [
            self._rewards.score(question.text, text, question.row)
            for question, text in zip(questions, texts, strict=True)
        ]
        if log is not None and len(self._rewards.names) > 1:
            for name in self._rewards.names:
                log(PART + name, sum(one.parts[name] for one in scored) / len(scored))
        return [one.total for one in scored]

    def judged(self, model: Any, questions: Sequence[Question], rows: int) -> list[float]:
        """Rewards of one completion for each question."""
        return self.totals(questions, self._written(model, questions, rows, _TRYING))

    def per_question(self, count: int) -> int:
        """Completions for each of so many held-out questions: about 200 in all."""
        return max(1, min(_MOST_PER_QUESTION, _SAMPLES // count)) if count else 0

    def measure(self, model: Any, questions: Sequence[Question], rows: int) -> Measured:
        """Held-out questions as the model is now: the loss is minus the mean reward of sampled completions.

        The random numbers are the same each time. `pass` is the share of completions that satisfy every reward,
        with its 95% Wilson interval.
        """
        each = self.per_question(len(questions))
        asked = [question for question in questions for _ in range(each)]
        totals = self.totals(asked, self._written(model, asked, rows, _MEASURING))
        passed = sum(total >= self.best - 1e-9 for total in totals)
        low, high = wilson(passed, len(totals))
        return Measured(
            losses=[-sum(totals[at : at + each]) for at in range(0, len(totals), each)],
            weights=[float(each)] * len(questions),
            more={
                "reward": sum(totals) / len(totals),
                "pass": passed / len(totals),
                "pass_low": low,
                "pass_high": high,
                "completions": float(len(totals)),
            },
        )

    def samples(self, trainer: Any, questions: Sequence[Question]) -> list[tuple[str, str]]:
        """What the model writes now, for people to read."""
        written = self._written(trainer.model, questions, len(questions), _SHOWING, trainer.state.global_step)
        return [
            (question.text, said(self._tokenizer, question, ids, self._decoding.ends))
            for question, ids in zip(questions, written, strict=True)
        ]

    def _written(self, model: Any, questions: Sequence[Question], rows: int, *stream: int) -> list[list[int]]:
        random = generator(model.device, self._seed, *stream)
        return complete(model, [question.ids for question in questions], self._decoding, random, rows=rows)


def digest(loaded: Loaded) -> str:
    """Of the weights that training changes, as they will be stored."""
    found = xxhash.xxh3_64()
    for name, value in loaded.model.named_parameters():
        if value.requires_grad:
            kept = value.detach() if loaded.is_adapter else value.detach().to(loaded.stored)
            found.update(name.encode())
            found.update(kept.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


def changed(before: str, after: str) -> bool:
    """Whether training left other weights than it found."""
    return before != after


def learned_nothing(history: Sequence[dict[str, Any]], weights_changed: bool) -> str:
    """Why a run that ended well has taught nothing; empty: it may have."""
    shares = [entry["zero_variance"] for entry in history if "zero_variance" in entry]
    if shares and min(shares) >= 1:
        return "in every group all completions got the same reward"
    if not weights_changed:
        return "the weights are what they were"
    return ""
