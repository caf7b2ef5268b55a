"""The best weights of a run that may stop early: kept on the disk, taken back at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from seedstock.adapt.train.checkpoints import Progress

BEST = "best.safetensors"


class Best:
    """Watches the held-out loss for a run with `patience`."""

    def __init__(self, state: Path, patience: int) -> None:
        self._path = state / BEST
        self._patience = patience

    def offer(self, model: Any, loss: float, progress: Progress, step: int) -> bool:
        """Keep the weights if they are the best yet; whether patience is at its end."""
        if progress.best_loss is None or loss < progress.best_loss:
            progress.best_loss, progress.best_step, progress.worse = loss, step, 0
            fresh = self._path.with_suffix(".new")
            save_file({name: value.detach().contiguous() for name, value in _trained(model)}, str(fresh))
            fresh.rename(self._path)
        else:
            progress.worse += 1
        return progress.worse >= self._patience

    def restore(self, model: Any, progress: Progress) -> bool:
        """Give the model its best weights back, if any were kept."""
        if progress.best_loss is None or not self._path.is_file():
            return False
        kept = load_file(str(self._path))
        with torch.no_grad():
            for name, value in _trained(model):
                value.copy_(kept[name])
        return True


def _trained(model: Any) -> list[tuple[str, torch.Tensor]]:
    """Parameters that training changes; `named_parameters` gives tied ones once."""
    return [(name, value) for name, value in model.named_parameters() if value.requires_grad]
