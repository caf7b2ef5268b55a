"""`seedstock recipe pin` against a live hub: what it writes in is the digest of the folder that was published."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from huggingface_hub import HfApi

from seedstock.recipes.outputs import describe_output
from seedstock.recipes.reading import read_recipe
from seedstock.recipes.recipe import DatasetInput, ModelInput
from tests.contract.server import ROOT, HubProcess
from tests.factories.tensors import safetensors_bytes
from tests.unit.recipes.samples import SHORT


def _command(hub: HubProcess, file: Path, *, who: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    token = ("--token", hub.tokens[who]) if who else ()
    command = [sys.executable, "-m", "seedstock", "recipe", "pin", str(file), "--endpoint", hub.url, *token]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def _publish(api: HfApi, name: str, folder: Path, kind: str, *, private: bool = False) -> str:
    api.create_repo(f"ada/{name}", repo_type=kind, private=private)
    return api.upload_folder(repo_id=f"ada/{name}", repo_type=kind, folder_path=folder).oid


def test_a_recipe_is_pinned_to_what_the_hub_holds(hub: HubProcess, tmp_path: Path) -> None:
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    model, rows = tmp_path / "model", tmp_path / "rows"
    for folder in (model / "sub dir", rows):
        folder.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(safetensors_bytes({"a": ("F32", (64, 64))}))
    (model / "config.json").write_text("{}")
    (model / "sub dir" / "é#1.txt").write_text("a name that must be quoted")
    (model / "README.md").write_text("---\nlicense: mit\n---\n")
    (rows / "train.jsonl").write_text('{"text": "a"}\n')
    (rows / "README.md").write_text("---\nlicense: mit\n---\n")
    commits = {name: _publish(api, name, model, "model") for name in ("base", "small")}
    commits |= {
        name: _publish(api, name, rows, "dataset", private=name == "cold") for name in ("cold", "test")
    }
    api.create_tag("ada/cold", tag="v1", repo_type="dataset")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(SHORT)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "b"}\n')

    done = _command(hub, recipe, who="ada")
    assert (done.returncode, recipe.read_text()) == (3, SHORT), "a fault changes nothing"
    assert "There is no 'requirements.lock' beside the recipe" in done.stderr
    (tmp_path / "requirements.lock").write_text("torch==2.13.0\n")
    assert _command(hub, recipe, who="").returncode in {3, 4}, "ada/cold is private"
    done = _command(hub, recipe, who="ada")
    assert done.returncode == 0, done.stderr
    found = read_recipe(recipe.read_text())
    base, cold = found.inputs["base"], found.inputs["cold"]
    assert isinstance(base, ModelInput)
    assert isinstance(cold, DatasetInput)
    assert (base.revision, cold.revision) == (commits["base"], commits["cold"])
    assert base.digest == describe_output(model).tree
    assert cold.digest == describe_output(rows, "dataset").tree
    assert f'+base = {{ kind = "model", ref = "ada/base", revision = "{commits["base"]}"' in done.stdout
    again = _command(hub, recipe, who="")
    assert (again.returncode, again.stdout.count("\n")) == (0, 1), "all is pinned: nothing is asked"
