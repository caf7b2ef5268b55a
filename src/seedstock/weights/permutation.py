"""Is one layer's MLP the other's in another order of neurons, or in a rotated residual stream?

Two views of every neuron (its gate row and its up row; without a gate its up row and its down column) are
matched to the other model's neurons separately, by linear assignment. If the models are related both
assignments agree; if not, they agree as often as chance has it. After "Independence Tests for Language Models"
(ICML 2025).
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.layout import Layer, Layout, Slot, read_rows
from seedstock.weights.sampling import drawn
from seedstock.weights.thresholds import MLP_AGREEMENT, MLP_LOG10_P, NULL_AGREEMENT, NULL_LOG10_P

NEURONS = 256
LEAST_NEURONS = 48
# Above this an MLP is not matched: 2^27 float32 values are 512 MB for each model.
MAX_ELEMENTS = 1 << 27
_LOWEST_LOG10_P = -300.0

Reals = NDArray[np.float32]


class MlpMatch(msgspec.Struct, frozen=True):
    """`agreement`: share of sampled neurons that both views match alike; `cosine`: how alike those pairs are.

    `moved`: share of the agreed pairs that are not at the same place in both models.
    """

    a: int
    b: int
    neurons: int
    agreement: float
    log10_p: float
    cosine: float
    moved: float

    @property
    def status(self) -> str:
        """derived, none or unclear, by the thresholds."""
        if self.agreement > MLP_AGREEMENT and self.log10_p < MLP_LOG10_P:
            return "derived"
        return "none" if self.agreement <= NULL_AGREEMENT and self.log10_p > NULL_LOG10_P else "unclear"


def match_mlp(
    a: Checkpoint,
    layout_a: Layout,
    index_a: int,
    b: Checkpoint,
    layout_b: Layout,
    index_b: int,
    rotation: Reals | None,
    seed: int,
) -> MlpMatch | None:
    """Match sampled neurons of two layers. None if they cannot be: sizes, values, or no MLP."""
    layer_a, layer_b = layout_a.layers[index_a], layout_b.layers[index_b]
    best: MlpMatch | None = None
    for offset_a, offset_b in _norm_offsets(a, layout_a, b, layout_b):
        match = _match(_views(a, layer_a, offset_a), _views(b, layer_b, offset_b), rotation, seed + index_a)
        if match is not None and (best is None or match.agreement > best.agreement):
            best = msgspec.structs.replace(match, a=index_a, b=index_b)
        if best is not None and best.status == "derived":
            break
    return best


def _norm_offsets(
    a: Checkpoint, layout_a: Layout, b: Checkpoint, layout_b: Layout
) -> list[tuple[float, float]]:
    """What to add to norm weights: the first gemma stores them less one under llama's names, so both are tried."""
    known = (layout_a.norm_offset, layout_b.norm_offset)
    other = tuple(
        1.0 if model.format == "safetensors" else offset for model, offset in zip((a, b), known, strict=True)
    )
    return [known] if layout_a.family != "gated" or other == known else [known, (other[0], other[1])]


Views = tuple[Reals, Reals]


def _match(
    views_a: Views | None, views_b: Views | None, rotation: Reals | None, seed: int
) -> MlpMatch | None:
    if views_a is None or views_b is None or views_a[0].shape[1] != views_b[0].shape[1]:
        return None
    if rotation is not None:
        views_a = (views_a[0] @ rotation, views_a[1] @ rotation)
    smaller_is_a = len(views_a[0]) <= len(views_b[0])
    few, many = (views_a, views_b) if smaller_is_a else (views_b, views_a)
    chosen = drawn(len(few[0]), NEURONS, seed)
    first, first_cosine = _assign(few[0][chosen], many[0], signed=True)
    second, second_cosine = _assign(few[1][chosen], many[1], signed=False)
    agreed = first == second
    alike = float(np.minimum(first_cosine, second_cosine)[agreed].mean()) if agreed.any() else 0.0
    moved = float((first != chosen)[agreed].mean()) if agreed.any() else 0.0
    return MlpMatch(0, 0, len(chosen), float(agreed.mean()), _log10_p(first, second), alike, moved)


def _views(checkpoint: Checkpoint, layer: Layer, norm_offset: float) -> Views | None:
    """Two unit-row matrices (neurons, width), the norm's weight multiplied in, so that moving scale hides nothing."""
    gate, up, down = (layer.slots.get(role) for role in ("gate", "up", "down"))
    if up is None or max(slot.elements for slot in (gate, up, down) if slot) > MAX_ELEMENTS:
        return None
    norm = _norm(checkpoint, layer, up.columns, norm_offset)
    first = read_rows(checkpoint, gate if gate is not None else up) * norm
    if gate is not None:
        second = read_rows(checkpoint, up) * norm
    elif down is not None:
        second = np.ascontiguousarray(read_rows(checkpoint, down).T)
    else:
        return None
    if first.shape != second.shape or len(first) < LEAST_NEURONS:
        return None
    units = _unit_rows(first), _unit_rows(second)
    return units if all(np.isfinite(unit).all() for unit in units) else None


def _norm(checkpoint: Checkpoint, layer: Layer, width: int, offset: float) -> Reals:
    slot: Slot | None = layer.slots.get("mlp_norm") or layer.slots.get("attn_norm")
    if slot is None or slot.elements != width:
        return np.ones(width, dtype=np.float32)
    weight = checkpoint.read(slot.name).reshape(-1) + np.float32(offset)
    return weight if (weight != 0).any() else np.ones(width, dtype=np.float32)


def _unit_rows(values: Reals) -> Reals:
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(values, axis=1, keepdims=True)
        return np.where(norms > 0, values / norms, 0).astype(np.float32)


def _assign(few: Reals, many: Reals, *, signed: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    from scipy.optimize import linear_sum_assignment

    alike = few @ many.T
    if not signed:  # up and down may both change sign without any effect
        alike = np.abs(alike)
    rows, columns = linear_sum_assignment(alike, maximize=True)
    return columns.astype(np.int64), alike[rows, columns].astype(np.float64)


def _log10_p(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Log of Spearman's p that the two assignments are independent, by Fisher's z; never below -300.

    Not scipy.stats, which takes a second and a half to import.
    """
    from scipy.special import log_ndtr

    if len(first) < LEAST_NEURONS // 2:
        return 0.0
    middle = (len(first) - 1) / 2  # assignments differ, so ranks are 0 to n - 1
    ranks = [np.argsort(np.argsort(assigned)) - middle for assigned in (first, second)]
    r = float(ranks[0] @ ranks[1] / (ranks[0] @ ranks[0]))
    z = np.arctanh(min(r, 1 - 1e-12)) * np.sqrt((len(first) - 3) / 1.06)
    return max(_LOWEST_LOG10_P, float(log_ndtr(-z)) / float(np.log(10)))
