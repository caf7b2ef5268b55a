"""Is a quantised or rounded model the quantisation of this very float model?

Two tests on sampled rows. Requantise: quantise the float rows as the file says and compare; the true source
gives the same values everywhere, a sibling that differs by a thousandth does not. Half step: where the
quantiser cannot be repeated (K-quants), no value may lie further from the float one than half the step of its
block, edges of the range excepted.

Passing is not enough to say who was first: a model that lies on the grid itself passes against its own
fine-tunes. So the distances to the grid must also look like rounding, even over [0, 1/2] of a step, in every
tensor: then the float model was there before, or one that differs from it by far less than a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from seedstock.weights import thresholds
from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.elements import BLOCKS, Floats, is_block_type, round_bf16
from seedstock.weights.grids import grid_of_values
from seedstock.weights.layout import Layout, Slot, find_layout, read_rows
from seedstock.weights.sampling import is_constant
from seedstock.weights.steps import CODES, code_steps, float_steps, within_range

_VALUES = 16_384
_TENSORS = 12
_REPEATABLE = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
_GRID_TYPES = {"4-bit": ("Q4_0", "Q4_1"), "q8_0": ("Q8_0",)}
# Rounding to nearest gives 0.5 exactly; the float32 arithmetic of the two sides differs in the last digits.
_HALF_STEP = 0.502
# Mean distance to the grid, in steps, if values have nothing to do with it: 0.25.
_EVEN_SPREAD = (0.2, 0.3)


class QuantisedFit(msgspec.Struct, frozen=True):
    """`mismatch`: share of sampled values that quantising the source would not have given. `test` says how.

    `spread`: mean distance from the source in steps, of the tensor where it is least and over all.
    """

    mismatch: float
    spread: float
    least_spread: float
    values: int
    test: str

    @property
    def certain(self) -> bool:
        """Whether the source, or a model within a small part of a step of it, was quantised to give this one."""
        low, high = _EVEN_SPREAD
        return (
            self.mismatch <= thresholds.CERTAIN_MISMATCH and low <= self.least_spread and self.spread <= high
        )


class _Part(msgspec.Struct, frozen=True):
    wrong: int
    spread: float
    test: str


def quantised_fit(quantised: Checkpoint, source: Checkpoint) -> QuantisedFit | None:
    """Test whether `quantised` is what quantising `source` gives. None if no test applies."""
    return layouts_fit(quantised, find_layout(quantised), source, find_layout(source))


def closest_source(quantised: Checkpoint, candidates: Sequence[Checkpoint]) -> list[tuple[int, float]]:
    """Candidates by mismatch, the best first; those that no test applies to are left out."""
    fits = [(index, quantised_fit(quantised, candidate)) for index, candidate in enumerate(candidates)]
    return sorted(((index, fit.mismatch) for index, fit in fits if fit), key=lambda item: (item[1], item[0]))


def layouts_fit(
    quantised: Checkpoint, layout: Layout, source: Checkpoint, source_layout: Layout
) -> QuantisedFit | None:
    """As quantised_fit, for layouts that are known already. Layers are taken to be in the same order."""
    parts: list[tuple[_Part, int]] = []
    for coarse, fine in _pairs(layout, source_layout):
        rows = max(1, min(coarse.shape[0], _VALUES // max(coarse.columns, 1)))
        first = min(coarse.shape[0] // 3, coarse.shape[0] - rows)
        values = read_rows(source, fine, first, first + rows)
        if is_constant(values.reshape(-1)) or not np.isfinite(values).all():
            continue
        part = _test(quantised, coarse, first, rows, values)
        if part is not None:
            parts.append((part, values.size))
    if not parts:
        return None
    total = sum(size for _, size in parts)
    return QuantisedFit(
        mismatch=sum(part.wrong for part, _ in parts) / total,
        spread=sum(part.spread * size for part, size in parts) / total,
        least_spread=min(part.spread for part, _ in parts),
        values=total,
        test="+".join(sorted({part.test for part, _ in parts})),
    )


def _pairs(layout_a: Layout, layout_b: Layout) -> list[tuple[Slot, Slot]]:
    """Matrices of evenly chosen layers, of roles that every converter leaves in order."""
    if len(layout_a.layers) != len(layout_b.layers):
        return []
    found = []
    for layer_a, layer_b in zip(layout_a.layers, layout_b.layers, strict=True):
        for role in ("down", "gate", "o", "up", "v"):
            one, other = layer_a.slots.get(role), layer_b.slots.get(role)
            if one and other and one.shape == other.shape:
                found.append((one, other))
    if not found:
        return []
    return [found[index] for index in np.unique(np.linspace(0, len(found) - 1, _TENSORS).round().astype(int))]


def _test(quantised: Checkpoint, slot: Slot, first: int, rows: int, source: Floats) -> _Part | None:
    values = read_rows(quantised, slot, first, first + rows)
    if not np.isfinite(values).all():
        return None
    if is_block_type(slot.dtype):
        if slot.dtype not in CODES or slot.transposed:
            return None
        return _test_blocks(_raw_rows(quantised, slot, first, rows), slot.dtype, values, source)
    if slot.dtype in {"F32", "F16", "BF16"}:
        return _test_floats(values, slot.dtype, source)
    if slot.dtype == "I8" or slot.dtype.startswith("F8"):
        return _test_scaled(values, slot.dtype, source)
    return None


def _test_blocks(raw: bytes, dtype: str, values: Floats, source: Floats) -> _Part:
    steps = code_steps(raw, dtype)
    off = np.abs(source - values).reshape(-1)
    known = steps > 0
    spread = float((off[known] / steps[known]).mean()) if known.any() else 0.0
    if dtype in _REPEATABLE:
        return _Part(_requantised(values, source, dtype, "F32"), spread, "requantised")
    wrong = (off > _HALF_STEP * steps + 1e-9) & within_range(raw, dtype, source.reshape(-1))
    return _Part(int(np.count_nonzero(wrong & known)), spread, "half step")


def _test_floats(values: Floats, dtype: str, source: Floats) -> _Part | None:
    """Of a grid that the values seem to lie on, and of rounding to the file's own type, what fits better.

    Equal values of two float files say nothing about rounding, and are left out.
    """
    tried: list[_Part] = []
    for kind in _GRID_TYPES.get(grid_of_values(values) or "", ()):
        raw = _quantise(source, kind)
        if raw is not None:
            steps = code_steps(raw, kind)
            off, known = np.abs(source - values).reshape(-1), steps > 0
            spread = float((off[known] / steps[known]).mean()) if known.any() else 0.0
            tried.append(_Part(_requantised(values, source, kind, dtype), spread, "requantised"))
    spread = float((np.abs(source - values) / float_steps(values, dtype)).mean()) if dtype != "F32" else 0.0
    if spread > 0:
        wrong = int(np.count_nonzero(stored_as(source, dtype) != values))
        tried.append(_Part(wrong, spread, "rounded"))
    low, high = _EVEN_SPREAD
    return min(tried, key=lambda part: (part.wrong, not low <= part.spread <= high), default=None)


def _raw_rows(checkpoint: Checkpoint, slot: Slot, first: int, rows: int) -> bytes:
    elements, block_bytes = BLOCKS[slot.dtype]
    row_bytes = slot.columns // elements * block_bytes
    return checkpoint.raw(
        slot.name, (slot.first + first) * row_bytes, (slot.first + first + rows) * row_bytes
    )


def _quantise(source: Floats, dtype: str) -> bytes | None:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import quantize

    if source.shape[-1] % BLOCKS[dtype][0]:
        return None
    kind: Any = GGMLQuantizationType[dtype]
    with np.errstate(all="ignore"):
        return bytes(np.asarray(quantize(np.ascontiguousarray(source), kind)).tobytes())


def _requantised(values: Floats, source: Floats, dtype: str, stored: str) -> int:
    """Count values that differ from the requantised source; of the source in float16 too, which converters make."""
    from seedstock.weights.elements import decode

    best = values.size
    for start in (source, stored_as(source, "F16")):
        raw = _quantise(start, dtype)
        if raw is not None:
            again = stored_as(decode(raw, dtype), stored)
            best = min(best, int(np.count_nonzero(again != values.reshape(-1))))
    return best


def stored_as(values: Floats, dtype: str) -> Floats:
    """Round to what a file of this dtype can hold."""
    if dtype == "BF16":
        return round_bf16(values)
    if dtype == "F16":
        with np.errstate(all="ignore"):
            return values.astype(np.float16).astype(np.float32)
    return values


def _test_scaled(values: Floats, dtype: str, source: Floats) -> _Part:
    """8 bits with a scale kept elsewhere: the scale of each row is fitted, then rounding may explain the rest."""
    wide, coded = source.astype(np.float64), values.astype(np.float64)
    energy = np.einsum("ij,ij->i", coded, coded)
    scale = np.einsum("ij,ij->i", wide, coded) / np.maximum(energy, 1e-300)
    off = np.abs(wide / np.where(scale == 0, 1, scale)[:, None] - coded)
    steps = np.ones(off.shape) if dtype == "I8" else float_steps(values, dtype).astype(np.float64)
    edge = np.abs(coded) >= np.abs(coded).max()
    # The fitted scale is off by some thousandths, which counts most at the largest codes.
    wrong = (off > 0.56 * steps + 0.004 * np.abs(coded)) & ~edge
    return _Part(int(np.count_nonzero(wrong)), float((off / steps).mean()), "half step")
