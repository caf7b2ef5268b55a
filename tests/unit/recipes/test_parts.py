"""Which stages' outputs a repo holds, and what they need."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from seedstock.core.errors import Invalid
from seedstock.recipes.parts import file_of, part_for, published_stages
from seedstock.recipes.recipe import ModelInput, Recipe, RecipeStage
from seedstock.variants.recipe import bare_recipe

PIN = ModelInput(ref="ada/base", revision="0" * 40, digest="sha256:" + "0" * 64)


def recipe(**stages: tuple[str, str, dict[str, Any]]) -> Recipe:
    made = {
        name: RecipeStage(op=op, inputs={"base": source}, args=args)
        for name, (op, source, args) in stages.items()
    }
    bare = bare_recipe("ada/small")
    return msgspec.structs.replace(bare, inputs={"base": PIN, "other": PIN}, stage=made)


F16 = ("convert", "base", {"to": "F16", "name": "base"})
Q8 = ("quantize", "base", {"to": "Q8_0", "name": "base"})
SFT = ("sft", "base", {})
WEIGHTS = {"model.safetensors", "config.json"}


@pytest.mark.parametrize(
    ("stages", "files", "published"),
    [
        ({"f16": F16, "q8": Q8}, {"base-F16.gguf", "base-Q8_0.gguf"}, ["f16", "q8"]),
        ({"f16": F16, "q8": Q8}, {"base-Q8_0.gguf"}, ["q8"]),
        ({"f16": F16, "q8": Q8}, {"renamed.gguf"}, ["q8"]),
        ({"sft": SFT, "q8": ("quantize", "sft", Q8[2])}, {"base-Q8_0.gguf"}, ["q8"]),
        ({"sft": SFT, "q8": Q8}, {*WEIGHTS, "base-Q8_0.gguf"}, ["sft", "q8"]),
        ({"sft": SFT, "q8": Q8}, {"base-Q8_0.gguf"}, ["q8"]),
        ({"dpo": ("dpo", "base", {}), "sft": SFT, "ask": ("sample", "sft", {})}, WEIGHTS, ["sft"]),
        ({"sft": SFT, "dpo": ("dpo", "sft", {}), "ask": ("sample", "dpo", {})}, WEIGHTS, ["dpo"]),
    ],
)
def test_a_repo_holds_what_its_files_say(stages: Any, files: set[str], published: list[str]) -> None:
    assert published_stages(recipe(**stages), "ada/small", files) == published


def test_a_stage_that_says_where_it_is_published_counts() -> None:
    found = recipe(sft=SFT, q8=Q8)
    sft = msgspec.structs.replace(found.stage["sft"], publish="ada/poet")
    found = msgspec.structs.replace(found, stage={**found.stage, "sft": sft})
    assert published_stages(found, "ada/poet", {"base-Q4_0.gguf"}) == ["sft"]
    assert published_stages(found, "ada/poet", {"base-Q8_0.gguf"}) == ["sft", "q8"]
    with pytest.raises(Invalid, match="no stage that makes a model"):
        published_stages(recipe(ask=("sample", "base", {})), "ada/poet", set())


def test_a_part_has_what_its_stages_need_alone() -> None:
    found = recipe(f16=F16, q4=("quantize", "other", {"to": "Q4_0"}))
    part = part_for(found, ["q4"])
    assert (list(part.stage), list(part.inputs)) == (["q4"], ["other"])
    assert file_of(part.stage["q4"]) == "model-Q4_0.gguf"
    assert part_for(found, ["f16", "q4"]) == found
