"""Which values are looked at: the same in both models, spread, and not to be known before the seed is drawn."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.weights.compare import compare
from seedstock.weights.sampling import drawn, sample_places
from tests.bench.lineage import hostile
from tests.bench.lineage.files import rounded, write_model
from tests.bench.lineage.reading import open_files
from tests.bench.lineage.stand_in import StandIn


@given(st.integers(1, 1 << 40), st.integers(1, 1 << 15), st.integers(0, 1 << 64))
def test_places_lie_inside_and_apart(elements: int, count: int, seed: int) -> None:
    places = sample_places(elements, count, seed)
    assert places == sample_places(elements, count, seed)
    assert all(start < stop <= elements for start, stop in places)
    assert all(stop <= after for (_, stop), (after, _) in itertools.pairwise(places))
    assert sum(stop - start for start, stop in places) <= max(count, 8 * 256)


def test_another_seed_draws_other_places() -> None:
    one, other = (
        (tuple(sample_places(1 << 20, 8192, seed)), tuple(drawn(5000, 256, seed))) for seed in (0, 1)
    )
    assert not {*one} & {*other}


def test_no_small_part_of_a_tensor_is_half_of_its_sample() -> None:
    """A tenth of a tensor, planted anywhere, must stay far from the cosine of 0.5 that makes a relation."""
    elements, count = 1 << 22, 8192
    for start in range(0, elements, elements // 20):
        shares = []
        for seed in range(50):
            places = sample_places(elements, count, seed)
            inside = sum(max(0, min(b, start + elements // 10) - max(a, start)) for a, b in places)
            shares.append(inside / sum(b - a for a, b in places))
        assert max(shares) <= 0.25


@pytest.mark.parametrize("seed", [0, 7, 1 << 63])
def test_values_planted_at_round_places_make_no_relation(tmp_path: Path, seed: int) -> None:
    """Was "derived" while samples were taken at one and at two thirds of every tensor."""
    shape = hostile.PLANTED_SHAPE
    victim = rounded(StandIn().initial(shape, 1))
    forged = hostile.planted(victim, rounded(StandIn().initial(shape, 2)))
    models = [
        (f"{name}/{file}",)
        for name, weights in {"victim": victim, "forged": forged}.items()
        for file in write_model(tmp_path / name, weights, shape)
    ]
    said = compare(open_files(tmp_path, models[0]), open_files(tmp_path, models[1]), seed=seed)
    assert said.verdict in {"none", "inconclusive"}, said
