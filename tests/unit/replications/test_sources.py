"""What lies beside a recipe in its repo, large files too: held against the pins, placed, and run again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from seedstock.adapt.spec import read_spec
from seedstock.core.errors import RepoNotFound
from seedstock.core.names import RepoId, RepoType
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Operation, Put, PutLarge
from seedstock.hub.repos import RepoSettings
from seedstock.recipes.outputs import describe_output
from seedstock.recipes.pinning import Kind, Pinned, pin
from seedstock.recipes.reading import read_recipe, recipe_digest
from seedstock.recipes.recipe import Recipe
from seedstock.recipes.writing import render_recipe
from seedstock.replications.local import run_local
from seedstock.replications.request import Request
from seedstock.replications.sources import Found, Sources
from seedstock.variants.inputs import Materialiser
from seedstock.variants.recipe import recipe_of
from tests.factories.recipe_head import recipe_head
from tests.factories.tiny_llama import write_model
from tests.unit.variants.conftest import Context, Nursery

HEAD = recipe_head("mixed")
MERGE = f"""\
{HEAD}
[inputs]
one = {{ kind = "file", file = "parents/one", holds = "model" }}
two = {{ kind = "file", file = "parents/two", holds = "model" }}
[stage.mixed]
op = "merge"
inputs = {{ model_0 = "one", model_1 = "two" }}
args = {{ method = "linear", weights = [0.3, 0.7] }}
"""
MIXED = RepoId(RepoType.MODEL, "ada", "mixed")
SMALL = 4096


def pinned(place: Path, text: str) -> str:
    def resolve(kind: Kind, reference: str, _revision: str | None, _files: Sequence[str] = ()) -> Pinned:
        path = place / reference
        if kind == "file":
            return Pinned(f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")
        return Pinned(describe_output(path if path.is_dir() else path.parent, "dataset").tree)

    return pin(text, resolve)


def upload(nursery: Nursery, folder: Path) -> None:
    """Commit a folder to `ada/mixed` as clients do: what is not small as large files."""
    ada = nursery.people["ada"]
    nursery.hub.repos.create(ada, MIXED, private=False)
    row, ref = nursery.hub.writing.begin(ada, MIXED, "main")
    operations: list[Operation] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, data = path.relative_to(folder).as_posix(), path.read_bytes()
        if len(data) <= SMALL:
            operations.append(Put(name, nursery.hub.writing.store_blobs(row, [data])[0]))
            continue
        with nursery.hub.content.staging.open() as staged:
            staged.write(data)
            digest = nursery.hub.content.add_received(row.id, staged)
        operations.append(PutLarge(name, digest, len(data)))
    nursery.hub.writing.commit(ada, row, ref, CommitMessage("upload"), operations)


def find(nursery: Nursery, recipe: Recipe, beside: RepoId = MIXED) -> Found:
    hub = nursery.hub
    sources = Sources(hub.reading, Materialiser(hub.repos, hub.reading, hub.content))
    viewer = nursery.people["bob"]
    return sources.find(viewer, hub.reading.repo_at(viewer, beside, "main"), recipe, code_allowed=True)


def made_again(nursery: Nursery, tmp_path: Path, recipe: str) -> dict[str, Any]:
    """What becomes of a recipe's last stage that is run in its folder, uploaded and replicated."""
    place = tmp_path / "mixed"
    for seed, name in ((1, "one"), (2, "two")):
        write_model(place / "parents" / name, seed=seed)
    (place / "recipe.toml").write_text(pinned(place, recipe))
    made = run_local(place / "recipe.toml", tmp_path / "work", [0], at_once=1, tell=lambda _text: None)
    shutil.copytree(made.runs[0][-1].output, place, dirs_exist_ok=True)
    upload(nursery, place)
    number, proposal = nursery.hub.replications.start(nursery.people["bob"], MIXED, Request())
    assert proposal.changes == ()
    found = nursery.hub.replications.run(Context(tmp_path / "again"), nursery.hub.queue.get(number).spec)
    assert found is not None
    return found


def test_a_model_made_in_its_folder_from_large_files_is_made_again_on_a_hub(
    nursery: Nursery, tmp_path: Path
) -> None:
    found = made_again(nursery, tmp_path, MERGE)
    assert (found["verdict"], found["files_match"]) == ("bit-exact", True), found


def test_a_model_that_is_there_beforehand_is_not_made(nursery: Nursery, tmp_path: Path) -> None:
    found = made_again(nursery, tmp_path, MERGE.replace("[0.3, 0.7]", "[0.0, 1.0]"))
    assert found["applies"] == ("no-learning", "bit-exact")
    assert found["reason"] == "stage mixed gave back the weights that it was given"


def test_what_is_undone_again_is_not_made(nursery: Nursery, tmp_path: Path) -> None:
    there = MERGE.replace("[stage.mixed]", "[stage.there]").replace(
        "[0.3, 0.7]", "[0.0, 2.0], normalize = false"
    )
    back = """
[stage.mixed]
op = "merge"
inputs = { model_0 = "there" }
args = { method = "linear", weights = [0.5], normalize = false }
"""
    found = made_again(nursery, tmp_path, there + back)
    assert found["applies"] == ("no-learning", "bit-exact")


DATA = f"""\
{HEAD}
[inputs]
tiny = {{ kind = "file", file = "parents/one", holds = "model" }}
rows = {{ kind = "file", file = "data/rows.jsonl" }}
[stage.sft]
op = "sft"
inputs = {{ base = "tiny", data = "rows" }}
args = {{ learning_rate = 1e-3 }}
"""


@pytest.fixture
def beside(nursery: Nursery, tmp_path: Path) -> tuple[Path, str]:
    """A folder as `ada/mixed` holds it, and its recipe: a model in a folder, and many rows in one file."""
    place = tmp_path / "place"
    write_model(place / "parents" / "one")
    (place / "parents" / "one" / "more").mkdir()
    (place / "parents" / "one" / "more" / "notes.txt").write_text("small")
    (place / "data").mkdir()
    (place / "data" / "rows.jsonl").write_text(
        "".join(json.dumps({"text": f"{at}"}) + "\n" for at in range(999))
    )
    upload(nursery, place)
    return place, pinned(place, DATA)


def test_large_files_beside_a_recipe_are_linked_from_the_store_and_small_ones_copied(
    nursery: Nursery, beside: tuple[Path, str], tmp_path: Path
) -> None:
    place, text = beside
    found = find(nursery, read_recipe(text))
    assert found.changes == ()
    for name, source in (("tiny", place / "parents" / "one"), ("rows", place / "data")):
        target = tmp_path / "placed" / name
        found.places[name](target)
        paths = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
        assert {path.relative_to(target) for path in target.rglob("*") if path.is_file()} == paths
        for path in paths:
            data = (source / path).read_bytes()
            assert (target / path).read_bytes() == data
            assert (target / path).is_symlink() == (len(data) > SMALL)


def test_a_large_file_that_changed_is_named(nursery: Nursery, beside: tuple[Path, str]) -> None:
    _, text = beside
    digest = text.split('rows.jsonl", digest = "')[1][:71]
    changed = text.replace(digest, f"sha256:{'0' * 64}")
    assert [str(change) for change in find(nursery, read_recipe(changed)).changes] == [
        f"inputs-changed: data/rows.jsonl (rows) was sha256:{'0' * 12}, is {digest[:19]}"
    ]


def test_who_may_not_read_the_repo_any_more_gets_nothing_of_it(
    nursery: Nursery, beside: tuple[Path, str], tmp_path: Path
) -> None:
    found = find(nursery, read_recipe(beside[1]))
    nursery.hub.repos.change(nursery.people["ada"], MIXED, RepoSettings(private=True))
    for place in found.places.values():
        with pytest.raises(RepoNotFound):
            place(tmp_path / "placed")
    assert not (tmp_path / "placed").exists()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("parents/one", "parents/one is a folder, not a program"),
        ("data/rows.jsonl", "data/rows.jsonl is stored as a large file; a program is small"),
        ("gen.py", "The repository holds no gen.py"),
    ],
)
def test_a_program_is_one_small_file(
    nursery: Nursery, beside: tuple[Path, str], file: str, said: str
) -> None:
    generated = f'gen = {{ kind = "generator", file = "{file}", args = {{}}, sha256 = "{"0" * 64}", digest = "sha256:{"0" * 64}" }}\n'
    text = beside[1].replace("rows = {", f"{generated}rows = {{")
    script = f'[stage.edit]\nop = "script"\ninputs = {{}}\nargs = {{ file = "{file}", sha256 = "{"0" * 64}", args = {{}} }}\n'
    said_of = [str(change) for change in find(nursery, read_recipe(text + script)).changes]
    assert len(said_of) == 2
    assert all(said in change for change in said_of)


def test_the_files_that_a_variant_was_made_from_are_those_that_it_is_made_from_again(
    nursery: Nursery, tmp_path: Path
) -> None:
    ada = msgspec.structs.replace(nursery.people["ada"], is_admin=True)
    repo_id = RepoId(RepoType.DATASET, "ada", "rows")
    row, ref = nursery.hub.writing.begin(ada, repo_id, "main")
    names = ("more[1].jsonl", "letter.py", "other.py", "folder/not.py")
    oids = nursery.hub.writing.store_blobs(row, [name.encode() for name in names])
    operations = [Put(name, oid) for name, oid in zip(names, oids, strict=True)]
    nursery.hub.writing.commit(ada, row, ref, CommitMessage("more"), operations)
    document = {
        "method": "grpo",
        "base": "ada/base",
        "data": [{"repo": "ada/rows", "files": ["more[1].jsonl"]}, {"repo": "ada/rows"}],
        "reward_files": "ada/rows",
        "settings": {"rewards": [{"fn": "python_file", "args": {"file": "letter.py"}}]},
    }
    plan = nursery.hub.variants.propose(ada, read_spec(document)).plan
    recipe = recipe_of(plan, "ada/poet")
    again = read_recipe(render_recipe(recipe))
    assert recipe_digest(again) == recipe_digest(recipe)
    found = find(nursery, again, RepoId(RepoType.MODEL, "ada", "base"))
    assert found.changes == ()
    for name, files in (
        ("data_0", {"more[1].jsonl"}),
        ("data_1", {"more[1].jsonl", "train.jsonl"}),
        ("rewards", {"letter.py", "other.py"}),
    ):
        found.places[name](tmp_path / name)
        assert {path.name for path in (tmp_path / name).iterdir()} == files == plan.inputs[name].files.keys()
