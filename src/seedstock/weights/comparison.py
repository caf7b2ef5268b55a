"""What comparing two models says: a verdict, its kind and direction where certain, and every figure behind it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

METHOD = "weights-compare@1"
MAX_SHARED_NAMES = 200
MAX_LAYER_ROWS = 256

Statistic = float | int | list[float] | list[int]


class Verdict(StrEnum):
    """What the weights show. NONE is "no evidence of derivation", never "independent"."""

    IDENTICAL = "identical"
    DERIVED = "derived"
    PARTIAL = "partial"
    NONE = "none"
    INCONCLUSIVE = "inconclusive"


class Kind(StrEnum):
    """How one model came from the other."""

    FINETUNE = "finetune"
    LORA = "lora"
    MERGE = "merge"
    PRUNED = "pruned"
    QUANTIZED = "quantized"
    PERMUTED = "permuted"


class Direction(StrEnum):
    """Which of the two came from the other; given only where certain."""

    A_FROM_B = "a_from_b"
    B_FROM_A = "b_from_a"

    @property
    def reversed(self) -> Direction:
        """The same said with a and b exchanged."""
        return Direction.B_FROM_A if self is Direction.A_FROM_B else Direction.A_FROM_B


class LayerEvidence(msgspec.Struct, frozen=True):
    """One layer of the shorter model: its position in both, and the figures. `status` is derived, none or unclear."""

    a: int | None
    b: int | None
    status: str
    cosine: float | None = None
    derived_share: float | None = None
    mlp_agreement: float | None = None


class Comparison(msgspec.Struct, frozen=True):
    """The evidence of one comparison. Thresholds are those that decided; statistics are what was measured."""

    verdict: Verdict
    reason: str
    kind: Kind | None = None
    direction: Direction | None = None
    coefficient: float | None = None
    method: str = METHOD
    statistics: dict[str, Statistic] = {}
    thresholds: dict[str, float] = {}
    error_rate: dict[str, str | int | float] = {}
    facts: dict[str, bool | float | int | str] = {}
    per_layer: tuple[LayerEvidence, ...] = ()
    shared_tensors: tuple[str, ...] = ()
    tensors_read: int = 0
    bytes_read: int = 0
