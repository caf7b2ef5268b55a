"""docs/formats/recipe.md: its example is a recipe, its errors are what is said, its tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from seedstock.adapt.methods import METHODS
from seedstock.core.errors import Invalid
from seedstock.recipes.reading import read_recipe
from seedstock.recipes.recipe import Budget, Claim, Determinism, Environment, Evaluation, Recipe, RecipeStage
from seedstock.recipes.verdict import Verdict
from tests.unit.recipes.samples import pinned

PAGE = (Path(__file__).parents[3] / "docs" / "formats" / "recipe.md").read_text()
EXAMPLE = PAGE.split("```toml\n")[1].split("```")[0]
ERRORS = PAGE.split("## Errors")[1].split("```\n")[1].splitlines()


def said(text: str) -> str:
    with pytest.raises(Invalid) as caught:
        read_recipe(text)
    return f"{caught.value.message} ({caught.value.hint})" if caught.value.hint else caught.value.message


def test_the_example_is_a_recipe_once_it_is_pinned() -> None:
    assert list(read_recipe(pinned(EXAMPLE)).stage) == ["sft", "score", "small"]


def test_the_errors_are_those_that_are_said() -> None:
    whole = pinned(EXAMPLE)
    rows = 'inputs = { base = "base", data = "rows" }'
    messages = [
        said(EXAMPLE),
        said(
            EXAMPLE.replace("threads = 1", "treads = 1").replace(
                '"main"', f'"{"0" * 40}"\ndigest = "sha256:{"0" * 64}"'
            )
        ),
        said(whole.replace('ref = "ada/rows"\n', 'ref = "ada/rows"\nsplit = "train"\n')),
        said(whole.replace("batch_size = 8\n", "", 1)),
        said(whole.replace(rows, rows.replace("rows", "rwos"))),
        said(whole.replace(rows, rows.replace('"base"', '"sft"'))),
        said(
            whole.replace("n = 313", "n = 30")
            .replace("samples = 8", "samples = 1")
            .replace("value = 0.30", "value = 0.7")
        ),
    ]

    assert messages == ERRORS


def test_every_key_operation_and_verdict_is_named() -> None:
    parts = (Budget, Claim, Determinism, Environment, Evaluation, Recipe, RecipeStage)
    names = {field.encode_name for part in parts for field in msgspec.structs.fields(part)}
    for name in names | METHODS.keys() | {verdict.value for verdict in Verdict}:
        assert re.search(rf"`[^`]*\b{re.escape(name)}\b[^`]*`", PAGE), name
