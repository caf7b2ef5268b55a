"""Verdicts on pairs whose truth is known, because they were made here."""

from __future__ import annotations

import numpy as np
import pytest

from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.compare import compare
from seedstock.weights.comparison import Comparison, Direction, Kind, Verdict
from tests.factories import models

BASE, OTHER = models.llama(1), models.llama(2)
SEED = 5


def _both_ways(a: Checkpoint, b: Checkpoint) -> Comparison:
    """Compare, and check that the exchanged pair gives the same answer with the direction turned."""
    one, other = compare(a, b, seed=SEED), compare(b, a, seed=SEED)
    assert (one.verdict, one.kind) == (other.verdict, other.kind)
    assert one.direction == (other.direction.reversed if other.direction else None)
    assert one.reason
    return one


def _against_base(tensors: models.Tensors) -> Comparison:
    return _both_ways(models.model(BASE), models.model(tensors))


def test_copies_in_other_names_order_and_shards_are_identical() -> None:
    names = sorted(BASE, reverse=True)
    shards = [models.safetensors_of({name: BASE[name] for name in names[part::2]}) for part in range(2)]
    bare = {name.removeprefix("model."): value for name, value in BASE.items()}
    for copy in (models.opened(*shards), models.model(bare)):
        assert _both_ways(models.model(BASE), copy).verdict is Verdict.IDENTICAL


def test_a_stored_copy_of_the_tied_head_changes_nothing() -> None:
    tied = BASE | {"lm_head.weight": BASE["model.embed_tokens.weight"]}
    assert _against_base(tied).verdict is Verdict.IDENTICAL
    untied = BASE | {"lm_head.weight": OTHER["model.embed_tokens.weight"]}
    assert _against_base(untied).verdict is not Verdict.IDENTICAL


def test_names_that_nobody_understands_do_not_hide_a_copy() -> None:
    renamed = {f"t{index}": value for index, value in enumerate(BASE.values())}
    assert _against_base(renamed).verdict is Verdict.IDENTICAL


def test_one_value_outside_of_every_sample_is_enough_not_to_be_identical() -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    value = BASE[name].copy()
    value[models.NEURONS // 2 - 7, 3] += 0.5
    result = _against_base(BASE | {name: value})
    assert (result.verdict, result.kind) == (Verdict.DERIVED, Kind.FINETUNE)


def test_layers_in_another_order_are_not_identical() -> None:
    assert _against_base(models.by_layer(BASE, [1, 0, 2, 3])).verdict is not Verdict.IDENTICAL


@pytest.mark.parametrize("size", [0.001, 0.02, 0.3])
def test_fine_tunes(size: float) -> None:
    result = _against_base(models.tuned(BASE, 3, size))
    assert (result.verdict, result.kind, result.direction) == (Verdict.DERIVED, Kind.FINETUNE, None)


@pytest.mark.parametrize("rank", [2, 4, 8])
@pytest.mark.parametrize("dtype", ["BF16", "F32"])
def test_merged_adapters(rank: int, dtype: str) -> None:
    child = models.model(models.with_lora(BASE, 3, rank), dtype)
    result = _both_ways(models.model(BASE), child)
    assert (result.verdict, result.kind, result.direction) == (Verdict.DERIVED, Kind.LORA, None)
    assert result.statistics["low_rank"] == [rank] * len(result.statistics["low_rank"])  # type: ignore[arg-type]


def test_merges_are_derived_from_each_parent() -> None:
    one, two = models.tuned(BASE, 3), models.tuned(BASE, 4)
    merged = {name: 0.6 * one[name] + 0.4 * two[name] for name in BASE}
    assert _both_ways(models.model(one), models.model(merged)).verdict is Verdict.DERIVED


def test_dropped_layers() -> None:
    result = _against_base(models.by_layer(models.tuned(BASE, 3), [0, 1, 3]))
    assert (result.verdict, result.kind) == (Verdict.DERIVED, Kind.PRUNED)
    assert result.direction is Direction.B_FROM_A
    assert [(row.a, row.b) for row in result.per_layer] == [(0, 0), (1, 1), (3, 2)]


def test_repeated_layers_are_not_taken_for_the_whole_of_a_pruned_one() -> None:
    result = _against_base(models.by_layer(BASE, [0, 1, 1, 2, 3]))
    assert result.verdict is Verdict.DERIVED
    assert (result.kind, result.direction) == (None, None)


def test_repeated_layers_that_were_trained_on_are_seen_to_be_repeated() -> None:
    grown = models.tuned(models.by_layer(BASE, [0, 1, 1, 2, 3]), 3, 0.8)
    result = _against_base(grown)
    assert (result.verdict, result.direction) == (Verdict.DERIVED, None)


def test_dropped_neurons() -> None:
    rng = np.random.default_rng(0)
    result = _against_base(
        models.with_neurons(BASE, lambda _: np.sort(rng.choice(models.NEURONS, 120, replace=False)))
    )
    assert (result.verdict, result.kind) == (Verdict.DERIVED, Kind.PRUNED)
    assert result.direction is Direction.B_FROM_A


def test_weights_set_to_zero() -> None:
    sparse = models.changed(
        BASE, lambda _, value: np.where(np.abs(value) < np.quantile(np.abs(value), 0.5), 0, value)
        if value.ndim == 2 else value
    )  # fmt: skip
    result = _against_base(sparse)
    assert (result.verdict, result.kind, result.direction) == (
        Verdict.DERIVED,
        Kind.PRUNED,
        Direction.B_FROM_A,
    )


def _shuffled(tensors: models.Tensors) -> models.Tensors:
    rng = np.random.default_rng(7)
    return models.with_neurons(tensors, lambda _: rng.permutation(models.NEURONS))


def test_another_order_of_everything() -> None:
    order = np.random.default_rng(8).permutation(models.WIDTH)
    for made in (
        models.with_channels(BASE, order),
        models.with_channels(_shuffled(models.tuned(BASE, 3)), order),
        models.rotated(BASE, 1),
    ):
        result = _against_base(made)
        assert (result.verdict, result.kind, result.direction) == (Verdict.DERIVED, Kind.PERMUTED, None)


def test_another_order_of_neurons_alone_leaves_attention_in_place() -> None:
    result = _against_base(_shuffled(BASE))
    assert (result.verdict, result.kind) == (Verdict.DERIVED, Kind.PERMUTED)
    assert min(result.statistics["mlp_agreement"]) > 0.95  # type: ignore[arg-type]


def test_scale_moved_between_norms_and_matrices() -> None:
    assert _against_base(models.rescaled(BASE, 1)).verdict is Verdict.DERIVED


@pytest.mark.parametrize("type_name", ["F16", "Q8_0", "Q5_1", "Q4_0"])
def test_quantised_copies_came_from_their_source(type_name: str) -> None:
    result = _both_ways(models.model(BASE), models.opened(models.gguf_of(BASE, type_name)))
    assert (result.verdict, result.kind) == (Verdict.DERIVED, Kind.QUANTIZED)
    assert result.direction in {Direction.B_FROM_A, None if type_name == "F16" else Direction.B_FROM_A}


def test_a_quantised_sibling_claims_no_direction() -> None:
    sibling = models.tuned(BASE, 3, 0.01)
    result = _both_ways(models.model(BASE), models.opened(models.gguf_of(sibling, "Q4_0")))
    assert (result.verdict, result.kind, result.direction) == (Verdict.DERIVED, Kind.QUANTIZED, None)


def test_a_child_of_a_model_on_a_grid_is_not_its_source() -> None:
    import gguf

    kind = gguf.GGMLQuantizationType.Q4_0
    grid = models.changed(
        BASE, lambda _, value: gguf.quants.dequantize(gguf.quants.quantize(value, kind), kind)
        if value.ndim == 2 else value
    )  # fmt: skip
    for child in (
        models.with_lora(grid, 3),
        models.tuned(grid, 3, 0.0005),
        grid | {"model.norm.weight": np.ones(64)},
    ):
        result = _both_ways(models.model(grid), models.model(child))
        assert (result.verdict, result.direction) == (Verdict.DERIVED, None)
        assert result.kind in {Kind.FINETUNE, Kind.LORA}


def test_float32_children_of_bfloat16_models_are_not_their_sources() -> None:
    rng = np.random.default_rng(0)
    slight = {
        name: value * (1 + 2.0**-11 * rng.uniform(-1, 1, value.shape)) if value.ndim == 2 else value
        for name, value in BASE.items()
    }
    result = _both_ways(models.model(BASE), models.model(slight, "F32"))
    assert (result.verdict, result.direction) == (Verdict.DERIVED, None)


def test_a_rounded_copy_came_from_the_finer_one() -> None:
    rng = np.random.default_rng(0)
    fine = {name: value * rng.uniform(0.9, 1.1, value.shape) for name, value in BASE.items()}
    result = _both_ways(models.model(fine, "F32"), models.model(fine, "BF16"))
    assert (result.kind, result.direction) == (Kind.QUANTIZED, Direction.B_FROM_A)


def test_independent_models_of_equal_shape_have_no_evidence() -> None:
    result = _against_base(OTHER)
    assert (result.verdict, result.kind) == (Verdict.NONE, None)
    assert result.facts["equal_shapes"] is True


def test_shared_embeddings_alone_are_partial_and_named() -> None:
    result = _against_base(OTHER | {"model.embed_tokens.weight": BASE["model.embed_tokens.weight"]})
    assert result.verdict is Verdict.PARTIAL
    assert result.shared_tensors == ("model.embed_tokens.weight",)
    assert result.facts["shared_embeddings"] is True


def test_some_layers_of_another_model_are_partial_and_named() -> None:
    mixed = OTHER | {
        name: value for name, value in BASE.items() if ".layers.1." in name or ".layers.2." in name
    }
    result = _against_base(mixed)
    assert result.verdict is Verdict.PARTIAL
    assert {name.split(".")[2] for name in result.shared_tensors} == {"1", "2"}


def test_equal_norms_and_configuration_prove_nothing() -> None:
    dressed = OTHER | {name: value for name, value in BASE.items() if "norm" in name}
    assert _against_base(dressed).verdict is Verdict.NONE


def test_odd_and_even_layers_of_one_model_are_not_related() -> None:
    deep = models.llama(1, layers=8)
    even, odd = models.by_layer(deep, [0, 2, 4, 6]), models.by_layer(deep, [1, 3, 5, 7])
    odd["model.embed_tokens.weight"] = OTHER["model.embed_tokens.weight"]
    assert _both_ways(models.model(even), models.model(odd)).verdict is Verdict.NONE


def test_other_widths_and_architectures_have_no_evidence() -> None:
    assert _against_base(models.llama(1, width=128)).verdict is Verdict.NONE
    assert _against_base(models.gpt2(1)).verdict in {Verdict.NONE, Verdict.INCONCLUSIVE}


def test_gpt2_is_compared_however_it_is_stored() -> None:
    made = models.gpt2(1)
    rng = np.random.default_rng(0)
    child = models.changed(made, lambda _, value: value + 0.001 * rng.standard_normal(value.shape))
    linear = {name: value.T if ".c_" in name else value for name, value in child.items()}
    for form in (child, linear):
        result = _both_ways(models.model(made), models.model(form))
        assert (result.verdict, result.kind) == (Verdict.DERIVED, Kind.FINETUNE)
    assert _both_ways(models.model(made), models.model(models.gpt2(2))).verdict is Verdict.NONE


def test_planted_values_do_not_make_a_child() -> None:
    planted = {}
    for name, value in OTHER.items():
        flat = value.reshape(-1).copy()
        for start in (0, flat.size // 4, flat.size // 3, flat.size // 2, flat.size * 2 // 3):
            flat[start : start + flat.size // 60] = BASE[name].reshape(-1)[start : start + flat.size // 60]
        planted[name] = flat.reshape(value.shape)
    for seed in range(4):
        verdict = compare(models.model(BASE), models.model(planted), seed=seed).verdict
        assert verdict in {Verdict.NONE, Verdict.INCONCLUSIVE, Verdict.PARTIAL}


def test_without_known_names_agreement_is_derivation_and_disagreement_is_inconclusive() -> None:
    def renamed(tensors: models.Tensors) -> models.Tensors:
        return {name.replace("layers", "stage"): value for name, value in tensors.items()}

    assert (
        _both_ways(models.model(renamed(BASE)), models.model(renamed(models.tuned(BASE, 1)))).verdict
        is Verdict.DERIVED
    )
    assert (
        _both_ways(models.model(renamed(BASE)), models.model(renamed(OTHER))).verdict is Verdict.INCONCLUSIVE
    )


def test_figures_thresholds_and_costs_come_with_the_verdict() -> None:
    a, b = models.model(BASE), models.model(models.tuned(BASE, 3))
    result = compare(a, b)
    assert result.method == "weights-compare@1"
    assert result.thresholds["derived_cosine"] == 0.5
    assert float(result.statistics["cosine_median"]) > 0.99  # type: ignore[arg-type]
    assert len(result.per_layer) == models.LAYERS
    assert result.bytes_read > 0
    assert result.tensors_read > 0
    again = compare(a, b, seed=int(result.facts["sampling_seed"]))
    assert again.statistics == result.statistics


def _with_experts(tensors: models.Tensors, seed: int) -> models.Tensors:
    rng = np.random.default_rng(seed)
    made = {name: value for name, value in tensors.items() if ".mlp." not in name}
    for layer in range(models.LAYERS):
        for expert in range(4):
            name = f"model.layers.{layer}.block_sparse_moe.experts.{expert}.w1.weight"
            made[name] = 0.05 * rng.standard_normal((models.NEURONS, models.WIDTH)).astype(np.float32)
    return made


def test_experts_count_as_weights_of_their_layer() -> None:
    base = _with_experts(BASE, 1)
    assert _both_ways(models.model(base), models.model(models.tuned(base, 3))).verdict is Verdict.DERIVED
    replaced = _both_ways(models.model(base), models.model(_with_experts(BASE, 2)))
    assert replaced.verdict is Verdict.PARTIAL
    assert all("self_attn" in name for name in replaced.shared_tensors)


@pytest.mark.parametrize("part", [".mlp.", ".self_attn."])
def test_one_half_of_every_layer_is_partial(part: str) -> None:
    mixed = OTHER | {name: value for name, value in BASE.items() if part in name}
    result = _against_base(mixed)
    assert result.verdict is Verdict.PARTIAL
    assert all(part in name for name in result.shared_tensors)
