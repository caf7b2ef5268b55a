"""Variants from the wish to the published repo, by the real trainer on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seedstock.adapt.launch import StageFailed
from seedstock.adapt.spec import read_spec
from seedstock.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import ANONYMOUS, TokenRole
from seedstock.hub import writing
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Put
from seedstock.recipes.reading import read_recipe
from tests.unit.variants.conftest import Context, Nursery

SFT = {
    "method": "sft",
    "base": "ada/base",
    "data": "ada/rows",
    "settings": {"steps": 4, "learning_rate": 1e-3, "lora": {"r": 4}, "batch_size": 4, "max_length": 64},
}


def repo(name: str) -> RepoId:
    return RepoId(RepoType.MODEL, *name.split("/"))


def test_an_adapter_is_published_with_its_pedigree(nursery: Nursery, tmp_path: Path) -> None:
    proposal = nursery.hub.variants.propose(nursery.people["bob"], read_spec(SFT))
    assert (proposal.target, proposal.exists, proposal.adapter) == ("bob/base-sft", False, True)
    context = Context(tmp_path)
    result = nursery.hub.variants.run(context, nursery.job("bob", SFT))
    assert result is not None
    at = nursery.hub.reading.repo_at(nursery.people["bob"], repo("bob/base-sft"))
    assert at.commit.oid == result["commit"]
    base = nursery.hub.reading.repo_at(nursery.people["bob"], repo("ada/base"))
    paths = {entry.path for entry in at.entries}
    assert {
        "adapter_model.safetensors",
        "adapter_config.json",
        "README.md",
        "recipe.toml",
        "run-record.dsse.json",
    } <= paths
    config = json.loads(nursery.read("bob", "bob/base-sft", "adapter_config.json"))
    assert (config["base_model_name_or_path"], config["revision"]) == ("ada/base", base.commit.oid)
    card = at.metadata.card_data
    assert (card["base_model"], card["base_model_relation"]) == ("ada/base", "adapter")
    assert (card["license"], card["datasets"], card["library_name"]) == ("apache-2.0", ["ada/rows"], "peft")
    text = nursery.read("bob", "bob/base-sft", "README.md").decode()
    assert base.commit.oid in text
    assert "Held-out loss after" in text
    kinds = [kind for kind, _ in context.events]
    assert kinds[0] == "stage"
    assert "metrics" in kinds
    recipe = read_recipe(nursery.read("bob", "bob/base-sft", "recipe.toml"))
    assert recipe.inputs["base"].revision == base.commit.oid  # type: ignore[union-attr]
    assert nursery.hub.records.holds(nursery.read("bob", "bob/base-sft", "run-record.dsse.json").decode())


def test_a_run_that_was_stopped_goes_on_and_publishes_once(nursery: Nursery, tmp_path: Path) -> None:
    job = nursery.job("bob", SFT)
    context = Context(tmp_path)
    context.stop = True
    assert nursery.hub.variants.run(context, job) is None
    with pytest.raises(NotFound):
        nursery.hub.reading.repo_at(nursery.people["bob"], repo("bob/base-sft"))
    context.stop = False
    first = nursery.hub.variants.run(context, job)
    again = nursery.hub.variants.run(context, job)  # a worker that died before it could say that it was done
    assert first is not None
    assert again is not None
    assert first["figures"] == again["figures"]
    assert first["repo"] == again["repo"]


def test_a_repo_appears_with_its_whole_commit_or_not_at_all(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a job that was killed while it noted a line, and whose machine goes away in the middle of publishing."""
    job, context, said = nursery.job("bob", SFT), Context(tmp_path), tmp_path / "sft" / "said.jsonl"
    context.stop = True
    assert nursery.hub.variants.run(context, job) is None
    said.write_bytes(b'{"log":"whole"}\n{"metrics":{"step":3')
    context.stop = False

    def break_off(*_: object) -> None:
        raise ConnectionError("the machine is gone")

    with monkeypatch.context() as patch:
        patch.setattr(writing, "enqueue_index", break_off)
        with pytest.raises(ConnectionError):
            nursery.hub.variants.run(context, job)
    with pytest.raises(NotFound):
        nursery.hub.reading.repo_at(nursery.people["bob"], repo("bob/base-sft"))
    assert nursery.hub.variants.run(context, job)
    assert said.read_bytes().startswith(b'{"log":"whole"}\n{"log"')
    assert all(json.loads(line) for line in said.read_bytes().splitlines())
    at = nursery.hub.reading.repo_at(nursery.people["bob"], repo("bob/base-sft"))
    assert "adapter_model.safetensors" in {entry.path for entry in at.entries}


def test_bad_rows_fail_before_anything_is_made_and_name_their_line(nursery: Nursery, tmp_path: Path) -> None:
    nursery.publish_rows("ada/broken", b'{"prompt": "a", "completion": "b"}\n{"prompt": \n')
    with pytest.raises(StageFailed) as caught:
        nursery.hub.variants.run(Context(tmp_path), nursery.job("bob", {**SFT, "data": "ada/broken"}))
    assert "train.jsonl" in caught.value.message
    assert "line 2" in caught.value.message
    with pytest.raises(NotFound):
        nursery.hub.reading.repo_at(nursery.people["bob"], repo("bob/base-sft"))


def test_what_is_private_stays_private_and_unseen(nursery: Nursery) -> None:
    variants, people = nursery.hub.variants, nursery.people
    nursery.publish_rows("ada/secret", [{"text": "x"}], private=True)
    with pytest.raises(Unauthenticated):
        variants.propose(ANONYMOUS, read_spec(SFT))
    said = []
    for name in ("ada/nothing", "ada/secret"):
        with pytest.raises(NotFound) as caught:
            variants.propose(people["bob"], read_spec({**SFT, "data": name}))
        said.append(caught.value.message.replace(name, "it"))
    assert said[0] == said[1]
    own = variants.propose(people["ada"], read_spec({**SFT, "data": "ada/secret"}))
    assert own.private is True
    with pytest.raises(Forbidden):
        variants.propose(people["bob"], read_spec({**SFT, "publish": "ada/mine"}))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"base": "ada/base@nowhere"}, Invalid, "no revision"),
        ({"gguf": "Q8_0"}, Invalid, "publish_as: merged"),
        ({"base": "ada/rows"}, NotFound, "no model ada/rows"),
    ],
)
def test_a_wish_that_cannot_be_met_is_told(
    nursery: Nursery, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        nursery.hub.variants.propose(nursery.people["bob"], read_spec({**SFT, **change}))
    assert words in str(caught.value)


def test_inputs_that_changed_after_the_wish_are_not_used(nursery: Nursery, tmp_path: Path) -> None:
    job = nursery.job("bob", SFT)
    job["plan"]["inputs"]["data"]["files"]["train.jsonl"] = "0" * 64
    with pytest.raises(Conflict) as caught:
        nursery.hub.variants.run(Context(tmp_path), job)
    assert "inputs-changed: ada/rows/train.jsonl" in caught.value.message


def test_rows_are_shown_as_the_base_sees_them(nursery: Nursery) -> None:
    variants = nursery.hub.variants
    proposal = variants.propose(nursery.people["bob"], read_spec(SFT))
    prospect = variants.look_ahead(nursery.people["bob"], proposal)
    found = prospect.preview
    assert found is not None
    assert prospect.estimate is not None
    assert prospect.estimate.fits
    assert (found.rows, found.shape) == (40, "messages")
    assert any(part.trained and "the end" in part.text for part in found.samples[0].segments)


def test_code_of_somebody_runs_for_admins_alone(nursery: Nursery, tmp_path: Path) -> None:
    owner = nursery.people["ada"]
    programs = RepoId(RepoType.DATASET, "ada", "programs")
    nursery.hub.repos.create(owner, programs)
    row, ref = nursery.hub.writing.begin(owner, programs, "main")
    code = b"def reward(prompt, completion, row):\n    return float('t' in completion)\n"
    oid = nursery.hub.writing.store_blobs(row, [code])[0]
    nursery.hub.writing.commit(owner, row, ref, CommitMessage("code"), [Put("letter.py", oid)])
    settings: dict[str, Any] = {
        "steps": 2, "questions": 2, "group": 4, "max_new_tokens": 6, "held_out": 0.0, "max_length": 64,
        "rewards": [{"fn": "python_file", "args": {"file": "letter.py", "allowed": True}}],
    }  # fmt: skip
    spec = {
        "method": "grpo",
        "base": "ada/base",
        "data": "ada/rows",
        "reward_files": "ada/programs",
        "settings": settings,
    }
    with pytest.raises(Forbidden, match="only an admin"):
        nursery.hub.variants.propose(nursery.people["bob"], read_spec(spec))
    loose = {**settings, "rewards": [{"fn": "code_tests", "args": {"isolate": False}}]}
    with pytest.raises(Forbidden, match="only an admin"):
        nursery.hub.variants.propose(nursery.people["bob"], read_spec({**spec, "settings": loose}))
    nursery.hub.accounts.create_user("root", admin=True)
    token = nursery.hub.accounts.create_token("root", role=TokenRole.WRITE)
    nursery.people["root"] = nursery.hub.accounts.viewer_for_token(token)
    result = nursery.hub.variants.run(Context(tmp_path), nursery.job("root", spec))
    assert result is not None
    assert result["figures"]["steps"] == 2
