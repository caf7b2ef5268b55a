"""Have two models the same embeddings in another basis? The orthogonal map between them, checked on held-out tokens."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.elements import Floats
from seedstock.weights.layout import Slot, read_rows
from seedstock.weights.sampling import cosine
from seedstock.weights.thresholds import EMBEDDING_COSINE, ROTATION

# Time of the decomposition grows with the cube: 0.3 s at 576, 2 s at 1,024. Wider ones: permutations only.
MAX_ROTATED_WIDTH = 1024
_RUNS = 8
_LEAST_TOKENS = 64


class EmbeddingMatch(msgspec.Struct, frozen=True):
    """`cosine` at equal places; `held_out` after the best basis change, with the map if it was worth finding."""

    cosine: float
    held_out: float = 0.0
    rotation: NDArray[np.float32] | None = None


def match_embeddings(
    a: Checkpoint, slot_a: Slot | None, b: Checkpoint, slot_b: Slot | None, seed: int
) -> EmbeddingMatch | None:
    """Compare sampled token rows. None without two embeddings of one width and of usable values."""
    if slot_a is None or slot_b is None or slot_a.columns != slot_b.columns or slot_a.columns < 2:
        return None
    tokens = min(slot_a.shape[0], slot_b.shape[0])
    if tokens < _LEAST_TOKENS or slot_a.columns > 1 << 16:
        return None
    wanted = min(tokens, max(2000, 2 * min(slot_a.columns, MAX_ROTATED_WIDTH)) + 512)
    left, right = (
        _token_rows(model, slot, tokens, wanted, seed) for model, slot in ((a, slot_a), (b, slot_b))
    )
    usable = (np.isfinite(left) & np.isfinite(right)).all(axis=1) & (left.any(axis=1) & right.any(axis=1))
    left, right = left[usable], right[usable]
    if len(left) < _LEAST_TOKENS or np.ptp(left) == 0 or np.ptp(right) == 0:
        return None
    straight = cosine(left.reshape(-1), right.reshape(-1))
    if straight >= EMBEDDING_COSINE / 2:
        return EmbeddingMatch(straight)
    rotation, held_out = _basis_change(left, right)
    return EmbeddingMatch(straight, held_out, rotation if held_out > ROTATION else None)


def _token_rows(checkpoint: Checkpoint, slot: Slot, tokens: int, wanted: int, seed: int) -> Floats:
    """Rows in evenly spread runs, at token numbers that exist in both."""
    length = wanted // _RUNS
    drawn = np.random.default_rng([seed, tokens]).random(_RUNS)
    room = tokens // _RUNS - length
    starts = [run * tokens // _RUNS + int(at * room) for run, at in enumerate(drawn)] if room > 0 else [0]
    length = length if room > 0 else tokens
    return np.concatenate(
        [read_rows(checkpoint, slot, start, min(start + length, tokens)) for start in starts]
    )


def _basis_change(left: Floats, right: Floats) -> tuple[NDArray[np.float32] | None, float]:
    """The better of a permutation (with signs) of the width and, where it can be afforded, a full rotation."""
    held = np.arange(len(left)) % 4 == 3
    left, right = _unit(left), _unit(right)
    product = left[~held].T @ right[~held]
    best = _permutation(product)
    score = _similarity(left[held] @ best, right[held])
    # A permutation can score 0.38 against a rotated copy, by the few directions that most rows share.
    if product.shape[0] <= MAX_ROTATED_WIDTH and np.count_nonzero(~held) > product.shape[0]:
        u, _, vt = np.linalg.svd(product.astype(np.float64))
        rotation = (u @ vt).astype(np.float32)
        turned = _similarity(left[held] @ rotation, right[held])
        if turned > score:
            best, score = rotation, turned
    return best, score


def _unit(rows: Floats) -> Floats:
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(norms, 1e-30), dtype=np.float32)


def _permutation(product: Floats) -> NDArray[np.float32]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.abs(product), maximize=True)
    matrix = np.zeros_like(product)
    matrix[rows, columns] = np.sign(product[rows, columns])
    return matrix


def _similarity(left: Floats, right: Floats) -> float:
    return float(np.einsum("ij,ij->i", left, right).mean())
