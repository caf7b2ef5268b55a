"""One tensor of the result: what goes into it, in pieces that stay in the processor's cache."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np

from seedstock.adapt.merge.model import Model
from seedstock.adapt.merge.precision import round_to
from seedstock.weights.elements import Floats

# Elements of a piece: of 2^14 to 2^22, 2^16 and 2^17 were fastest here (all arrays of a step fit the second-level cache).
PIECE = 1 << 16


class Part(msgspec.Struct, frozen=True):
    """A tensor of one model."""

    model: Model
    name: str


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor to make. Without a method's arithmetic (`copied`) the first part's bytes are taken."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """Stored type of the result."""
    arithmetic: str
    """Type that every step is rounded to; inputs too."""
    parts: tuple[Part, ...]
    """Of the models in order."""
    base: Part | None = None
    depth: float = 0.0
    """Place among the layers, 0 to 1, for numbers that differ between layers."""
    seed: int = 0
    copied: bool = False

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Ranges of elements."""
        for start in range(0, self.elements, PIECE):
            yield start, min(start + PIECE, self.elements)

    def load(self, part: Part, start: int, out: Floats) -> Floats:
        """Elements of a part as the arithmetic sees them."""
        values = part.model.fill(part.name, start, out)
        narrower = self.arithmetic not in {"F32", part.model.tensors[part.name].dtype}
        return round_to(values, self.arithmetic) if narrower else values


def buffers(count: int) -> list[Floats]:
    """Arrays of one piece."""
    return [np.empty(PIECE, np.float32) for _ in range(count)]
