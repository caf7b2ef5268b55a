"""The recipe that ships with the product: pinned to what its generator writes, with no test problem in training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seedstock.recipes.outputs import describe_output
from seedstock.recipes.reading import read_recipe
from seedstock.recipes.recipe import GeneratorInput
from seedstock.replications.generators import run_generator

FOLDER = Path(__file__).parents[3] / "recipes" / "r1-tiny"


def generated(name: str, folder: Path) -> list[dict[str, Any]]:
    item = read_recipe((FOLDER / "recipe.toml").read_bytes()).inputs[name]
    assert isinstance(item, GeneratorInput)
    run_generator((FOLDER / item.file).read_bytes(), item.args, folder)
    assert describe_output(folder, "dataset").tree == item.digest
    return [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()]


def test_problems_of_the_test_are_in_no_training(tmp_path: Path) -> None:
    def key(row: dict[str, Any]) -> tuple[tuple[int, ...], int]:
        return tuple(sorted(row["numbers"])), row["target"]

    train = {key(row) for row in generated("problems", tmp_path / "train")}
    test = {key(row) for row in generated("test", tmp_path / "test")}
    assert len(test) == 314
    assert not train & test
    asked = {row["prompt"] for row in generated("cold", tmp_path / "cold")}
    for prompt in asked:
        numbers, _, target = prompt.partition("->")
        assert (tuple(sorted(map(int, numbers.split()))), int(target.split()[0])) not in test


@pytest.mark.parametrize("claimed", ["zero", "cold_start", "distilled", "student_zero", "student_control"])
def test_each_claim_is_about_the_test(claimed: str) -> None:
    recipe = read_recipe((FOLDER / "recipe.toml").read_bytes())
    claim = next(claim for claim in recipe.claim if claim.stage == claimed)
    assert (claim.eval.data, claim.eval.n, claim.seeds) == ("test", 314, 3)
    assert 0 < claim.value < 1
