"""Collects the models of one family: writes each to disk, remembers its values, and notes pairs with their truth."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from tests.bench.lineage import files
from tests.bench.lineage.corpus import Language
from tests.bench.lineage.labels import Manifest, Member, Merge, Pair
from tests.bench.lineage.shapes import Shape, Weights


class Trainer(Protocol):
    """What families need of training; `torch_training` does it, `stand_in` plays it."""

    def initial(self, shape: Shape, seed: int) -> Weights:
        """A fresh model."""

    def train(
        self,
        start: Weights,
        shape: Shape,
        *,
        language: Language,
        seed: int,
        steps: int,
        rate: float,
        teacher: Weights | None = None,
        teacher_shape: Shape | None = None,
    ) -> Weights:
        """All weights learn; from `teacher`'s answers if given. `seed` orders the data."""

    def train_low_rank(
        self,
        start: Weights,
        shape: Shape,
        *,
        language: Language,
        seed: int,
        steps: int,
        rate: float,
        rank: int,
    ) -> Weights:
        """A low-rank adapter learns and is merged in."""


class Family:
    """Members by short name; on disk and in the manifest they are `family/member`."""

    def __init__(self, name: str, half: str, shape: Shape, folder: Path, seed: int) -> None:
        self.name, self.half, self.shape, self.seed = name, half, shape, seed
        self.folder = folder / name
        self.weights: dict[str, Weights] = {}
        self.shapes: dict[str, Shape] = {}
        self._manifest = Manifest([], [], [])
        self._order = np.random.default_rng([seed, 13])

    def rng(self, number: int) -> np.random.Generator:
        """A generator of this family's own."""
        return np.random.default_rng([self.seed, number])

    def keep(self, name: str, plain: Weights, shape: Shape | None = None) -> Weights:
        """Remember values as bf16 leaves them, without a file."""
        self.shapes[name] = shape or self.shape
        self.weights[name] = files.rounded(plain)
        return self.weights[name]

    def add(
        self,
        name: str,
        plain: Weights,
        shape: Shape | None = None,
        dtype: str = "BF16",
        *,
        shards: int = 1,
        prefix: bool = True,
    ) -> Weights:
        """Write a model as safetensors and return the values that the file has."""
        kept = self.keep(name, plain, shape) if dtype == "BF16" else plain
        self.weights[name], self.shapes[name] = kept, shape or self.shape
        written = files.write_model(
            self.folder / name, kept, self.shapes[name], dtype, shards=shards, prefix=prefix
        )
        self.member(name, written)
        return kept

    def add_gguf(self, name: str, source: str, type_name: str) -> None:
        """Write a member's weights as GGUF of a type."""
        path = self.folder / name / f"{name}.{type_name}.gguf"
        self.member(name, [files.write_gguf(path, self.weights[source], self.shapes[source], type_name)])

    def forget(self, name: str) -> None:
        """Drop the values of a member that nothing else is made of."""
        del self.weights[name], self.shapes[name]

    def member(self, name: str, written: list[str]) -> None:
        """Note files that lie in the member's folder."""
        paths = tuple(f"{self.name}/{name}/{file}" for file in written)
        self._manifest.members.append(Member(f"{self.name}/{name}", paths))

    def pair(self, a: str, b: str, made: str, *, parent: str | None = None) -> None:
        """Note a pair; which file comes first is drawn, so that no method gains by guessing."""
        names = [self._full(a), self._full(b)]
        if self._order.random() < 0.5:
            names.reverse()
        self._manifest.pairs.append(
            Pair(
                names[0],
                names[1],
                made,
                self.name,
                self.shape.architecture,
                self.half,
                self._full(parent) if parent else None,
            )
        )

    def child(self, parent: str, child: str, made: str) -> None:
        """Note that one member came from the other."""
        self.pair(parent, child, made, parent=parent)

    def merge(
        self, target: str, parents: list[str], base: str, coefficients: list[float] | None, how: str
    ) -> None:
        """Note a merge to be explained."""
        self._manifest.merges.append(
            Merge(
                self._full(target),
                tuple(map(self._full, parents)),
                self._full(base),
                tuple(coefficients) if coefficients is not None else None,
                how,
                self.half,
            )
        )

    def save(self) -> None:
        """Write the manifest, which makes the family complete."""
        (self.folder / "manifest.json").write_bytes(msgspec.json.encode(self._manifest))

    def _full(self, name: str) -> str:
        return name if "/" in name else f"{self.name}/{name}"
