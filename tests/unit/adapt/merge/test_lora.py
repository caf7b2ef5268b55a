"""An adapter merged here is what PEFT's `merge_and_unload` makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from seedstock.adapt.merge.model import Model
from seedstock.adapt.merge.stage import run
from seedstock.adapt.methods import Merge
from seedstock.adapt.stage import Stage, write_stage
from tests.factories.tiny_llama import write_model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # peft and torch
VARIANTS = [
    {},
    {"use_rslora": True, "alpha_pattern": {"q_proj": 5}},
    {"use_dora": True},
    {"modules_to_save": ["lm_head"]},
]


@pytest.mark.parametrize("more", VARIANTS, ids=["plain", "rslora", "dora", "saved"])
def test_as_peft_merges(more: dict[str, Any], tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = write_model(tmp_path / "inputs" / "base")
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=4, target_modules=["q_proj", "down_proj"], **more),
    )
    torch.manual_seed(1)
    for name, value in model.named_parameters():
        if value.requires_grad and "magnitude" not in name:
            value.data += torch.randn_like(value) * 0.1
    model.save_pretrained(tmp_path / "inputs" / "adapter")
    write_stage(tmp_path, Stage(op="merge", args=msgspec.to_builtins(Merge(method="lora")), inputs={}))
    run(
        msgspec.json.decode((tmp_path / "stage.json").read_bytes(), type=Stage),
        tmp_path,
        print,
        lambda: False,
    )
    merged = Model("merged", tmp_path / "output.part")
    for name, value in model.merge_and_unload().state_dict().items():
        np.testing.assert_allclose(merged.whole(name), value.numpy(), rtol=1e-5, atol=1e-6)
    merged.close()
