"""Strengths of models from votes: the Bradley-Terry model with bootstrap confidence intervals.

Of two models i and j, i is preferred with probability 1 / (1 + exp(s_j - s_i)). Strengths are fitted by maximum
likelihood, a tie being half a win for either (Bradley and Terry 1952; the intervals as in Chiang et al. 2024).
A faint normal prior keeps the strength of a model that has won or lost everything finite.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PRIOR = 0.05
"""Precision of the prior: a standard deviation of 4.5, some 780 points; ten votes outweigh it."""
SCALE = 400 / np.log(10)
CENTRE = 1000.0
REPLICATES = 1000
_MANY_MODELS = 50
_FEWER_REPLICATES = 300
"""Of many models: each sample costs the cube of their number."""
_MAX_STEPS = 100
_SAMPLE_TOLERANCE = 1e-3
"""Of a bootstrap sample: Newton's error after such a step is its square, a thousandth of a point."""
_BATCH_FLOATS = 4_000_000


class Contribution(msgspec.Struct, frozen=True):
    """What one battle says: (i, j, share) for each pair, `share` of a win of i over j. `count` such battles."""

    pairs: tuple[tuple[int, int, float], ...]
    count: int


class Fit(msgspec.Struct, frozen=True):
    """Elo-scaled strengths and the ends of their intervals."""

    strength: list[float]
    low: list[float]
    high: list[float]


def fit_strengths(
    wins: Floats, prior: float = PRIOR, *, start: Floats | None = None, tolerance: float = 1e-9
) -> Floats:
    """Natural strengths, of mean 0, for a matrix (or a stack of them) of wins of row over column.

    Newton's method from `start` until no step is larger than `tolerance`; the likelihood is concave. With a prior of 0 the strengths of models that never lost, or that were
    never compared, are not defined.
    """
    games = wins + np.swapaxes(wins, -1, -2)
    strengths = np.zeros(wins.shape[:-1]) if start is None else np.broadcast_to(start, wins.shape[:-1])
    diagonal = np.eye(wins.shape[-1])
    for _ in range(_MAX_STEPS):
        difference = strengths[..., :, None] - strengths[..., None, :]
        expected = 1 / (1 + np.exp(-difference))
        gradient = (wins - games * expected).sum(-1) - prior * strengths
        weights = games * expected * (1 - expected)
        curvature = diagonal * (weights.sum(-1) + prior + 1e-9)[..., None] - weights
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        # Far from the summit a full step can overshoot.
        largest = np.abs(step).max(-1, keepdims=True, initial=1.0)
        strengths = strengths + step / largest
        if np.abs(step).max(initial=0.0) < tolerance:
            break
    centred: Floats = strengths - strengths.mean(-1, keepdims=True)
    return centred


def wins_of(contributions: Sequence[Contribution], models: int) -> Floats:
    """Wins of row over column."""
    wins = np.zeros((models, models))
    for contribution in contributions:
        for row, column, share in contribution.pairs:
            wins[row, column] += share * contribution.count
    return wins


def fit_with_intervals(
    contributions: Sequence[Contribution], models: int, *, seed: int = 0, replicates: int | None = None
) -> Fit:
    """Strengths with 95 % percentile intervals over resampled battles; the same for the same seed.

    Battles are resampled whole: the pairs of one are not independent.
    """
    if not contributions or not models:
        return Fit([CENTRE] * models, [CENTRE] * models, [CENTRE] * models)
    if replicates is None:
        replicates = REPLICATES if models <= _MANY_MODELS else _FEWER_REPLICATES
    strengths = fit_strengths(wins_of(contributions, models))
    counts = np.array([contribution.count for contribution in contributions])
    cells, owners, shares = _flattened(contributions, models)
    random = np.random.default_rng(seed)
    found = []
    batch = max(1, _BATCH_FLOATS // (models * models))
    for start in range(0, replicates, batch):
        size = min(batch, replicates - start)
        drawn = random.multinomial(counts.sum(), counts / counts.sum(), size=size)
        wins: Floats = np.array(
            [np.bincount(cells, weights=draw[owners] * shares, minlength=models * models) for draw in drawn],
            dtype=np.float64,
        )
        samples = wins.reshape(size, models, models)
        found.append(fit_strengths(samples, start=strengths, tolerance=_SAMPLE_TOLERANCE))
    low, high = np.percentile(np.concatenate(found), [2.5, 97.5], axis=0)
    return Fit(*(list(map(float, CENTRE + SCALE * values)) for values in (strengths, low, high)))


def _flattened(
    contributions: Sequence[Contribution], models: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
    """Cell of the matrix, number of the contribution, and share, of every pair."""
    rows = [
        (row * models + column, owner, share)
        for owner, contribution in enumerate(contributions)
        for row, column, share in contribution.pairs
    ]
    cells, owners, shares = zip(*rows, strict=True)
    return np.array(cells), np.array(owners), np.array(shares, dtype=float)
