"""Datasets that a recipe's own program writes: whole and as pinned, or not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from seedstock.core.errors import Invalid
from seedstock.recipes.outputs import describe_output
from seedstock.recipes.recipe import GeneratorInput
from seedstock.replications.generators import generate
from seedstock.replications.local import run_local
from tests.unit.replications.test_scripts import RECIPE

SCRIPT = """\
import pathlib, sys
for path in pathlib.Path(sys.argv[1], "any").iterdir():
    pathlib.Path(sys.argv[2], path.name).write_bytes(path.read_bytes())
"""
PROGRAM = b"""\
import json, pathlib, sys
folder, args = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
(folder / "a.jsonl").write_text("{}\\n")
if args["stop"]:
    sys.exit("enough")
(folder / "b.jsonl").write_text("{}\\n")
"""


def pinned(tmp_path: Path) -> GeneratorInput:
    folder = tmp_path / "pinned"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.jsonl").write_text("{}\n")
    digest = describe_output(folder, "dataset").tree
    sha256 = hashlib.sha256(PROGRAM).hexdigest()
    return GeneratorInput(file="gen.py", sha256=sha256, args={"stop": False}, digest=digest)


def test_what_an_earlier_attempt_left_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "a.jsonl").write_text("half")
    (folder / "left.jsonl").write_text("{}")
    (tmp_path / "rows.new").mkdir()
    (tmp_path / "rows.new" / "left.jsonl").write_text("{}")
    item = pinned(tmp_path)
    generate(PROGRAM, item, folder)
    assert describe_output(folder, "dataset").tree == item.digest
    assert not (tmp_path / "rows.new").exists()


def test_what_is_not_whole_or_not_as_pinned_is_not_there(tmp_path: Path) -> None:
    item = pinned(tmp_path)
    with pytest.raises(Invalid, match="ended with status 1: enough"):
        generate(PROGRAM, msgspec.structs.replace(item, args={"stop": True}), tmp_path / "rows")
    with pytest.raises(Invalid, match=r"inputs-changed: gen\.py wrote sha256:\w{12}, the recipe pins"):
        generate(PROGRAM.replace(b"b.jsonl", b"c.jsonl"), item, tmp_path / "rows")
    assert not (tmp_path / "rows").exists()


def test_a_recipe_runs_from_its_folder_though_its_rows_were_cut_off(tmp_path: Path) -> None:
    place, work = tmp_path / "recipe", tmp_path / "work"
    (place / "code").mkdir(parents=True)
    (place / "gen.py").write_bytes(PROGRAM)
    (place / "code" / "edit.py").write_text(SCRIPT)
    item = pinned(tmp_path)
    rows = (
        f'kind = "generator"\nfile = "gen.py"\nargs = {{ stop = false }}\nsha256 = "{item.sha256}"\n'
        f'digest = "{item.digest}"'
    )
    recipe = RECIPE.replace('kind = "model"\nref = "ada/base"\nrevision = "main"', rows)
    recipe = recipe.replace('inputs = { base = "base" }', 'inputs = { any = "base" }')
    recipe = recipe.replace("SHA", hashlib.sha256(SCRIPT.encode()).hexdigest())
    (place / "recipe.toml").write_text(recipe)
    (work / "inputs" / "base").mkdir(parents=True)
    (work / "inputs" / "base" / "a.jsonl").write_text("ha")
    found = run_local(place / "recipe.toml", work, [0], at_once=1, tell=lambda _text: None)
    assert (found.runs[0][0].output / "b.jsonl").read_text() == "{}\n"
