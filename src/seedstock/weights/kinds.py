"""Of a relation that is established: how the one came from the other, and the direction where that is certain."""

from __future__ import annotations

import msgspec
import numpy as np

from seedstock.weights import thresholds
from seedstock.weights.aligned import is_quantised
from seedstock.weights.comparison import Direction, Kind, Statistic
from seedstock.weights.evidence import Evidence, Model
from seedstock.weights.grids import find_grid
from seedstock.weights.layer_map import common_roles, value_samples
from seedstock.weights.layout import Slot
from seedstock.weights.low_rank import low_rank
from seedstock.weights.quantised import QuantisedFit, layouts_fit

# Copies may have been trained on, or hold new zeros in two of three matrices; unrelated layers stay below 0.08.
_REPEATED = 0.3
_SPARSE = 0.2
_LOW_RANK_TESTS = 4
# Conversion to float16 changes the smallest values.
_UNCHANGED = 0.995


class Typed(msgspec.Struct, frozen=True):
    """Kind and direction, the words for it, and what was measured to find them."""

    kind: Kind | None
    reason: str
    direction: Direction | None = None
    statistics: dict[str, Statistic] = {}


def type_relation(a: Model, b: Model, evidence: Evidence) -> Typed:
    """Try the kinds that leave certain traces first; a fine-tune is what is left."""
    return (
        _pruned(a, b, evidence)
        or _sparse(evidence)
        or _permuted(evidence)
        or _lora(a, b, evidence)
        or _quantised(a, b, evidence)
        or Typed(Kind.FINETUNE, "the weights agree in place and differ by small changes everywhere")
    )


def _pruned(a: Model, b: Model, evidence: Evidence) -> Typed | None:
    if evidence.layers_a != evidence.layers_b:
        shorter_is_a = evidence.layers_a < evidence.layers_b
        longer = b if shorter_is_a else a
        used = {pair[1] if shorter_is_a else pair[0] for pair in evidence.values}
        if _repeats(longer, used):
            return Typed(None, "the longer model repeats layers of its own")
        return Typed(
            Kind.PRUNED,
            f"{evidence.shorter} of {max(evidence.layers_a, evidence.layers_b)} layers were kept",
            Direction.A_FROM_B if shorter_is_a else Direction.B_FROM_A,
        )
    wide_a, wide_b = _mlp_width(a), _mlp_width(b)
    if wide_a == wide_b or not evidence.matches:
        return None
    if not _kept_neurons(evidence):
        return None
    return Typed(
        Kind.PRUNED,
        f"{min(wide_a, wide_b)} of {max(wide_a, wide_b)} MLP neurons were kept",
        Direction.A_FROM_B if wide_a < wide_b else Direction.B_FROM_A,
    )


def _kept_neurons(evidence: Evidence) -> bool:
    return all(match.agreement > 0.8 for match in evidence.matches)


def _repeats(model: Model, used: set[int]) -> bool:
    """Whether layers without a partner are copies of others: grown by repetition, not the whole of a pruned one."""
    roles = common_roles(model.layout, model.layout)
    if not roles:
        return True
    samples = value_samples(model.checkpoint, model.layout, roles, 0)
    alike = samples @ samples.T - np.eye(len(samples))
    unused = [index for index in range(len(samples)) if index not in used]
    return bool(unused) and bool((alike[unused].max(axis=1) > _REPEATED).any())


def _mlp_width(model: Model) -> int:
    slot = model.layout.layers[0].slots.get("up")
    return slot.shape[0] if slot else 0


def _sparse(evidence: Evidence) -> Typed | None:
    pairs = [
        pair for found in evidence.aligned.values() for pair in found if pair.finite and not pair.constant
    ]
    if not pairs:
        return None
    zeros_a, zeros_b = (float(np.mean([getattr(p, key) for p in pairs])) for key in ("zeros_a", "zeros_b"))
    if abs(zeros_a - zeros_b) < _SPARSE or min(zeros_a, zeros_b) > 0.5 * max(zeros_a, zeros_b):
        return None
    return Typed(
        Kind.PRUNED,
        f"{max(zeros_a, zeros_b):.0%} of the weights were set to zero",
        Direction.A_FROM_B if zeros_a > zeros_b else Direction.B_FROM_A,
        {"zeros_a": zeros_a, "zeros_b": zeros_b},
    )


def _permuted(evidence: Evidence) -> Typed | None:
    if evidence.coverage >= thresholds.LAYER_COVERAGE or not evidence.matches:
        return None
    return Typed(Kind.PERMUTED, "the same neurons were found in another order or another basis")


def _quantised(a: Model, b: Model, evidence: Evidence) -> Typed | None:
    """One is the rounded form of the other: on a grid, in fewer bits, or in a coarser float type."""
    a_from_b = _fit(a, b)
    b_from_a = _fit(b, a)
    fits = [fit for fit in (a_from_b, b_from_a) if fit is not None]
    statistics: dict[str, Statistic] = {}
    if fits:
        best = min(fits, key=lambda fit: fit.mismatch)
        statistics = {"quantised_mismatch": best.mismatch, "quantised_spread": best.spread}
    certain = [
        direction
        for direction, fit in ((Direction.A_FROM_B, a_from_b), (Direction.B_FROM_A, b_from_a))
        if fit is not None and fit.certain
    ]
    if certain:
        towards = certain[0] if len(certain) == 1 else None
        return Typed(Kind.QUANTIZED, f"rounding one gives the other ({best.test} test)", towards, statistics)
    same = all(pair.unchanged > _UNCHANGED for found in evidence.aligned.values() for pair in found)
    if same and (a.signature.dtype, a.checkpoint.format) != (b.signature.dtype, b.checkpoint.format):
        return Typed(Kind.QUANTIZED, "the values are the same, stored in another type", None, statistics)
    stored = [is_quantised(slot) for slot in (_body_slot(a), _body_slot(b)) if slot is not None]
    if any(stored) and not fits:
        reason = "one is a quantised form; what it was made from cannot be tested for this type"
        return Typed(Kind.QUANTIZED, reason, None, statistics)
    grids = [find_grid(model.checkpoint, model.layout) for model in (a, b)]
    exact = [
        fit
        for fit in fits
        if fit.mismatch <= thresholds.CERTAIN_MISMATCH and fit.spread >= _APART and fit.test != "rounded"
    ]
    if grids[0] != grids[1] and exact:
        reason = f"quantising one gives the other ({exact[0].test} test), yet which was first cannot be told"
        return Typed(Kind.QUANTIZED, reason, None, statistics)
    if grids[0] != grids[1] and any(
        _ROUNDED <= fit.least_spread <= fit.spread <= _NEAR for fit in fits if fit.test != "rounded"
    ):
        return Typed(
            Kind.QUANTIZED, "one is a quantised form, but not of exactly the other", None, statistics
        )
    return None


# Mean distance from a grid, in steps: 0.25 by rounding; less if a model on the grid was trained on a little.
_ROUNDED = 0.15
_NEAR = 0.6
# Less, and a model on the grid was trained on so little that rounding takes it back.
_APART = 0.1


def _fit(quantised: Model, source: Model) -> QuantisedFit | None:
    return layouts_fit(quantised.checkpoint, quantised.layout, source.checkpoint, source.layout)


def _body_slot(model: Model) -> Slot | None:
    slots = model.layout.layers[len(model.layout.layers) // 2].slots if model.layout.layers else {}
    return next((slots[role] for role in ("down", "o", "up") if role in slots), None)


def _lora(a: Model, b: Model, evidence: Evidence) -> Typed | None:
    """All matrices that changed, as far as they are sampled, differ by a matrix of low rank."""
    if evidence.coverage < thresholds.LAYER_COVERAGE:
        return None
    changed = [
        (a.layout.layers[i].slots[pair.role], b.layout.layers[j].slots[pair.role])
        for (i, j), found in evidence.aligned.items()
        for pair in found
        if pair.unchanged <= _UNCHANGED
    ]
    if not changed:
        return None
    changed = _largest(changed)
    chosen = np.unique(np.linspace(0, len(changed) - 1, _LOW_RANK_TESTS).round().astype(int))
    tests = [low_rank(a.checkpoint, changed[k][0], b.checkpoint, changed[k][1]) for k in chosen]
    found = [test for test in tests if test is not None]
    if not found or sum(test.low for test in found) * 4 < len(found) * 3:
        return None
    statistics: dict[str, Statistic] = {
        "low_rank": [test.rank for test in found],
        "low_rank_explained": [round(test.explained, 4) for test in found],
    }
    rank = int(np.median([test.rank for test in found if test.low]))
    return Typed(
        Kind.LORA, f"changed matrices differ by rank {rank}, the rest is unchanged", None, statistics
    )


def _largest(pairs: list[tuple[Slot, Slot]]) -> list[tuple[Slot, Slot]]:
    """Those with the longest shorter side: rank 8 cannot be told in a matrix of 32 rows."""
    side = max(min(slot.shape) for slot, _ in pairs)
    return [pair for pair in pairs if min(pair[0].shape) * 2 > side]
