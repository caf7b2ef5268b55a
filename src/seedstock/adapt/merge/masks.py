"""Which changes DARE drops: by chance, but the same chance for one seed, tensor name and model, in whatever order.

Imports numpy alone: the tests run it inside mergekit's interpreter to give both sides one mask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

STEPS = 1 << 16


def kept_pieces(
    seed: int, tensor: str, model: int, density: float, elements: int, piece: int
) -> Iterator[NDArray[np.bool_]]:
    """Masks of `piece` elements (a multiple of four; the last may be shorter): each is True with probability `density`.

    16 random bits decide an element, so that density is taken to the nearest 1/65536.
    """
    key = hashlib.sha256(f"{seed}\n{model}\n{tensor}".encode()).digest()
    source = np.random.PCG64(int.from_bytes(key[:16], "little"))
    limit = round(density * STEPS)
    for start in range(0, elements, piece):
        size = min(piece, elements - start)
        drawn = source.random_raw(-(-size // 4)).astype("<u8").view("<u2")[:size]
        yield drawn < limit


def kept(seed: int, tensor: str, model: int, density: float, elements: int) -> NDArray[np.bool_]:
    """The mask of a whole tensor."""
    return np.concatenate(list(kept_pieces(seed, tensor, model, density, elements, STEPS)))
