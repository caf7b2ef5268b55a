"""`seedstock recipe`, offline; pinning against a hub is in tests/contract."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from seedstock.cli.main import cli
from seedstock.recipes.graph import stage_digests
from seedstock.recipes.outputs import tree_digest
from seedstock.recipes.reading import read_recipe, recipe_digest
from tests.unit.recipes.samples import SHORT, pinned

WHOLE = pinned()
LOCAL = """\
schema = "hub-recipe/1"
name = "local"
license = "MIT"
env = { python = "3.11", lock = "lock.txt" }
budget = { cpu_s = 1, memory_mb = 1 }
determinism = { seed = 0, threads = 1, dtype = "float32", device = "cpu", deterministic_algorithms = true }
[inputs]
rows = { kind = "file", file = "data" }
model = { kind = "file", file = "model.gguf", holds = "model" }
[stage.q]
op = "script"
inputs = { base = "model", data = "rows" }
args = { file = "clean.py", args = {} }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"recipe.toml": WHOLE, "short.toml": SHORT, "local.toml": LOCAL}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "data").mkdir()
    for name in ("lock.txt", "data/rows.jsonl", "model.gguf", "clean.py"):
        (tmp_path / name).write_text(name)
    return tmp_path


def run(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(cli, ["recipe", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_check_says_what_a_recipe_is_or_where_it_is_wrong(folder: Path) -> None:
    done = run("check", folder / "recipe.toml")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"{folder}/recipe.toml: tiny, 4 stages, 5 inputs, 1 claims",
        recipe_digest(read_recipe(WHOLE)),
    ]
    done = run("check", folder / "short.toml")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"seedstock: {folder}/short.toml:16:55: inputs.base.revision: 'main' is not a commit of 40 hex digits"
        " (seedstock recipe pin FILE writes it)\n"
    )
    (folder / "short.toml").write_bytes(b"a = 1\n\xff")
    assert ":2:1: not UTF-8" in run("check", folder / "short.toml").stderr


def test_digest_prints_the_identities_of_stages(folder: Path) -> None:
    assert run("digest", folder / "recipe.toml").stdout == f"{recipe_digest(read_recipe(WHOLE))}\n"
    lines = run("digest", folder / "recipe.toml", "--stages").stdout.splitlines()[1:]
    assert lines == [f"{digest}  {name}" for name, digest in stage_digests(read_recipe(WHOLE)).items()]


def test_what_lies_beside_a_recipe_is_pinned_without_a_hub(folder: Path) -> None:
    file = folder / "local.toml"
    dry = run("pin", file, "--dry-run", "--endpoint", "http://127.0.0.1:9")
    assert (dry.exit_code, file.read_text()) == (0, LOCAL)
    done = run("pin", file, "--endpoint", "http://127.0.0.1:9")
    assert done.stdout == dry.stdout
    found = read_recipe(file.read_text())
    rows = hashlib.sha256(b"data/rows.jsonl").hexdigest()
    assert found.inputs["rows"].digest == tree_digest({"rows.jsonl": rows})
    assert found.env.sha256 == hashlib.sha256(b"lock.txt").hexdigest()
    assert found.stage["q"].args["sha256"] == hashlib.sha256(b"clean.py").hexdigest()
    assert run("check", file).stdout.splitlines()[-1] == (
        "note: stage q runs code of the recipe's author, so a run of it is trusted less"
    )


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ('file = "data"', 'file = "absent"', 3, "There is no 'absent' beside the recipe"),
        ('file = "data"', 'file = "../data"', 1, "Invalid path: '../data'"),
        ('file = "data"', 'file = "link"', 1, "'link' leads out of the recipe's folder"),
        ('{ kind = "file", file = "data" }', '{ kind = "dataset", ref = "rows" }', 1, "is no repo like"),
        ('{ kind = "file", file = "data" }', '{ kind = "dataset", ref = "a/b" }', 7, "does not answer"),
    ],
)
def test_what_cannot_be_pinned_is_one_line_and_changes_nothing(
    folder: Path, old: str, new: str, code: int, said: str
) -> None:
    (folder / "link").symlink_to("/etc")
    file = folder / "local.toml"
    file.write_text(LOCAL.replace(old, new))
    done = run("pin", file, "--endpoint", "http://127.0.0.1:9")
    assert done.exit_code == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert file.read_text() == LOCAL.replace(old, new)


def test_import_writes_a_recipe_and_tells_the_rest_apart(folder: Path) -> None:
    foreign = folder / "sft.yaml"
    foreign.write_text("model_name_or_path: ada/base\ndataset_name: ada/rows\nlogging_steps: 1\nfoo: 1\n")
    done = run("import", foreign)
    assert done.exit_code == 0
    assert 'ref = "ada/rows"' in done.stdout
    assert "not mapped: line 4: foo: a recipe has nothing like it" in done.stderr
    assert run("import", foreign, "-o", folder / "new.toml").stdout == ""
    assert (folder / "new.toml").read_text() == done.stdout
    assert "exists already" in run("import", foreign, "-o", folder / "new.toml").stderr
    foreign.write_text("a: 1\n")
    assert "is no YAML of trl, Axolotl or mergekit" in run("import", foreign).stderr
