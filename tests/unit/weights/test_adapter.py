"""Adapters against bases: shapes can rule out, never prove."""

from __future__ import annotations

import numpy as np
import pytest

from seedstock.weights.adapter import check_adapter, find_targets
from seedstock.weights.comparison import Verdict
from tests.factories import models


def _adapter(
    width: int = models.WIDTH, rank: int = 4, layers: int = 2, style: str = "peft"
) -> models.Tensors:
    rng = np.random.default_rng(0)
    made = {}
    for layer in range(layers):
        for name in ("q", "o"):
            pair = {"A": rng.standard_normal((rank, width)), "B": rng.standard_normal((width, rank))}
            for side, value in pair.items():
                if style == "gguf":
                    long = "attn_q" if name == "q" else "attn_output"
                    made[f"blk.{layer}.{long}.weight.lora_{side.lower()}"] = value
                else:
                    ending = ".default.weight" if style == "named" else ".weight"
                    made[
                        f"base_model.model.model.layers.{layer}.self_attn.{name}_proj.lora_{side}{ending}"
                    ] = value
    return made


@pytest.mark.parametrize("style", ["peft", "named", "gguf"])
def test_shapes_that_match_prove_nothing(style: str) -> None:
    result = check_adapter(models.model(_adapter(style=style)), models.model(models.llama(1)))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.reason == "shapes match; weights of an adapter cannot prove its base"
    assert result.facts == {"adapted_modules": 4, "fitting_modules": 4, "rank": 4, "consistent": True}


def test_a_gguf_base_is_understood_by_roles() -> None:
    base = models.opened(models.gguf_of(models.llama(1), "Q8_0"))
    assert check_adapter(models.model(_adapter()), base).facts["consistent"] is True


def test_other_widths_or_more_layers_rule_a_base_out() -> None:
    base = models.model(models.llama(1))
    for wrong in (_adapter(width=128), _adapter(layers=models.LAYERS + 1)):
        result = check_adapter(models.model(wrong), base)
        assert result.verdict is Verdict.NONE
        assert "made for another model" in result.reason


def test_transposed_modules_of_gpt2_fit_either_way() -> None:
    width = models.WIDTH
    made = {
        "h.0.attn.c_attn.lora_A.weight": np.ones((4, width)),
        "h.0.attn.c_attn.lora_B.weight": np.ones((3 * width, 4)),
    }
    assert check_adapter(models.model(made), models.model(models.gpt2(1))).facts["consistent"] is True


def test_halves_that_do_not_fit_each_other_rule_out_and_no_adapter_says_so() -> None:
    made = _adapter()
    made["base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"] = np.ones((models.WIDTH, 7))
    assert check_adapter(models.model(made), models.model(models.llama(1))).verdict is Verdict.NONE
    plain = models.model(models.llama(1))
    assert find_targets(plain) == []
    assert check_adapter(plain, plain).verdict is Verdict.INCONCLUSIVE
