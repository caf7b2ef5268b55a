"""Conversions by the hub are replicable from birth: recipe, record, and what becomes of them as files join and go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from seedstock.cli.main import cli
from seedstock.convert.mixtures import TARGETS
from seedstock.core.errors import Invalid
from seedstock.core.names import RepoId, RepoType
from seedstock.hub.commits import CommitMessage
from seedstock.hub.conversions import Request as Conversion
from seedstock.hub.derived import Committer
from seedstock.hub.operations import Delete, Operation, Put, PutLarge
from seedstock.openness.records import verify_record
from seedstock.recipes.outputs import content_digest, file_sha256
from seedstock.recipes.parts import part_for
from seedstock.recipes.reading import read_recipe, recipe_digest
from seedstock.recipes.recipe import ModelInput, Recipe
from seedstock.recipes.record import RunRecord, read_run
from seedstock.replications.request import Request
from seedstock.variants.pinning import Pinner
from tests.unit.variants.conftest import Context, Nursery

SMALL = RepoId(RepoType.MODEL, "ada", "small")
OWN = """
# Mine, and not the hub's.
schema = "hub-recipe/1"
name = "small"
license = "MIT"
env = { python = "3.11" }
budget = { cpu_s = 5, memory_mb = 4000 }
determinism = { seed = 7, threads = 2, dtype = "float32", device = "cpu", deterministic_algorithms = true }
inputs.base = { kind = "model", ref = "ada/base", revision = "COMMIT", digest = "sha256:DIGEST" }
stage.twin = { op = "merge", inputs = { model_0 = "base", model_1 = "base" }, args = { method = "linear" } }
"""


def convert(nursery: Nursery, folder: Path, to: str, source: str = "ada/base", **request: Any) -> str:
    """Into `ada/small`; the commit."""
    number, _ = nursery.hub.conversions.start(
        nursery.people["ada"],
        RepoId(RepoType.MODEL, *source.split("/")),
        Conversion(to=to, repo="ada/small", **request),
    )
    spec = nursery.hub.queue.get(number).spec
    nursery.hub.queue.cancel(number)
    folder.mkdir()
    made = nursery.hub.conversions.run(Context(folder), spec)
    assert made is not None
    return str(made["commit"])


def replicate(nursery: Nursery, folder: Path, **request: Any) -> dict[str, Any]:
    number, proposal = nursery.hub.replications.start(nursery.people["bob"], SMALL, Request(**request))
    assert proposal.changes == ()
    found = nursery.hub.replications.run(Context(folder), nursery.hub.queue.get(number).spec)
    nursery.hub.queue.cancel(number)
    assert found is not None
    return found


def recipe_of(nursery: Nursery) -> Recipe:
    return read_recipe(nursery.read("ada", "ada/small", "recipe.toml"))


def record_of(nursery: Nursery, file: str) -> RunRecord:
    envelope = nursery.read("ada", "ada/small", f"{file}.run-record.dsse.json")
    verified = verify_record(envelope, [nursery.hub.records.key.public])
    assert verified.trusted
    return read_run(verified)


def commit(nursery: Nursery, *operations: Operation) -> None:
    ada = nursery.people["ada"]
    row, ref = nursery.hub.writing.begin(ada, SMALL, "main")
    nursery.hub.writing.commit(ada, row, ref, CommitMessage("change"), operations)


def blob(nursery: Nursery, data: bytes) -> Any:
    row, _ = nursery.hub.writing.begin(nursery.people["ada"], SMALL, "main")
    return nursery.hub.writing.store_blobs(row, [data])[0]


def download(nursery: Nursery, folder: Path) -> Path:
    """All files of `ada/small`, and the hub's key beside the folder."""
    ada = nursery.people["ada"]
    folder.mkdir()
    for entry in nursery.hub.reading.repo_at(ada, SMALL).entries:
        found = nursery.hub.reading.file(ada, SMALL, f"main/{entry.path}")
        if found.data is None:
            assert found.entry.digest is not None
            (folder / entry.path).write_bytes(
                nursery.hub.content.materialise(found.entry.digest).read_bytes()
            )
        else:
            (folder / entry.path).write_bytes(found.data)
    (folder.parent / "hub.pem").write_bytes(nursery.hub.records.public_key())
    return folder


def verify(folder: Path, file: str) -> tuple[int, str]:
    record, key = folder / f"{file}.run-record.dsse.json", folder.parent / "hub.pem"
    done = CliRunner().invoke(
        cli, ["verify-record", str(record), "--key", str(key), "--outputs", str(folder)]
    )
    return done.exit_code, done.output


def test_one_commit_publishes_the_file_its_recipe_and_its_record(nursery: Nursery, tmp_path: Path) -> None:
    made = convert(nursery, tmp_path / "a", "q8_0")
    at = nursery.hub.reading.repo_at(nursery.people["ada"], SMALL)
    assert at.commit.oid == made
    assert at.commit.generation == 2, "the initial commit and this one"
    recipe, record = recipe_of(nursery), record_of(nursery, "base-Q8_0.gguf")
    assert list(recipe.stage) == ["base-q8_0"]
    stage, item = recipe.stage["base-q8_0"], recipe.inputs["base"]
    assert isinstance(item, ModelInput)
    source = f"{item.ref}@{item.revision}"
    assert (stage.op, stage.inputs) == ("quantize", {"base": "base"})
    assert stage.args == {"to": "Q8_0", "name": "base", "file": "model.safetensors", "source": source}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(item.files)
    assert record.recipe_digest == recipe_digest(recipe)
    assert [(fact.name, fact.uri, fact.digest, fact.revision) for fact in record.inputs] == [
        ("base", "ada/base", item.digest, item.revision)
    ]
    assert record.stages[0].output.tensors
    assert record.environment["version.gguf"]
    assert record.trust.label == "hub-worker"
    folder = download(nursery, tmp_path / "small")
    files = record.stages[0].output.files
    assert files == {"base-Q8_0.gguf": file_sha256(folder / "base-Q8_0.gguf")}
    pinned = Pinner(nursery.hub.reading, nursery.people["ada"]).pin(RepoType.MODEL, "ada/small", "main")
    assert pinned.digest == content_digest(files, "model"), "recipe and record only describe"


def test_a_changed_byte_of_file_or_record_is_detected(nursery: Nursery, tmp_path: Path) -> None:
    for to in ("Q8_0", "F16"):
        convert(nursery, tmp_path / to, to)
    folder = download(nursery, tmp_path / "small")
    for name in ("base-Q8_0.gguf", "base-F16.gguf"):
        status, text = verify(folder, name)
        assert (status, "as recorded" in text) == (0, True), text
    weights = folder / "base-F16.gguf"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    status, text = verify(folder, "base-F16.gguf")
    assert status == 6
    assert "base-F16.gguf is" in text
    assert verify(folder, "base-Q8_0.gguf")[0] == 0
    record = folder / "base-Q8_0.gguf.run-record.dsse.json"
    data = record.read_bytes()
    middle = len(data) // 2
    record.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    assert verify(folder, "base-Q8_0.gguf")[0] != 0


def test_each_file_has_its_stage_and_its_own_verdict(nursery: Nursery, tmp_path: Path) -> None:
    convert(nursery, tmp_path / "a", "Q8_0")
    first = nursery.read("ada", "ada/small", "base-Q8_0.gguf.run-record.dsse.json")
    before = recipe_of(nursery)
    convert(nursery, tmp_path / "b", "F16")
    convert(nursery, tmp_path / "c", "Q4_0", "ada/small", file="base-F16.gguf")
    recipe = recipe_of(nursery)
    assert list(recipe.stage) == ["base-q8_0", "base-f16", "small-q4_0"]
    assert recipe.stage["base-q8_0"] == before.stage["base-q8_0"]
    assert list(recipe.inputs) == ["base", "small"], "what was read twice is one input"
    assert nursery.read("ada", "ada/small", "base-Q8_0.gguf.run-record.dsse.json") == first
    for stage, file in (("base-q8_0", "base-Q8_0.gguf"), ("base-f16", "base-F16.gguf")):
        assert record_of(nursery, file).recipe_digest == recipe_digest(part_for(recipe, [stage]))
    found = replicate(nursery, tmp_path / "all")
    assert found["verdict"] == "bit-exact"
    assert [(each["stage"], each["file"], each["verdict"]) for each in found["outcomes"]] == [
        ("base-q8_0", "base-Q8_0.gguf", "bit-exact"),
        ("base-f16", "base-F16.gguf", "bit-exact"),
        ("small-q4_0", "small-Q4_0.gguf", "bit-exact"),
    ]
    assert "every file" in found["reason"]
    one = replicate(nursery, tmp_path / "one", stage="base-f16")
    assert [each["file"] for each in one["outcomes"]] == ["base-F16.gguf"]


def test_a_file_that_is_not_what_its_stage_makes_is_told_apart(nursery: Nursery, tmp_path: Path) -> None:
    convert(nursery, tmp_path / "a", "Q8_0")
    convert(nursery, tmp_path / "b", "F16")
    folder = download(nursery, tmp_path / "small")
    data = (folder / "base-F16.gguf").read_bytes()
    with nursery.hub.content.staging.open() as staged:
        staged.write(data[:-1] + bytes([data[-1] ^ 1]))
        row, _ = nursery.hub.writing.begin(nursery.people["ada"], SMALL, "main")
        digest = nursery.hub.content.add_received(row.id, staged)
    commit(nursery, PutLarge("base-F16.gguf", digest, len(data)))
    found = replicate(nursery, tmp_path / "again")
    assert {each["file"]: each["verdict"] for each in found["outcomes"]} == {
        "base-Q8_0.gguf": "bit-exact",
        "base-F16.gguf": "inconclusive",
    }
    assert found["verdict"] == "inconclusive"


def test_a_repo_is_reproduced_only_if_each_of_its_files_is(nursery: Nursery, tmp_path: Path) -> None:
    convert(nursery, tmp_path / "a", "Q8_0")
    convert(nursery, tmp_path / "b", "F16")

    def level() -> int:
        nursery.settle()
        bob = nursery.people["bob"]
        return nursery.hub.openness.grade(bob, SMALL).openness.verification.level

    assert level() == 1
    replicate(nursery, tmp_path / "one", stage="base-q8_0")
    assert level() == 1, "one file says nothing of the other"
    replicate(nursery, tmp_path / "other", stage="base-f16")
    assert level() == 4


def test_a_file_that_is_made_anew_has_one_stage(nursery: Nursery, tmp_path: Path) -> None:
    convert(nursery, tmp_path / "a", "Q8_0")
    commit(nursery, Delete("base-Q8_0.gguf"))
    newer = nursery.publish("ada/base", None, "# another card")
    convert(nursery, tmp_path / "b", "Q8_0")
    recipe = recipe_of(nursery)
    assert list(recipe.stage) == ["base-q8_0"]
    assert [item.revision for item in recipe.inputs.values() if isinstance(item, ModelInput)] == [newer]
    assert replicate(nursery, tmp_path / "again")["verdict"] == "bit-exact"


def test_a_recipe_that_is_there_grows_and_a_wrong_one_is_named_first(
    nursery: Nursery, tmp_path: Path
) -> None:
    ada = nursery.people["ada"]
    nursery.hub.repos.create(ada, SMALL)
    text = OWN.replace("COMMIT", "1" * 40).replace("DIGEST", "2" * 64)
    commit(nursery, Put("recipe.toml", blob(nursery, text.encode())))
    convert(nursery, tmp_path / "a", "F16")
    was, now = (
        read_recipe(text, complete=False),
        read_recipe(nursery.read("ada", "ada/small", "recipe.toml"), complete=False),
    )
    assert now.stage["twin"] == was.stage["twin"]
    assert (now.license, now.env, now.determinism) == (was.license, was.env, was.determinism)
    assert list(now.inputs) == ["base", "base-2"], "the name was taken, by something else"
    assert now.stage["base-f16"].inputs == {"base": "base-2"}
    commit(nursery, Put("recipe.toml", blob(nursery, text.replace("twin", "Twin").encode())))
    with pytest.raises(Invalid, match=r"wrong recipe: recipe.toml:"):
        nursery.hub.conversions.start(
            ada, RepoId(RepoType.MODEL, "ada", "base"), Conversion("Q8_0", repo="ada/small")
        )


def test_two_conversions_at_once_both_stay_in_the_recipe(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(nursery, tmp_path / "a", "F16")
    whole, calls = Committer.commit, []

    def interrupted(self: Committer, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            convert(nursery, tmp_path / "b", "Q8_0")
        return whole(self, *arguments)

    monkeypatch.setattr(Committer, "commit", interrupted)
    convert(nursery, tmp_path / "c", "BF16")
    assert len(calls) == 3, "the first was refused and tried again"
    assert set(recipe_of(nursery).stage) == {"base-f16", "base-q8_0", "base-bf16"}


def test_every_type_that_is_made_here_is_one_that_recipes_know(nursery: Nursery, tmp_path: Path) -> None:
    for number, to in enumerate(TARGETS):
        convert(nursery, tmp_path / str(number), to)
    assert len(recipe_of(nursery).stage) == len(TARGETS)
