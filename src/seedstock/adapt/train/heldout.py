"""Held-out rows: which they are, what the model loses on each, and how sure a difference is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import torch

from seedstock.adapt.train.encode import IGNORED, Encoded
from seedstock.adapt.train.pack import Padding

MOST_ROWS = 200
_RESAMPLES = 4000


class Measured(msgspec.Struct, frozen=True):
    """What was measured on held-out rows, a number for each row."""

    losses: list[float]
    """Summed over what the row is judged by: its tokens, or itself."""
    weights: list[float]
    more: dict[str, float] = {}
    """Means of what else the method measures."""

    @property
    def mean(self) -> float:
        """Loss per unit of weight, as training reports it."""
        return sum(self.losses) / sum(self.weights)


def choose(rows: int, share: float, seed: int) -> list[int]:
    """The rows that are held out: the same for the same seed, at most `MOST_ROWS`, and never all."""
    if not share or rows < 2:
        return []
    count = min(MOST_ROWS, max(1, round(rows * share)), rows - 1)
    return sorted(int(at) for at in np.random.default_rng(seed).permutation(rows)[:count])


def token_losses(model: Any, rows: Sequence[Encoded], padding: Padding, size: int) -> Measured:
    """Negative log-likelihood of each row's labelled tokens, `size` rows at a time, in trl's fused forward."""
    losses, weights = [0.0] * len(rows), [0.0] * len(rows)
    for part in batches([len(row.input_ids) for row in rows], size):
        batch = padding([msgspec.structs.asdict(rows[at]) for at in part])
        batch = {name: value.to(model.device) for name, value in batch.items()}
        found = model(**batch, use_cache=False, fused_lm_head=True).log_probs.float().sum(dim=1)
        counts = (batch["labels"][:, 1:] != IGNORED).sum(dim=1)
        for at, loss, count in zip(part, found.tolist(), counts.tolist(), strict=True):
            losses[at], weights[at] = -loss, float(count)
    return Measured(losses, weights)


def batches(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Rows of like length together, so that little is padded."""
    order = sorted(range(len(lengths)), key=lambda at: (lengths[at], at))
    return [order[at : at + size] for at in range(0, len(order), size)]


class Evaluating:
    """Puts a model into evaluation, without gradients, and back."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._was = model.training
        self._no_grad = torch.no_grad()

    def __enter__(self) -> None:
        self._model.eval()
        self._no_grad.__enter__()

    def __exit__(self, *reason: object) -> None:
        self._no_grad.__exit__(*reason)
        self._model.train(self._was)


def drop(before: Measured, after: Measured) -> dict[str, float]:
    """How far the loss fell, with a 95% interval: rows are drawn anew, before and after of a row together."""
    fell = np.array(before.losses) - np.array(after.losses)
    weights = np.array(before.weights)
    found = {"eval_loss_drop": float(fell.sum() / weights.sum())}
    if len(fell) > 1:
        drawn = np.random.default_rng(0).integers(len(fell), size=(_RESAMPLES, len(fell)))
        means = fell[drawn].sum(axis=1) / weights[drawn].sum(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        found |= {"eval_loss_drop_low": float(low), "eval_loss_drop_high": float(high)}
    return found
