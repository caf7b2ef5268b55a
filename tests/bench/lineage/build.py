"""Builds the families into .cache/lineage/<digest of what makes them>. Runs in the environment that has torch.

`python -m tests.bench.lineage.build` prints the folder. A family whose manifest is there is complete and is kept;
trained weights are kept by the digest of what they were trained from, so that a new label does not train anew.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tests.bench.lineage import labels, smollm2_family, toy_families
from tests.bench.lineage.family import Trainer
from tests.bench.lineage.shapes import Shape, Weights

CACHE = Path(__file__).parents[3] / ".cache"
_HERE = Path(__file__).parent
_TRAINING = ("shapes.py", "corpus.py", "torch_training.py")
_MAKERS = (
    *_TRAINING, "variants.py", "kquants.py", "files.py", "labels.py", "family.py", "toy_families.py",
    "smollm2_family.py",
)  # fmt: skip


def digest(names: tuple[str, ...]) -> str:
    """Of the sources that decide what is built."""
    state = hashlib.sha256()
    for name in names:
        state.update((_HERE / name).read_bytes())
    return state.hexdigest()[:16]


def folder() -> Path:
    """Where the families of this version of the generator are."""
    return CACHE / "lineage" / digest(_MAKERS)


class Remembered:
    """A trainer that keeps what it trained."""

    def __init__(self, trainer: Trainer, cache: Path) -> None:
        self._trainer, self._cache = trainer, cache
        cache.mkdir(parents=True, exist_ok=True)

    def initial(self, shape: Shape, seed: int) -> Weights:
        """A fresh model: cheap, so not kept."""
        return self._trainer.initial(shape, seed)

    def train(self, start: Weights, shape: Shape, **how: Any) -> Weights:
        """Trained before, or now."""
        return self._kept("train", start, shape, how)

    def train_low_rank(self, start: Weights, shape: Shape, **how: Any) -> Weights:
        """Trained before, or now."""
        return self._kept("train_low_rank", start, shape, how)

    def _kept(self, method: str, start: Weights, shape: Shape, how: dict[str, Any]) -> Weights:
        path = self._cache / f"{_key(method, start, shape, how)}.npz"
        if not path.exists():
            made = getattr(self._trainer, method)(start, shape, **how)
            part = path.with_suffix(".part.npz")
            np.savez(part, **made)
            part.rename(path)
        with np.load(path, allow_pickle=False) as kept:
            return dict(kept)


def _key(method: str, start: Weights, shape: Shape, how: dict[str, Any]) -> str:
    state = hashlib.sha256(f"{digest(_TRAINING)} {method} {shape}".encode())
    for name, value in how.items():
        if name == "language":
            state.update(value.batch(np.random.default_rng(0), 8, 48).tobytes())
        elif isinstance(value, dict):
            _feed(state, value)
        else:
            state.update(f"{name}={value!r}".encode())
    _feed(state, start)
    return state.hexdigest()[:24]


def _feed(state: Any, weights: Weights) -> None:
    for name in sorted(weights):
        state.update(name.encode() + np.ascontiguousarray(weights[name]).tobytes())


def _make(task: tuple[Path, str, str]) -> str:
    from tests.bench.lineage.torch_training import TorchTrainer

    target, half, architecture = task
    trainer, began = Remembered(TorchTrainer(), CACHE / "lineage" / "trained"), time.perf_counter()
    if half == "real":
        smollm2_family.build(target, CACHE / "smollm2", trainer)
    else:
        toy_families.build(half, architecture, target, trainer)
    return f"  {half}-{architecture}: {time.perf_counter() - began:.0f} s"


def write_across(target: Path, halves: list[str], *, real: bool) -> None:
    """The pairs that no single family owns."""
    pairs = [pair for half in halves for pair in toy_families.across(half)]
    if real:
        pairs += [pair for half in halves for pair in smollm2_family.across(half, "llama")]
    place = target / "across"
    place.mkdir(parents=True, exist_ok=True)
    (place / "manifest.json").write_bytes(msgspec.json.encode(labels.Manifest([], pairs, [])))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.lineage.build", description=__doc__)
    parser.add_argument("--only", nargs="*", help="families, such as test-llama or real-smollm2")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    tasks = [
        ("real", "smollm2"),
        *((half, name) for half in toy_families.TOYS for name in toy_families.TOYS[half]),
    ]
    target = folder()
    for stale in (CACHE / "lineage").glob("*"):
        if stale not in {target, CACHE / "lineage" / "trained"}:
            shutil.rmtree(stale)
    target.mkdir(parents=True, exist_ok=True)
    wanted = [task for task in tasks if not given.only or "-".join(task) in given.only]
    left = [(target, *task) for task in wanted if not (target / "-".join(task) / "manifest.json").exists()]
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(given.processes, max(len(left), 1)), maxtasksperchild=1) as pool:
        for line in pool.imap_unordered(_make, left, chunksize=1):
            print(line, file=sys.stderr, flush=True)
    write_across(target, list(toy_families.TOYS), real=True)
    print(target)


if __name__ == "__main__":
    main()
