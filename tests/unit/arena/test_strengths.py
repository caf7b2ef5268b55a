"""Bradley-Terry strengths against known solutions, and the coverage of their intervals."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.arena.strengths import CENTRE, SCALE, Contribution, fit_strengths, fit_with_intervals, wins_of


def pair(row: int, column: int, count: int, share: float = 1.0) -> Contribution:
    return Contribution(((row, column, share),), count)


@pytest.mark.parametrize(("won", "lost"), [(1, 1), (3, 1), (17, 5), (1, 99)])
def test_two_models_differ_by_the_log_of_their_odds(won: int, lost: int) -> None:
    strengths = fit_strengths(wins_of([pair(0, 1, won), pair(1, 0, lost)], 2), prior=0)
    assert strengths[0] - strengths[1] == pytest.approx(np.log(won / lost), abs=1e-6)


def test_agresti_s_baseball_teams() -> None:
    # Agresti, Categorical Data Analysis, table 10.10 (American League 1987, wins of row over column); the model
    # without home advantage gives Milwaukee 1.58, Detroit 1.44, Toronto 1.29, New York 1.25, Boston 1.11,
    # Cleveland 0.68, over Baltimore at 0.
    wins = np.array(
        [
            [0, 7, 9, 7, 7, 9, 11],
            [6, 0, 7, 5, 11, 9, 9],
            [4, 6, 0, 7, 7, 8, 12],
            [6, 8, 6, 0, 6, 7, 10],
            [6, 2, 6, 7, 0, 7, 12],
            [4, 4, 5, 6, 6, 0, 6],
            [2, 4, 1, 3, 1, 7, 0],
        ],
        dtype=float,
    )
    strengths = fit_strengths(wins, prior=0)
    assert strengths - strengths[-1] == pytest.approx([1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0], abs=0.006)


def test_a_model_that_never_lost_stays_finite() -> None:
    fit = fit_with_intervals([pair(0, 1, 50), pair(1, 2, 50)], 3)
    assert all(np.isfinite([*fit.strength, *fit.low, *fit.high]))
    assert fit.strength[0] > fit.strength[1] > fit.strength[2]


COUNTS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 40), st.sampled_from([0.5, 1.0])),
    min_size=1,
    max_size=20,
).map(lambda rows: [row for row in rows if row[0] != row[1]] or [(0, 1, 1, 1.0)])


@given(COUNTS, st.permutations(range(5)), st.randoms(use_true_random=False))
def test_neither_order_nor_names_matter(rows: list, renamed: list[int], random) -> None:  # type: ignore[no-untyped-def,type-arg]
    def made(rows: list, names: list[int]) -> np.ndarray:  # type: ignore[type-arg]
        found = []
        for row, column, count, share in rows:
            pairs = [(names[row], names[column], share)]
            pairs += [(names[column], names[row], share)] if share == 0.5 else []
            found.append(Contribution(tuple(pairs), count))
        return fit_strengths(wins_of(found, 5))

    plain = made(rows, list(range(5)))
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert made(shuffled, list(range(5))) == pytest.approx(plain, abs=1e-6)
    assert made(rows, renamed)[renamed] == pytest.approx(plain, abs=1e-6)
    reversed_rows = [(column, row, count, share) for row, column, count, share in rows]
    assert made(reversed_rows, list(range(5))) == pytest.approx(-plain, abs=1e-6)


@given(COUNTS)
def test_the_fit_is_the_summit_of_the_posterior(rows: list) -> None:  # type: ignore[type-arg]
    wins = wins_of([pair(*row) for row in rows], 5)

    def posterior(strengths: np.ndarray) -> float:
        lost = np.log1p(np.exp(strengths[None, :] - strengths[:, None]))
        return float(-(wins * lost).sum() - 0.05 / 2 * (strengths**2).sum())

    best = fit_strengths(wins)
    random = np.random.default_rng(0)
    for size in (1e-3, 0.1, 1.0):
        for _ in range(5):
            assert posterior(best) >= posterior(best + random.normal(0, size, 5)) - 1e-9


def test_many_models_of_which_few_pairs_were_compared_take_little_memory() -> None:
    random = np.random.default_rng(3)
    votes = []
    for _ in range(900):
        row, column = random.choice(300, 2, replace=False)
        votes.append(pair(int(row), int(column), int(random.integers(1, 4))))
    tracemalloc.start()
    try:
        fit = fit_with_intervals(votes, 300, replicates=20)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 20 << 20  # a matrix of all pairs for each sample would be 14 MiB, several times over
    wins = wins_of(votes, 300)
    strengths = (np.array(fit.strength) - CENTRE) / SCALE
    expected = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    gradient = (wins - (wins + wins.T) * expected).sum(1) - 0.05 * strengths
    assert np.abs(gradient).max() < 1e-6


def test_the_same_seed_gives_the_same_intervals() -> None:
    votes = [pair(0, 1, 20), pair(1, 0, 12), pair(1, 2, 9), pair(2, 1, 9)]
    one, same, other = (fit_with_intervals(votes, 3, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one.strength == other.strength
    assert one.low != other.low
    assert all(low <= at <= high for low, at, high in zip(one.low, one.strength, one.high, strict=True))


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    truth = np.array([0.8, 0.2, -0.3, -0.7])
    random = np.random.default_rng(5)
    held, trials = 0, 60
    for _ in range(trials):
        votes = []
        for row in range(4):
            for column in range(row + 1, 4):
                won = int(random.binomial(60, 1 / (1 + np.exp(truth[column] - truth[row]))))
                votes += [pair(row, column, won), pair(column, row, 60 - won)]
        fit = fit_with_intervals([vote for vote in votes if vote.count], 4, replicates=300)
        scaled = CENTRE + SCALE * truth
        held += int(((np.array(fit.low) <= scaled) & (scaled <= np.array(fit.high))).sum())
    # 240 intervals of 95 %: 228 expected, the standard deviation of the count is about 4.
    assert 0.90 <= held / (4 * trials) <= 0.99
