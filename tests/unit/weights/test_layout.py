"""Which tensor plays which part, in several conventions of naming."""

from __future__ import annotations

import numpy as np

from seedstock.weights.layout import find_layout, read_rows
from tests.factories import models


def test_llama_names_and_gguf_names_mean_the_same_parts() -> None:
    made = models.llama(1)
    plain, gguf = find_layout(models.model(made)), find_layout(models.opened(models.gguf_of(made, "F32")))
    assert plain.family == gguf.family == "gated"
    assert plain.hidden_size == gguf.hidden_size == models.WIDTH
    assert [set(layer.slots) for layer in plain.layers] == [set(layer.slots) for layer in gguf.layers]
    shapes = [{role: slot.shape for role, slot in layout.layers[1].slots.items()} for layout in (plain, gguf)]
    assert shapes[0] == shapes[1]


def test_conv1d_of_gpt2_is_turned_and_linear_copies_are_not() -> None:
    made = models.gpt2(1)
    stored = models.model(made)
    layout = find_layout(stored)
    assert layout.family == "plain"
    slot = layout.layers[0].slots["up"]
    assert slot.transposed
    assert slot.shape == (4 * models.WIDTH, models.WIDTH)
    np.testing.assert_array_equal(read_rows(stored, slot, 3, 5), made["h.0.mlp.c_fc.weight"].T[3:5])
    linear = {name: value.T if ".c_" in name else value for name, value in made.items()}
    assert not find_layout(models.model(linear)).layers[0].slots["up"].transposed


def test_fused_projections_of_phi3_are_taken_apart() -> None:
    made = models.llama(1)
    fused = {name: value for name, value in made.items() if not name.endswith(("_proj.weight",))}
    for layer in range(models.LAYERS):
        prefix = f"model.layers.{layer}."
        parts = {part: made[f"{prefix}{part}.weight"] for part in ("mlp.gate_proj", "mlp.up_proj")}
        heads = [made[f"{prefix}self_attn.{part}_proj.weight"] for part in "qkv"]
        fused[f"{prefix}mlp.gate_up_proj.weight"] = np.concatenate(list(parts.values()))
        fused[f"{prefix}self_attn.qkv_proj.weight"] = np.concatenate(heads)
        for part in ("self_attn.o_proj", "mlp.down_proj"):
            fused[f"{prefix}{part}.weight"] = made[f"{prefix}{part}.weight"]
    opened = models.model(fused)
    layout = find_layout(opened)
    assert layout.family == "gated"
    for role, name in [("up", "mlp.up_proj"), ("k", "self_attn.k_proj"), ("v", "self_attn.v_proj")]:
        expected = made[f"model.layers.2.{name}.weight"]
        np.testing.assert_array_equal(read_rows(opened, layout.layers[2].slots[role]), expected)


def test_unknown_names_give_no_layers() -> None:
    layout = find_layout(models.model({f"part{index}": np.ones((8, 8)) for index in range(3)}))
    assert layout.family == "unknown"
    assert layout.layers == ()
    assert layout.hidden_size == 0


def test_a_vision_tower_beside_the_language_model_is_not_taken_for_it() -> None:
    made = models.llama(1)
    tower = {
        f"vision_tower.encoder.layers.{layer}.mlp.fc{number}.weight": np.ones((32, 32)) * layer
        for layer in range(9)
        for number in (1, 2)
    }
    layout = find_layout(
        models.model({f"language_model.{name}": value for name, value in made.items()} | tower)
    )
    assert len(layout.layers) == models.LAYERS
    assert layout.family == "gated"
