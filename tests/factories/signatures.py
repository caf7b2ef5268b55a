"""Signatures of random bits: models that are related to nothing."""

from __future__ import annotations

import numpy as np

from seedstock.weights.profile import SKETCH_BYTES
from seedstock.weights.signature import MAX_SKETCHES, Signature


def random_signature(seed: int, hidden_size: int = 4096) -> Signature:
    """A signature of as many layers as are kept, the same for the same seed."""
    raw = np.random.default_rng(seed).bytes(SKETCH_BYTES * (MAX_SKETCHES + 1))
    sketches, anchors = raw[SKETCH_BYTES:], raw[:SKETCH_BYTES]
    return Signature("gated", hidden_size, MAX_SKETCHES, sketches, anchors, {}, None, "BF16", 0)
