"""The profile of a layer: how its output energy is spread over the residual stream.

c_j = log sum_i W_ji^2 over row j of the projection that writes into the residual stream. It does not depend on
the order of MLP neurons or heads, and its rows are contiguous in every format, so a sample of residual
dimensions is a sample of rows: 2 to 12 % of the file is read, and GGUF blocks are decoded whole.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from seedstock.weights.checkpoint import MAX_READ_ELEMENTS, Checkpoint
from seedstock.weights.elements import Floats
from seedstock.weights.layout import Layout, Slot, read_rows

SKETCH_BITS = 128
SKETCH_BYTES = SKETCH_BITS // 8
_RUNS = 4
_CLIP = 3.0
# Below this spread of c, rows are as good as equal: constant weights, not trained or drawn ones.
_LEAST_SPREAD = 1e-4

Reals = NDArray[np.float64]


def profile_rows(rows: int) -> list[tuple[int, int]]:
    """Runs [first, last) of residual dimensions that are sampled: a function of the width alone."""
    wanted = min(max(rows // 2 if rows < 128 else 64, rows // 6), 256)
    runs = _RUNS if wanted >= 16 else 1
    length = max(1, wanted // runs)
    starts = [index * rows // runs for index in range(runs)]
    return [(start, min(start + length, rows)) for start in starts]


def layer_profile(checkpoint: Checkpoint, slot: Slot) -> Reals | None:
    """Return the standardised profile; None where weights are constant or zero. NaN stands for bad values."""
    rows = profile_rows(slot.shape[0])
    if slot.transposed:
        whole = read_rows(checkpoint, slot)
        energy = np.concatenate([_energy(whole[first:last]) for first, last in rows])
    else:
        energy = np.concatenate([_run_energy(checkpoint, slot, first, last) for first, last in rows])
    if not np.isfinite(energy).all():
        return np.full(energy.shape, np.nan)
    if np.count_nonzero(energy) * 2 < energy.size:
        return None
    logs = np.log(np.maximum(energy, energy[energy > 0].min()))
    spread = float(logs.std())
    if not spread > _LEAST_SPREAD:
        return None
    return np.asarray(np.clip((logs - logs.mean()) / spread, -_CLIP, _CLIP))


def _run_energy(checkpoint: Checkpoint, slot: Slot, first: int, last: int) -> Reals:
    step = max(1, min(last - first, MAX_READ_ELEMENTS // 8 // max(slot.columns, 1)))
    parts = [
        _energy(read_rows(checkpoint, slot, start, min(start + step, last)))
        for start in range(first, last, step)
    ]
    return np.concatenate(parts)


def _energy(values: Floats) -> Reals:
    with np.errstate(all="ignore"):
        return np.asarray(np.einsum("ij,ij->i", values, values), dtype=np.float64)


def all_profiles(
    checkpoint: Checkpoint, layout: Layout, indices: list[int] | None = None
) -> list[Reals | None]:
    """Profiles of the layers at these positions (all by default), in order."""
    role = layout.profile_role
    chosen = range(len(layout.layers)) if indices is None else indices
    return [layer_profile(checkpoint, layout.layers[index].slots[role]) for index in chosen]


def sketch(profile: Reals | None, hidden_size: int) -> bytes:
    """128 signs of random projections; 16 zero bytes for a layer that says nothing."""
    if profile is None or not np.isfinite(profile).all():
        return bytes(SKETCH_BYTES)
    signs = _projection(profile.size, hidden_size)
    return np.packbits(profile @ signs > 0).tobytes()


def _projection(size: int, hidden_size: int) -> Reals:
    """A fixed matrix of +-1; from a hash, because a sketch must mean the same in ten years."""
    seed = f"layer-sketch@1:{hidden_size}:{size}".encode()
    raw = np.frombuffer(hashlib.shake_128(seed).digest(size * SKETCH_BYTES), dtype=np.uint8)
    return np.unpackbits(raw).reshape(size, SKETCH_BITS).astype(np.float64) * 2 - 1
