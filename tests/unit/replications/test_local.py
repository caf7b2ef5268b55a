"""A recipe run from its folder by the command, without a hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from seedstock.cli.main import cli
from seedstock.recipes.outputs import describe_output
from seedstock.recipes.pinning import Kind, Pinned, pin
from tests.factories.recipe_head import recipe_head

RECIPE = (
    recipe_head("echo")
    + """\
[inputs.base]
kind = "file"
file = "base"
holds = "model"
[inputs.asked]
kind = "file"
file = "asked"
[stage.answers]
op = "sample"
inputs = { base = "base", data = "asked" }
args = { per_prompt = 3, max_new_tokens = 24 }
[stage.taught]
op = "sft"
inputs = { base = "base", data = "answers" }
args = { steps = 50, held_out = 0.0, lora = { r = 2, merged = true } }
"""
)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "output" / "data.jsonl").read_text().splitlines()]


def test_a_smoke_run_goes_through_every_stage_and_leaves_what_a_whole_run_made(
    tiny_base: Path, tmp_path: Path
) -> None:
    place, kept = tmp_path / "recipe", tmp_path / "kept"
    place.mkdir()
    (place / "base").symlink_to(tiny_base)
    (place / "asked").mkdir()
    (place / "asked" / "data.jsonl").write_text("".join(f'{{"prompt": "{at} is "}}\n' for at in range(20)))
    file = place / "recipe.toml"

    def resolve(_kind: Kind, reference: str, _revision: str | None) -> Pinned:
        folder = (place / reference).resolve()
        return Pinned(describe_output(folder, "model" if reference == "base" else "dataset").tree)

    file.write_text(pin(RECIPE, resolve))

    def run(*options: str) -> str:
        done = CliRunner().invoke(cli, ["recipe", "run", str(file), "--folder", str(kept), *options])
        assert done.exit_code == 0, done.output
        return done.output

    said = run("--stage", "answers")
    assert "taught" not in said
    whole = rows(kept / "seed-0" / "answers")
    said = run("--smoke")
    assert "smoke 0: taught took" in said
    smoke = rows(kept / "smoke-0" / "answers")
    assert (len(whole), len(smoke)) == (60, 16)
    assert max(len(row["completion"]) for row in smoke) < max(len(row["completion"]) for row in whole)
    assert (kept / "smoke-0" / "taught" / "output" / "model.safetensors").is_file()
    assert rows(kept / "seed-0" / "answers") == whole
