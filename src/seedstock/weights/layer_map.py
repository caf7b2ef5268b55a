"""Which layer of one model is which layer of the other: monotone alignment by dynamic programming."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.layout import Layout
from seedstock.weights.profile import Reals, all_profiles
from seedstock.weights.sampling import sample, standardised
from seedstock.weights.thresholds import MAP_COSINE, PROFILE_COSINE

_ROLES = ("o", "down", "up", "v", "gate", "qkv", "q")
_SAMPLED_ROLES = 3
_VALUES = 2048


def common_roles(a: Layout, b: Layout) -> list[str]:
    """Matrix roles that all layers of both have, in one shape."""
    found = []
    for role in _ROLES:
        slots = [layer.slots.get(role) for layer in (*a.layers, *b.layers)]
        shapes = {slot.shape for slot in slots if slot is not None}
        if None not in slots and len(shapes) == 1:
            found.append(role)
    return found


def value_samples(checkpoint: Checkpoint, layout: Layout, roles: Sequence[str], seed: int) -> Reals:
    """One unit vector of sampled weights for each layer: (layers, values)."""
    rows = []
    for layer in layout.layers:
        parts = [
            standardised(sample(checkpoint, layer.slots[role], _VALUES, seed))
            for role in roles[:_SAMPLED_ROLES]
        ]
        rows.append(np.concatenate(parts) / np.sqrt(len(parts)))
    return np.array(rows)


def value_cosines(a: Checkpoint, layout_a: Layout, b: Checkpoint, layout_b: Layout, seed: int) -> Reals:
    """Cosine of the sampled weights of every layer of a with every layer of b; zeros if nothing is comparable."""
    roles = common_roles(layout_a, layout_b)
    if "transposed" in _storage(layout_a) | _storage(layout_b):
        roles = [role for role in roles if role in {"o", "down"}][:1]
    if not roles:
        return np.zeros((len(layout_a.layers), len(layout_b.layers)))
    return np.asarray(value_samples(a, layout_a, roles, seed) @ value_samples(b, layout_b, roles, seed).T)


def _storage(layout: Layout) -> set[str]:
    return {
        "transposed" if slot.transposed else "plain"
        for layer in layout.layers
        for slot in layer.slots.values()
    }


def profile_cosines(a: Checkpoint, layout_a: Layout, b: Checkpoint, layout_b: Layout) -> Reals:
    """Cosine of the layer profiles; zeros where a layer has none or widths differ."""
    if not layout_a.profile_role or layout_a.profile_role != layout_b.profile_role:
        return np.zeros((len(layout_a.layers), len(layout_b.layers)))
    left, right = _units(all_profiles(a, layout_a)), _units(all_profiles(b, layout_b))
    if left.shape[1] != right.shape[1]:
        return np.zeros((len(left), len(right)))
    return np.asarray(left @ right.T)


def _units(profiles: list[Reals | None]) -> Reals:
    width = next((profile.size for profile in profiles if profile is not None), 1)
    out = np.zeros((len(profiles), width))
    for index, profile in enumerate(profiles):
        if profile is not None and profile.size == width and np.isfinite(profile).all():
            norm = np.linalg.norm(profile)
            out[index] = profile / norm if norm > 0 else 0
    return out


def align_layers(cosines: NDArray[np.float64], least: float) -> list[tuple[int, int]]:
    """Pairs (i, j), both rising, with the largest sum of max(0, cosine - least); pairs without gain are left out."""
    gains = np.maximum(0.0, cosines - least)
    best = np.zeros((gains.shape[0] + 1, gains.shape[1] + 1))
    for i in range(gains.shape[0]):
        with_pair = best[i, :-1] + gains[i]
        best[i + 1, 1:] = np.maximum(best[i, 1:], with_pair)
        np.maximum.accumulate(best[i + 1], out=best[i + 1])
    pairs = []
    i, j = gains.shape
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def map_by_values(cosines: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Layers whose weights agree place by place."""
    return align_layers(cosines, MAP_COSINE)


def map_by_profiles(cosines: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Layers whose profiles agree: candidates for the tests that look for another order."""
    return align_layers(cosines, PROFILE_COSINE)
