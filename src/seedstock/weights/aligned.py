"""Statistics of two models' weights at equal places, layer by layer and role by role."""

from __future__ import annotations

import msgspec
import numpy as np

from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.elements import Floats, is_block_type, round_bf16
from seedstock.weights.layout import EXTRA, Layer, Slot
from seedstock.weights.sampling import cosine, is_constant, sample_pair
from seedstock.weights.thresholds import DERIVED_COSINE, UNRELATED_COSINE

VALUES = 8192
MATRIX_ROLES = ("q", "k", "v", "qkv", "o", "gate", "up", "down")
_LEAST_ELEMENTS = 1024
_MAX_EXTRAS = 8


class Aligned(msgspec.Struct, frozen=True):
    """One pair of tensors. `rho` is |A-B|/|A|; `bit_distance` differing bits of bf16; `finite` false if NaN or inf."""

    role: str
    a: str
    b: str
    elements: int
    cosine: float = 0.0
    rho: float = 0.0
    bit_distance: float = 0.0
    unchanged: float = 0.0
    zeros_a: float = 0.0
    zeros_b: float = 0.0
    finite: bool = True
    constant: bool = False

    @property
    def status(self) -> str:
        """Whether this pair shows derivation: derived, none or unclear."""
        if not self.finite or self.constant:
            return "unclear"
        if self.cosine >= DERIVED_COSINE:
            return "derived"
        return "none" if abs(self.cosine) < UNRELATED_COSINE else "unclear"


def aligned_slots(role: str, a: Checkpoint, slot_a: Slot, b: Checkpoint, slot_b: Slot, seed: int) -> Aligned:
    """Compare two slots of one shape at about 8,192 places."""
    left, right = sample_pair(a, slot_a, b, slot_b, VALUES, seed)
    pair = Aligned(role, slot_a.name, slot_b.name, slot_a.elements)
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return msgspec.structs.replace(pair, finite=False)
    if is_constant(left) or is_constant(right):
        return msgspec.structs.replace(pair, constant=True, unchanged=float((left == right).mean()))
    wide = left.astype(np.float64)
    return msgspec.structs.replace(
        pair,
        cosine=cosine(left, right),
        rho=float(np.linalg.norm(wide - right) / max(float(np.linalg.norm(wide)), 1e-300)),
        bit_distance=bit_distance(left, right),
        unchanged=float((left == right).mean()),
        zeros_a=float((left == 0).mean()),
        zeros_b=float((right == 0).mean()),
    )


def bit_distance(left: Floats, right: Floats) -> float:
    """Mean number of differing bits of the two as bfloat16."""
    codes = [round_bf16(values).view(np.uint32) >> np.uint32(16) for values in (left, right)]
    return float(np.bitwise_count(codes[0] ^ codes[1]).mean())


def aligned_layers(a: Checkpoint, layer_a: Layer, b: Checkpoint, layer_b: Layer, seed: int) -> list[Aligned]:
    """Compare the matrices of two layers that have a common role and shape."""
    same_files = a.format == b.format
    found = []
    common = common_matrices(layer_a, layer_b)
    extras = [role for role in common if role.startswith(EXTRA)]
    if len(extras) > _MAX_EXTRAS:
        drawn = np.random.default_rng([seed, len(extras)]).choice(len(extras), _MAX_EXTRAS, replace=False)
        extras = [extras[index] for index in sorted(drawn)]
    for role in (*(role for role in common if role in MATRIX_ROLES), *extras):
        slot_a, slot_b = layer_a.slots[role], layer_b.slots[role]
        # GGUF stores q and k rows in another order for rotary positions, and takes fused heads apart.
        if (role in {"q", "k", "qkv"} and not same_files) or slot_a.elements < _LEAST_ELEMENTS:
            continue
        found.append(aligned_slots(role, a, slot_a, b, slot_b, seed))
    return found


def common_matrices(layer_a: Layer, layer_b: Layer) -> list[str]:
    """Roles of matrices that two layers have in one shape."""
    return [
        role
        for role, slot in layer_a.slots.items()
        if (role in MATRIX_ROLES or role.startswith(EXTRA))
        and role in layer_b.slots
        and layer_b.slots[role].shape == slot.shape
    ]


def comparable_share(layer_a: Layer, layer_b: Layer) -> float:
    """Share of the smaller layer's matrix elements that the other has in the same role and shape."""
    sizes = [
        sum(slot.elements for slot in layer.slots.values() if slot.columns > 1)
        for layer in (layer_a, layer_b)
    ]
    return sum(layer_a.slots[role].elements for role in common_matrices(layer_a, layer_b)) / max(
        min(sizes), 1
    )


def is_quantised(slot: Slot) -> bool:
    """Whether the slot is stored in GGUF blocks or in 8 bits."""
    return is_block_type(slot.dtype) or slot.dtype.startswith("F8") or slot.dtype in {"I8", "U8"}
