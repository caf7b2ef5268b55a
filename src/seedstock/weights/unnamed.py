"""Models whose tensor names are not understood: only tensors of equal name and shape are compared, in place.

Agreement proves derivation as it does anywhere. Disagreement proves nothing here, because no other order of
neurons can be tried: the answer is then inconclusive, never "none".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from seedstock.weights import thresholds
from seedstock.weights.aligned import Aligned, aligned_slots
from seedstock.weights.checkpoint import Checkpoint, TensorInfo
from seedstock.weights.comparison import MAX_SHARED_NAMES, Comparison, Statistic, Verdict
from seedstock.weights.elements import FLOAT_TYPES, is_block_type
from seedstock.weights.layout import Slot

_MAX_TENSORS = 256
_LEAST_ELEMENTS = 4096
_LEAST_MATRICES = 3


def compare_by_name(a: Checkpoint, b: Checkpoint, seed: int) -> Comparison:
    """Compare the largest matrices that both have under one name and shape."""
    names = _common(a.tensors, b.tensors)
    if len(names) < _LEAST_MATRICES:
        return Comparison(
            Verdict.INCONCLUSIVE,
            "The names of the tensors are not understood, and too few are common to both",
        )
    found = [aligned_slots("", a, _slot(a.tensors[name]), b, _slot(b.tensors[name]), seed) for name in names]
    usable = [pair for pair in found if not pair.constant]
    if not all(pair.finite for pair in found) or not usable:
        return Comparison(Verdict.INCONCLUSIVE, "Weights are NaN, infinite or constant")
    derived = [pair for pair in usable if pair.status == "derived"]
    total = sum(info.elements for info in a.tensors.values())
    smaller = min(total, sum(info.elements for info in b.tensors.values()))
    share = sum(pair.elements for pair in derived) / max(smaller, 1)
    return _verdict(usable, derived, share)


def _verdict(usable: list[Aligned], derived: list[Aligned], share: float) -> Comparison:
    shared = tuple(pair.a for pair in derived)[:MAX_SHARED_NAMES]
    statistics: dict[str, Statistic] = {
        "derived_share": share,
        "cosine_median": float(np.median([pair.cosine for pair in usable])),
        "matrices": len(usable),
    }
    if share >= thresholds.LAYER_COVERAGE and len(derived) >= _LEAST_MATRICES:
        return Comparison(
            Verdict.DERIVED,
            "Tensors of the same names agree in place",
            statistics=statistics,
            shared_tensors=shared,
        )
    if len(derived) >= _LEAST_MATRICES:
        return Comparison(
            Verdict.PARTIAL, f"{len(derived)} tensors of the same names agree in place", statistics=statistics,
            shared_tensors=shared,
        )  # fmt: skip
    return Comparison(
        Verdict.INCONCLUSIVE,
        "The names of the tensors are not understood; those of equal name do not agree in place",
        statistics=statistics,
    )


def _common(a: Mapping[str, TensorInfo], b: Mapping[str, TensorInfo]) -> list[str]:
    names = [
        name
        for name, info in a.items()
        if name in b
        and info.shape == b[name].shape
        and len(info.shape) >= 2
        and info.elements >= _LEAST_ELEMENTS
        and all(_is_float(model[name].dtype) for model in (a, b))
    ]
    return sorted(names, key=lambda name: (-a[name].elements, name))[:_MAX_TENSORS]


def _is_float(dtype: str) -> bool:
    return dtype in FLOAT_TYPES or is_block_type(dtype)


def _slot(info: TensorInfo) -> Slot:
    return Slot(info.name, 0, info.shape[0], info.row_elements, info.dtype)
