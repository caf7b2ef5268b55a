"""The graph of stages: order, identities, caching, and the names of what changed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from seedstock.core.errors import NotFound
from seedstock.recipes.graph import as_stage, changes, order, resolved_args, stage_digests, stages_to_run
from seedstock.recipes.reading import read_recipe
from seedstock.recipes.recipe import DatasetInput, Recipe
from tests.unit.recipes.samples import commit, digest, pinned

RECIPE = read_recipe(pinned())


def with_stage(name: str, **fields: Any) -> Recipe:
    stage = msgspec.structs.replace(RECIPE.stage[name], **fields)
    return msgspec.structs.replace(RECIPE, stage={**RECIPE.stage, name: stage})


def with_input(name: str, **fields: Any) -> Recipe:
    item = msgspec.structs.replace(RECIPE.inputs[name], **fields)
    return msgspec.structs.replace(RECIPE, inputs={**RECIPE.inputs, name: item})


def changed_stages(new: Recipe) -> set[str]:
    was, now = stage_digests(RECIPE), stage_digests(new)
    return {name for name in was if was[name] != now[name]}


def test_stages_come_after_what_they_need() -> None:
    backwards = msgspec.structs.replace(RECIPE, stage=dict(reversed(RECIPE.stage.items())))
    assert order(RECIPE) == order(backwards) == ["sft", "grpo", "traces", "student"]
    assert stage_digests(backwards) == stage_digests(RECIPE)


def test_a_change_reaches_the_stages_behind_it_and_no_other() -> None:
    args = RECIPE.stage["traces"].args
    assert changed_stages(with_stage("traces", args={**args, "temperature": 0.5})) == {"traces", "student"}
    assert changed_stages(with_input("small", digest=digest("x"))) == {"student"}
    assert changed_stages(with_stage("grpo", seed=7)) == {"grpo", "traces", "student"}
    assert changed_stages(with_input("cold", files=["other.jsonl"])) == set(RECIPE.stage)


def test_names_and_places_change_no_identity() -> None:
    assert changed_stages(msgspec.structs.replace(RECIPE, name="other", license="MIT", claim=[])) == set()
    assert changed_stages(with_stage("student", publish="ada/elsewhere")) == set()
    assert changed_stages(with_input("cold", revision=commit("y"))) == set(), "equal content, another commit"


def test_the_environment_and_the_arithmetic_are_part_of_the_identity() -> None:
    how = msgspec.structs.replace(RECIPE.determinism, threads=2)
    assert changed_stages(msgspec.structs.replace(RECIPE, determinism=how)) == set(RECIPE.stage)
    env = msgspec.structs.replace(RECIPE.env, sha256="0" * 64)
    assert changed_stages(msgspec.structs.replace(RECIPE, env=env)) == set(RECIPE.stage)
    assert resolved_args(RECIPE, "sft")["dtype"] == "float32"
    assert changed_stages(with_stage("sft", args={**RECIPE.stage["sft"].args, "dtype": "float32"})) == set()


def test_no_seed_changes_a_quantisation() -> None:
    quantize = msgspec.structs.replace(RECIPE.stage["sft"], op="quantize", args={"to": "Q4_0"})
    recipes = [
        msgspec.structs.replace(RECIPE, stage={"q": msgspec.structs.replace(quantize, seed=seed)})
        for seed in (0, 1)
    ]
    assert stage_digests(recipes[0]) == stage_digests(recipes[1])


def test_only_what_is_not_there_runs() -> None:
    digests = stage_digests(RECIPE)

    def run(there: set[str], wanted: list[str] | None = None) -> list[str]:
        known = {digests[name] for name in there}
        return stages_to_run(RECIPE, known.__contains__, wanted)

    assert run(set()) == ["sft", "grpo", "traces", "student"]
    assert run({"sft"}) == ["grpo", "traces", "student"]
    assert run({"traces"}) == ["student"], "what leads only to a published intermediate is not run"
    assert run({"student"}) == []
    assert run(set(), ["grpo"]) == ["sft", "grpo"]
    with pytest.raises(NotFound, match="no stage 'nope'"):
        run(set(), ["nope"])


def test_a_stage_is_handed_to_the_runner_with_everything_written_out() -> None:
    contents = {name: digest(name) for name in ("base", "cold")}
    stage = as_stage(RECIPE, "sft", contents)
    assert stage.inputs == {"base": digest("base"), "data": digest("cold")}
    assert stage.args["dtype"] == "float32"
    assert (stage.seed, stage.threads, stage.device, stage.memory_bytes) == (0, 1, "cpu", 2048 << 20)


def test_what_changed_is_named() -> None:
    old = RECIPE.inputs["cold"]
    assert isinstance(old, DatasetInput)
    assert [
        str(change)
        for change in changes(RECIPE, with_input("cold", revision=commit("n"), digest=digest("n")))
    ] == [f"inputs-changed: dataset cold was commit {old.revision[:12]}, is commit {commit('n')[:12]}"]
    assert [str(change) for change in changes(RECIPE, with_input("cold", digest=digest("n")))] == [
        f"inputs-changed: dataset cold was content {old.digest[7:19]}, is content {digest('n')[7:19]}"
    ]
    assert [str(change) for change in changes(RECIPE, with_input("cold", files=["b.jsonl"]))] == [
        'inputs-changed: dataset cold was files absent, is ["b.jsonl"]'
    ]
    args = {**RECIPE.stage["sft"].args, "learning_rate": 5e-3}
    assert [str(change) for change in changes(RECIPE, with_stage("sft", args=args))] == [
        "stage-changed: stage sft learning_rate was 0.0005, is 0.005"
    ]
    less = msgspec.structs.replace(RECIPE, stage={"sft": RECIPE.stage["sft"]})
    assert str(changes(RECIPE, less)[0]) == "stage-changed: stage grpo was there, is absent"
    assert changes(RECIPE, RECIPE) == []
