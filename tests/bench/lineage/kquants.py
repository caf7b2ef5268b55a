"""Q4_K and Q6_K encoders: plain ones (no search for better scales), in the layout that llama.cpp reads.

The `gguf` package decodes these types and does not encode them; its decoder is what the test of this module uses.
"""

from __future__ import annotations

import numpy as np

BLOCK = 256


def q4_k(rows: np.ndarray) -> np.ndarray:
    """Rows of float32, a multiple of 256 wide, as bytes [rows, ...]: 8 groups of 32, 4-bit codes with scale and minimum."""
    groups = rows.reshape(-1, 8, 32).astype(np.float32)
    low = np.minimum(groups.min(axis=2), 0)
    scale = (groups.max(axis=2) - low) / 15
    d = (scale.max(axis=1) / 63).astype(np.float16)
    dmin = ((-low).max(axis=1) / 63).astype(np.float16)
    scales = _codes(scale, d[:, None].astype(np.float32), 63)
    minima = _codes(-low, dmin[:, None].astype(np.float32), 63)
    step = d[:, None].astype(np.float32) * scales
    codes = _codes(groups + (dmin[:, None].astype(np.float32) * minima)[:, :, None], step[:, :, None], 15)
    packed = np.empty((len(groups), 12), np.uint8)
    packed[:, :4] = scales[:, :4] | ((scales[:, 4:] >> 4) << 6)
    packed[:, 4:8] = minima[:, :4] | ((minima[:, 4:] >> 4) << 6)
    packed[:, 8:] = (scales[:, 4:] & 15) | ((minima[:, 4:] & 15) << 4)
    pairs = codes.reshape(-1, 4, 2, 32)
    halves = (pairs[:, :, 0] | (pairs[:, :, 1] << 4)).reshape(-1, 128)
    blocks = np.hstack([d[:, None].view(np.uint8), dmin[:, None].view(np.uint8), packed, halves])
    return blocks.reshape(len(rows), -1)


def q6_k(rows: np.ndarray) -> np.ndarray:
    """Rows of float32 as bytes [rows, ...]: 16 groups of 16, 6-bit codes with signed 8-bit scales."""
    groups = rows.reshape(-1, 16, 16).astype(np.float32)
    scale = np.abs(groups).max(axis=2) / 31
    d = (scale.max(axis=1) / 127).astype(np.float16)
    scales = _codes(scale, d[:, None].astype(np.float32), 127)
    step = (d[:, None].astype(np.float32) * scales)[:, :, None]
    codes = _codes(groups + 32 * step, step, 63).reshape(-1, 2, 4, 32)  # half, quarter of it, element
    ql = np.stack([(codes[:, :, 0] & 15) | ((codes[:, :, 2] & 15) << 4),
                   (codes[:, :, 1] & 15) | ((codes[:, :, 3] & 15) << 4)], axis=2)  # fmt: skip
    high = codes >> 4
    qh = high[:, :, 0] | (high[:, :, 1] << 2) | (high[:, :, 2] << 4) | (high[:, :, 3] << 6)
    blocks = np.hstack(
        [ql.reshape(-1, 128), qh.reshape(-1, 64), scales.view(np.uint8), d[:, None].view(np.uint8)]
    )
    return blocks.reshape(len(rows), -1)


def _codes(values: np.ndarray, step: np.ndarray, top: int) -> np.ndarray:
    safe = np.where(step > 0, step, 1)
    return np.clip(np.rint(values / safe), 0, top).astype(np.uint8)
