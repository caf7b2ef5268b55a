"""Properties of reading and comparing weights."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seedstock.core.errors import UnsupportedFormat
from seedstock.weights.compare import compare
from seedstock.weights.comparison import Verdict
from seedstock.weights.elements import BLOCKS, decode, is_block_type, round_bf16
from seedstock.weights.layer_map import align_layers
from seedstock.weights.profile import profile_rows
from seedstock.weights.sampling import cosine, sample_places
from seedstock.weights.signature import sign
from seedstock.weights.tensor_names import role_of
from tests.factories import models

_FILE = models.safetensors_of(models.llama(1, layers=2, width=32, neurons=64))
_GGUF = models.gguf_of(models.llama(1, layers=2, width=32, neurons=64), "Q4_0")


@given(st.integers(0, 1 << 40), st.integers(512, 1 << 20), st.integers(0, 2**32 - 1))
def test_sample_places_lie_inside_apart_and_on_block_bounds(elements: int, count: int, seed: int) -> None:
    places = sample_places(elements, count, seed)
    assert places == sample_places(elements, count, seed)
    position = 0
    for start, stop in places:
        assert position <= start <= stop <= elements
        assert start % 256 == 0
        position = stop
    assert sum(stop - start for start, stop in places) <= max(count, 8 * 256)


@given(st.integers(1, 100_000))
def test_profile_rows_are_disjoint_and_few(rows: int) -> None:
    position = 0
    for first, last in profile_rows(rows):
        assert position <= first < last <= rows
        position = last
    assert sum(last - first for first, last in profile_rows(rows)) <= min(rows, 256)


@given(st.integers(0, 6), st.integers(0, 6), st.randoms(use_true_random=False))
def test_alignment_is_monotone_and_best(rows: int, columns: int, random) -> None:  # type: ignore[no-untyped-def]
    cosines = np.array([[random.uniform(-1, 1) for _ in range(columns)] for _ in range(rows)]).reshape(
        rows, columns
    )
    pairs = align_layers(cosines, 0.2)
    assert all(i < k and j < m for (i, j), (k, m) in itertools.pairwise(pairs))
    assert all(cosines[i, j] > 0.2 for i, j in pairs)

    def best(i: int, j: int) -> float:
        if i == rows or j == columns:
            return 0.0
        return max(best(i + 1, j), best(i, j + 1), max(0.0, cosines[i, j] - 0.2) + best(i + 1, j + 1))

    assert abs(sum(cosines[i, j] - 0.2 for i, j in pairs) - best(0, 0)) < 1e-9


@given(st.binary(min_size=0, max_size=64), st.sampled_from(sorted(BLOCKS)))
def test_any_bytes_of_a_block_type_are_decoded_or_refused(raw: bytes, dtype: str) -> None:
    elements, size_bytes = BLOCKS[dtype]
    whole = (raw * (1 + size_bytes // max(len(raw), 1)))[:size_bytes].ljust(size_bytes, b"\0")
    try:
        assert decode(whole, dtype).shape == (elements,)
    except UnsupportedFormat:
        assert is_block_type(dtype)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_rounding_to_bfloat16_is_nearest_and_idempotent(values: list[float]) -> None:
    given_values = np.array(values, dtype=np.float32)
    rounded = round_bf16(given_values)
    np.testing.assert_array_equal(round_bf16(rounded), rounded)
    finite = np.isfinite(rounded)  # the largest round to infinity
    off = np.abs(rounded[finite] - given_values[finite])
    assert (off <= np.abs(given_values[finite]) * 2.0**-8 + 1e-40).all()


@given(st.text(max_size=80))
def test_any_name_has_a_role_or_none(name: str) -> None:
    found = role_of(name)
    assert found is None or found[0] >= 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_order_of_neurons_never_moves_a_sketch_far_nor_makes_a_copy(seed: int) -> None:
    base = models.llama(seed)
    rng = np.random.default_rng(seed)
    moved = models.with_neurons(base, lambda _: rng.permutation(models.NEURONS))
    one, two = (np.frombuffer(sign(models.model(made)).sketches, dtype=np.uint8) for made in (base, moved))
    assert np.bitwise_count(one ^ two).sum() <= 2 * models.LAYERS


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_two_draws_are_never_related(one: int, two: int) -> None:
    if one != two:
        result = compare(models.model(models.llama(one)), models.model(models.llama(two)))
        assert result.verdict in {Verdict.NONE, Verdict.INCONCLUSIVE}


@given(st.integers(0, 4000), st.binary(min_size=1, max_size=12), st.sampled_from([_FILE, _GGUF]))
@settings(max_examples=150)
def test_a_damaged_header_is_refused_or_read_without_a_crash(at: int, patch: bytes, whole: bytes) -> None:
    damaged = whole[:at] + patch + whole[at + len(patch) :]
    try:
        opened = models.opened(damaged)
        sign(opened)
    except UnsupportedFormat:
        return
    assert compare(opened, models.opened(_FILE)).reason


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=60), st.floats(0.1, 100), st.floats(-50, 50)
)
def test_cosine_ignores_scale_and_shift_and_is_bounded(
    values: list[float], scale: float, shift: float
) -> None:
    one = np.array(values, dtype=np.float32)
    assert -1.0001 <= cosine(one, one[::-1].copy()) <= 1.0001
    if one.std() > 1e-2 * (abs(shift) + np.abs(one).max()):
        assert cosine(one, (one * np.float32(scale) + np.float32(shift))) > 0.99
