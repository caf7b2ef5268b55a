"""Signatures: what moves them, what must not, and what they cost."""

from __future__ import annotations

import numpy as np
import pytest

from seedstock.weights.signature import Signature, sampled_layers, sign
from tests.factories import models


def _bits(a: Signature, b: Signature) -> np.ndarray:
    rows = [np.frombuffer(signature.sketches, dtype=np.uint8).reshape(-1, 16) for signature in (a, b)]
    return np.bitwise_count(rows[0] ^ rows[1]).sum(axis=1)


BASE = models.llama(1)
SIGNED = sign(models.model(BASE))


def test_a_signature_names_the_model() -> None:
    assert SIGNED.problem is None
    assert (SIGNED.family, SIGNED.hidden_size, SIGNED.layers) == ("gated", models.WIDTH, models.LAYERS)
    assert len(SIGNED.sketches) == 16 * models.LAYERS
    assert SIGNED.parameters == sum(value.size for value in BASE.values())
    assert SIGNED.tensor_prints["model.embed_tokens.weight"] == SIGNED.embedding_print


def test_renamed_and_resharded_copies_have_the_same_signature() -> None:
    names = sorted(BASE)
    shards = [models.safetensors_of({name: BASE[name] for name in names[part::3]}) for part in range(3)]
    bare = models.model({name.removeprefix("model."): value for name, value in BASE.items()})
    for copy in (models.opened(*shards), bare):
        assert sign(copy).sketches == SIGNED.sketches
        assert sign(copy).anchors == SIGNED.anchors


@pytest.mark.parametrize(("type_name", "most"), [("F32", 0), ("F16", 1), ("Q8_0", 3), ("Q4_0", 16)])
def test_a_gguf_of_the_same_model_is_near(type_name: str, most: int) -> None:
    assert _bits(SIGNED, sign(models.opened(models.gguf_of(BASE, type_name)))).max() <= most


def test_order_of_neurons_and_scale_of_norms_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    shuffled = models.with_neurons(BASE, lambda _: rng.permutation(models.NEURONS))
    assert _bits(SIGNED, sign(models.model(shuffled))).max() <= 1
    assert _bits(SIGNED, sign(models.model(models.rescaled(BASE, 1)))).max() == 0


def test_fine_tunes_are_near_and_other_models_are_far() -> None:
    assert _bits(SIGNED, sign(models.model(models.tuned(BASE, 2)))).max() <= 12
    assert _bits(SIGNED, sign(models.model(models.llama(2)))).min() >= 30


def test_anchors_survive_another_basis() -> None:
    other = sign(models.model(models.rotated(BASE, 1)))
    rows = [np.frombuffer(signature.anchors, dtype=np.uint8) for signature in (SIGNED, other)]
    assert np.bitwise_count(rows[0] ^ rows[1]).sum() <= 8
    assert _bits(SIGNED, other).min() >= 30


def test_a_print_changes_with_type_shape_or_content() -> None:
    name = "model.layers.0.self_attn.o_proj.weight"
    prints = {SIGNED.tensor_prints[name], sign(models.model(BASE, "F32")).tensor_prints[name]}
    prints.add(sign(models.model(BASE | {name: BASE[name].reshape(32, 128)})).tensor_prints[name])
    prints.add(sign(models.model(BASE | {name: BASE[name] * 2})).tensor_prints[name])
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("form", "grid"),
    [("Q8_0", "q8_0"), ("Q4_0", "4-bit"), ("Q4_1", "4-bit"), ("Q5_0", "5-bit"), ("F16", None)],
)
def test_the_grid_of_a_gguf_is_its_type(form: str, grid: str | None) -> None:
    assert sign(models.opened(models.gguf_of(BASE, form))).grid == grid


@pytest.mark.parametrize(("form", "grid"), [("Q8_0", "q8_0"), ("Q4_0", "4-bit"), (None, None)])
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_a_grid_is_seen_in_float_files_too(form: str | None, grid: str | None, dtype: str) -> None:
    import gguf

    def through(value: np.ndarray) -> np.ndarray:
        if form is None or value.ndim == 1:
            return value
        kind = gguf.GGMLQuantizationType[form]
        return np.asarray(gguf.quants.dequantize(gguf.quants.quantize(value, kind), kind))

    assert sign(models.model({name: through(value) for name, value in BASE.items()}, dtype)).grid == grid


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: np.full_like(value, np.nan), "NaN"),
        (lambda value: np.full_like(value, np.inf), "NaN"),
        (np.zeros_like, "zero or constant"),
        (lambda value: np.full_like(value, 0.02), "zero or constant"),
    ],
)
def test_values_that_say_nothing_are_a_problem_in_words(change, words: str) -> None:  # type: ignore[no-untyped-def]
    signed = sign(models.model({name: change(value) for name, value in BASE.items()}))
    assert words in str(signed.problem)


def test_no_layers_is_a_problem() -> None:
    signed = sign(models.model({"a": BASE["model.embed_tokens.weight"]}))
    assert "no layers" in str(signed.problem)
    assert signed.sketches == b""


def test_at_most_a_fifth_is_read() -> None:
    for made in (BASE, models.llama(3, width=256, neurons=704), models.gpt2(1, width=256)):
        opened = models.model(made)
        assert sign(opened).bytes_read <= 0.2 * opened.size_bytes


def test_layers_are_sampled_evenly_beyond_32() -> None:
    assert sampled_layers(5) == [0, 1, 2, 3, 4]
    many = sampled_layers(80)
    assert len(set(many)) == 32
    assert (many[0], many[-1]) == (0, 79)


def test_gpt2_has_one_signature_however_it_is_stored() -> None:
    made = models.gpt2(1)
    linear = {name: value.T if ".c_" in name else value for name, value in made.items()}
    assert sign(models.model(linear)).sketches == sign(models.model(made)).sketches
