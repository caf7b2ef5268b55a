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
Numbers = npt.NDArray[np.int64]

PRIOR = 0.05
"""Precision of the prior: a standard deviation of 4.5, some 780 points; ten votes outweigh it."""
SCALE = 400 / np.log(10)
CENTRE = 1000.0
REPLICATES = 1000
_MANY_MODELS = 50
_FEWER_REPLICATES = 300
_MAX_STEPS = 100
_SAMPLE_TOLERANCE = 1e-3
"""Of a bootstrap sample: Newton's error after such a step is its square, a thousandth of a point."""
_SOLVED = 1e-16
"""Of a linear system: the square of what may be left, over what there was."""
_BATCH_FLOATS = 100_000
"""In an array of a batch: those of a step stay in the processor's cache."""


class Contribution(msgspec.Struct, frozen=True):
    """What one battle says: (i, j, share) for each pair, `share` of a win of i over j. `count` such battles."""

    pairs: tuple[tuple[int, int, float], ...]
    count: int


class Fit(msgspec.Struct, frozen=True):
    """Elo-scaled strengths and the ends of their intervals."""

    strength: list[float]
    low: list[float]
    high: list[float]


def fit_strengths(wins: Floats, prior: float = PRIOR) -> Floats:
    """Natural strengths, of mean 0, for a matrix of wins of row over column.

    With a prior of 0 the strengths of models that never lost, or that were never compared, are not defined.
    """
    games = wins + wins.T
    left, right = np.nonzero(np.triu(games, 1))
    return _fitted(_Pairs(left, right, len(wins)), wins[left, right, None], games[left, right, None], prior)[
        :, 0
    ]


class _Pairs:
    """The pairs that were compared. Of many models most never were: matrices of all of them would be empty."""

    def __init__(self, left: Numbers, right: Numbers, models: int) -> None:
        """`left` in rising order."""
        self._left, self._right, self.models = left, right, models
        self._lefts, self._left_starts = np.unique(left, return_index=True)
        self._by_right = np.argsort(right, kind="stable")
        self._rights, self._right_starts = np.unique(right[self._by_right], return_index=True)

    def __len__(self) -> int:
        return len(self._left)

    def differences(self, strengths: Floats) -> Floats:
        """(models, samples) to (pairs, samples): left minus right."""
        found: Floats = strengths[self._left] - strengths[self._right]
        return found

    def sums(self, values: Floats, *, of_right: float = -1.0) -> Floats:
        """(pairs, samples) to (models, samples): the values of its pairs, times `of_right` where it is the right one."""
        found = np.zeros((self.models, values.shape[1]))
        found[self._lefts] = np.add.reduceat(values, self._left_starts)
        found[self._rights] += of_right * np.add.reduceat(values[self._by_right], self._right_starts)
        return found


def _fitted(
    pairs: _Pairs,
    won: Floats,
    games: Floats,
    prior: float,
    *,
    start: Floats | None = None,
    tolerance: float = 1e-9,
) -> Floats:
    """Strengths for samples of `games` of each pair, of which its left one `won` that many.

    Newton's method from `start` until no step is larger than `tolerance`; the likelihood is concave.
    """
    strengths = np.zeros((pairs.models, won.shape[1])) + (0.0 if start is None else start[:, None])
    for _ in range(_MAX_STEPS):
        expected = 1 / (1 + np.exp(-pairs.differences(strengths)))
        gradient = pairs.sums(won - games * expected) - prior * strengths
        step = _solved(pairs, games * expected * (1 - expected), prior + 1e-9, gradient)
        # Far from the summit a full step can overshoot.
        strengths = strengths + step / np.abs(step).max(0, initial=1.0)
        if np.abs(step).max(initial=0.0) < tolerance:
            break
    centred: Floats = strengths - strengths.mean(0)
    return centred


def _solved(pairs: _Pairs, weights: Floats, ridge: float, wanted: Floats) -> Floats:
    """What the likelihood's curvature, of these weights of pairs, maps to `wanted`: by conjugate gradients.

    Solving with matrices takes the cube of the number of models, and on a busy machine much longer, as its threads
    wait for each other.
    """
    diagonal = pairs.sums(weights, of_right=1.0) + ridge
    found, rest = np.zeros_like(wanted), wanted
    direction = rest / diagonal
    size = (rest * direction).sum(0)
    enough = size * _SOLVED
    for _ in range(2 * pairs.models + 10):
        open_ = size > enough
        if not open_.any():
            break
        mapped = pairs.sums(weights * pairs.differences(direction)) + ridge * direction
        along = (direction * mapped).sum(0)
        length = np.divide(size, along, out=np.zeros_like(size), where=open_ & (along > 0))
        found = found + length * direction
        rest = rest - length * mapped
        scaled = rest / diagonal
        fresh = (rest * scaled).sum(0)
        direction = scaled + np.divide(fresh, size, out=np.zeros_like(size), where=open_) * direction
        size = np.where(open_, fresh, size)
    return found


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
    counts = np.array([contribution.count for contribution in contributions])
    pairs, mentions = _flattened(contributions, models)
    strengths = _fitted(pairs, *mentions.drawn(counts[None]), PRIOR)[:, 0]
    random = np.random.default_rng(seed)
    found = []
    batch = max(1, _BATCH_FLOATS // max(len(pairs), models, 1))
    for start in range(0, replicates, batch):
        size = min(batch, replicates - start)
        drawn = random.multinomial(counts.sum(), counts / counts.sum(), size=size)
        samples = mentions.drawn(drawn)
        found.append(_fitted(pairs, *samples, PRIOR, start=strengths, tolerance=_SAMPLE_TOLERANCE))
    low, high = np.percentile(np.concatenate(found, axis=1), [2.5, 97.5], axis=1)
    return Fit(*(list(map(float, CENTRE + SCALE * values)) for values in (strengths, low, high)))


class _Mentions(msgspec.Struct, frozen=True):
    """Every mention of a pair in a contribution: which of either, and shares of a game and of a win of the left one."""

    owners: Numbers
    cells: Numbers
    games: Floats
    won: Floats

    def drawn(self, counts: Numbers) -> tuple[Floats, Floats]:
        """Wins of the left ones and games, (pairs, samples), where contributions count that often."""
        won, games = (
            np.array([np.bincount(self.cells, count[self.owners] * shares) for count in counts]).T.copy()
            for shares in (self.won, self.games)
        )
        return won, games


def _flattened(contributions: Sequence[Contribution], models: int) -> tuple[_Pairs, _Mentions]:
    rows = [
        (owner, min(row, column) * models + max(row, column), share, share if row < column else 0.0)
        for owner, contribution in enumerate(contributions)
        for row, column, share in contribution.pairs
    ]
    owners, keys, games, won = (np.array(values) for values in zip(*rows, strict=True))
    known, cells = np.unique(keys, return_inverse=True)
    return _Pairs(known // models, known % models, models), _Mentions(owners, cells, games, won)
