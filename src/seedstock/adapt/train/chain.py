"""The chain of a run's checkpoints: each link is a digest of the link before and of all that the next step depends on.

Two runs of one stage on one platform class have the same chain. Whoever holds a checkpoint can run on from it to the
next link and compare: see `adapt.spot_check`.
"""

from __future__ import annotations

import hashlib
import random
from typing import Any

import msgspec
import numpy as np
import torch

from seedstock.adapt.stage import Stage
from seedstock.adapt.train.checkpoints import Link


def first_digest(stage: Stage) -> str:
    """What a chain hangs on: the stage, less what the process was allowed."""
    known = {name: getattr(stage, name) for name in ("op", "args", "inputs", "seed", "threads", "device")}
    return hashlib.sha256(msgspec.json.encode(known, order="sorted")).hexdigest()


def next_link(before: str, step: int, model: Any, optimizer: Any) -> Link:
    """The link of this moment: weights that are trained, the optimiser's state, the generators' states."""
    digest = hashlib.sha256(f"{before} {step}".encode())
    weights = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    for part in (weights, optimizer.state_dict(), _generators()):
        _add(digest, part)
    return Link(step=step, digest=digest.hexdigest())


def _generators() -> list[Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return [random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda]


def _add(digest: Any, value: Any) -> None:
    """Nested containers, numbers and arrays, each told apart from the next; a list is as a tuple."""
    if isinstance(value, torch.Tensor):
        digest.update(f"T{value.dtype}{tuple(value.shape)}".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    elif isinstance(value, np.ndarray):
        digest.update(f"A{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, dict):
        digest.update(f"D{len(value)}".encode())
        for key in sorted(value, key=lambda key: (type(key).__name__, str(key))):
            _add(digest, key)
            _add(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(f"L{len(value)}".encode())
        for item in value:
            _add(digest, item)
    else:
        text = repr(value)
        digest.update(f"{type(value).__name__}{len(text)}:{text}".encode())
