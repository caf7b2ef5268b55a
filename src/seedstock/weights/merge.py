"""Is a model a weighted sum of others, and with which weights?

The change from the base is fitted by the parents' changes, over the tenth of the weights that are smallest in
the base: there rounding to bfloat16 is finest, and elsewhere it biases the fit (0.875 instead of 0.7 was seen).
Without a base the parents' weights must sum to one, so the last parent serves as base.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import msgspec
import numpy as np
from numpy.typing import NDArray

from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.elements import Floats, round_bf16
from seedstock.weights.layout import Layout, Slot, find_layout
from seedstock.weights.sampling import sample

MAX_PARENTS = 8
# A smaller coefficient is no parent.
LEAST_COEFFICIENT = 0.03
_TENSORS = 28
_VALUES = 32_768
_SMALLEST = 0.1
_LEAST_R2 = 0.97
_MOST_RESIDUE = 1.6
_MOST_ERROR = 0.01
_LEAST_MEMBERS = 0.97
_LEAST_ROWS = 512
_ROLES = ("q", "k", "v", "qkv", "o", "gate", "up", "down")

Reals = NDArray[np.float64]


class MergeFit(msgspec.Struct, frozen=True):
    """`coefficients` follow the parents given; `method` is "linear" (SLERP of close models too) or "ties".

    `residue`: what the fit leaves, in units of the stored type's rounding. `errors`: standard errors.
    """

    coefficients: tuple[float, ...]
    r2: float
    method: str
    residue: float
    errors: tuple[float, ...]
    values: int
    with_base: bool

    @property
    def parents(self) -> tuple[int, ...]:
        """Positions of the parents whose coefficient is not near zero."""
        return tuple(at for at, value in enumerate(self.coefficients) if abs(value) >= LEAST_COEFFICIENT)


def explain_merge(
    target: Checkpoint, parents: Sequence[Checkpoint], base: Checkpoint | None = None
) -> MergeFit | None:
    """Return the weights that make `target` of `parents`, or None if no sum of at least two explains it.

    The caller has established that target and parents are related in place (compare says derived).
    """
    if not 2 <= len(parents) <= MAX_PARENTS:
        return None
    samples = _samples([target, *parents, *([base] if base is not None else [])])
    if samples is None:
        return None
    wanted, given, root = samples[0], samples[1 : 1 + len(parents)], samples[-1]
    deltas = (given if base is not None else given[:-1]) - root
    change = wanted - root
    fit = _linear(change, deltas, wanted)
    if base is None:
        return _complete(fit) if fit is not None else None
    return fit or _ties(change, deltas, wanted)


def _complete(fit: MergeFit) -> MergeFit | None:
    """Add the parent that served as base: coefficients sum to one."""
    rest = 1.0 - sum(fit.coefficients)
    whole = msgspec.structs.replace(
        fit,
        coefficients=(*fit.coefficients, rest),
        errors=(*fit.errors, float(np.sqrt(np.square(fit.errors).sum()))),
        with_base=False,
    )
    return whole if len(whole.parents) >= 2 else None


def _linear(change: Reals, deltas: Reals, wanted: Reals) -> MergeFit | None:
    normal = deltas @ deltas.T
    if np.linalg.matrix_rank(normal, tol=1e-9 * max(float(np.trace(normal)), 1e-300)) < len(deltas):
        return None
    coefficients = np.linalg.solve(normal, deltas @ change)
    left = change - coefficients @ deltas
    variance = float((left**2).mean())
    total = float((change**2).mean())
    if total == 0:
        return None
    errors = np.sqrt(np.diag(np.linalg.inv(normal)) * variance)
    fit = MergeFit(
        coefficients=tuple(float(value) for value in coefficients),
        r2=1 - variance / total,
        method="linear",
        residue=float(np.sqrt(variance) / _rounding(wanted)),
        errors=tuple(float(value) for value in errors),
        values=change.size,
        with_base=True,
    )
    good = (fit.r2 >= _LEAST_R2 or fit.residue <= _MOST_RESIDUE) and float(errors.max()) <= _MOST_ERROR
    return fit if good and (len(fit.parents) >= 2 or len(deltas) == 1) else None


def _ties(change: Reals, deltas: Reals, wanted: Reals) -> MergeFit | None:
    """TIES keeps, value by value, the mean of some of the parents' changes, or nothing. Weights mean little then."""
    tolerance = 1.1 * _half_ulp(wanted) + 1e-12
    candidates = [np.zeros(change.size)]
    for count in range(1, min(len(deltas), 4) + 1):
        candidates += [
            deltas[list(chosen)].mean(axis=0) for chosen in combinations(range(len(deltas)), count)
        ]
    options = np.array(candidates)
    telling = np.ptp(options, axis=0) > 8 * tolerance  # where the options can be told apart
    if np.count_nonzero(telling) < _LEAST_ROWS:
        return None
    near = np.abs(options - change)[:, telling] <= tolerance[telling]
    share = float(near.any(axis=0).mean())
    apart = [near[1 + at] & ~np.delete(near, 1 + at, axis=0).any(axis=0) for at in range(len(deltas))]
    if share < _LEAST_MEMBERS or sum(bool(only.mean() > 0.01) for only in apart) < 2:
        return None
    used = tuple(float(only.mean() / max(share, 1e-9)) for only in apart)
    return MergeFit(used, share, "ties", 0.0, (0.0,) * len(used), int(telling.sum()), with_base=True)


def _samples(models: list[Checkpoint]) -> Reals | None:
    """Values of all models at the same places: (models, values), the smallest tenth of the last one's."""
    slots = _common_slots(models)
    if not slots:
        return None
    parts = []
    for row in slots:
        values = np.array([sample(model, slot, _VALUES, 0) for model, slot in zip(models, row, strict=True)])
        if not np.isfinite(values).all():
            return None
        size = np.abs(values[-1])
        parts.append(values[:, size <= np.quantile(size, _SMALLEST)])
    joined = np.concatenate(parts, axis=1).astype(np.float64)
    return joined if joined.shape[1] >= _LEAST_ROWS else None


def _common_slots(models: list[Checkpoint]) -> list[list[Slot]]:
    layouts = [find_layout(model) for model in models]
    counts = {len(layout.layers) for layout in layouts}
    if len(counts) != 1 or counts == {0}:
        return []
    mixed = len({model.format for model in models}) > 1
    roles = [role for role in _ROLES if not (mixed and role in {"q", "k", "qkv"})]
    rows = [row for at in range(counts.pop()) for role in roles if (row := _row(layouts, at, role))]
    if len(rows) <= _TENSORS:
        return rows
    return [rows[at] for at in np.unique(np.linspace(0, len(rows) - 1, _TENSORS).round().astype(int))]


def _row(layouts: list[Layout], at: int, role: str) -> list[Slot] | None:
    slots = [layout.layers[at].slots.get(role) for layout in layouts]
    known = [slot for slot in slots if slot is not None]
    same = len(known) == len(layouts) and len({slot.shape for slot in known}) == 1
    return known if same and len({slot.transposed for slot in known}) == 1 else None


def _half_ulp(wanted: Reals) -> Reals:
    """Half a unit in the last place of the target as it is stored: bfloat16, or finer where it holds finer values."""
    single: Floats = wanted.astype(np.float32)
    _, exponent = np.frexp(wanted)
    if np.array_equal(round_bf16(single), single):
        return np.asarray(np.ldexp(1.0, exponent - 9))
    half = np.array_equal(single.astype(np.float16).astype(np.float32), single)
    return np.asarray(np.ldexp(1.0, exponent - (12 if half else 25)))


def _rounding(wanted: Reals) -> float:
    return max(float(np.sqrt((_half_ulp(wanted) ** 2).mean() / 3)), 1e-300)
