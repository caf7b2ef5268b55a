"""Recipes with stages that evaluate: what of them runs, what the record and the page say, on a hub and in a folder."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from seedstock.adapt.scores import read_means
from seedstock.core.errors import Invalid
from seedstock.db import job_events
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Put
from seedstock.openness.records import verify_record
from seedstock.recipes.outputs import describe_output
from seedstock.recipes.parts import part_for, published_stages
from seedstock.recipes.pinning import pin
from seedstock.recipes.reading import read_recipe
from seedstock.recipes.record import StageScore, read_run
from seedstock.recipes.record_check import explain
from seedstock.replications.local import run_local
from seedstock.replications.measuring import evaluated
from seedstock.replications.request import Request, shortened
from tests.unit.recipes.samples import pinned, resolve
from tests.unit.replications.test_verdicts import POET, SPEC
from tests.unit.variants.conftest import Context, Nursery
from tests.unit.web.test_job_pages import browser

ARGS = """\
metric = "short answers"
rewards = [{ fn = "length", weight = 1.0, args = { unit = "characters", at_most = 20, margin = 20 } }]
n = 8
samples = 2
temperature = 1.0
top_p = 1.0
max_new_tokens = 12
batch_size = 8
rows = [{ input = "data", split = "train", columns = {} }]
"""


def stage(name: str, base: str, data: str = "data") -> str:
    inputs = f'inputs = {{ base = "{base}", data = "{data}" }}'
    return f'\n[stage.{name}]\nop = "eval"\n{inputs}\n[stage.{name}.args]\n{ARGS}'


def add_to_recipe(nursery: Nursery, more: str) -> None:
    ada = nursery.people["ada"]
    text = nursery.read("ada", "ada/poet", "recipe.toml").decode() + more
    row, ref = nursery.hub.writing.begin(ada, POET, "main")
    oid = nursery.hub.writing.store_blobs(row, [text.encode()])[0]
    nursery.hub.writing.commit(ada, row, ref, CommitMessage("evaluate"), [Put("recipe.toml", oid)])


def test_a_replication_evaluates_what_it_made_and_record_graph_and_page_have_the_score(
    nursery: Nursery, tmp_path: Path
) -> None:
    assert nursery.hub.variants.run(Context(tmp_path / "made"), nursery.job("ada", SPEC)) is not None
    add_to_recipe(nursery, stage("after", "sft"))
    client, eve = browser(nursery.hub, "eve")
    with pytest.raises(Invalid, match="Stage after makes a dataset; a replication is of a model"):
        nursery.hub.replications.propose(eve, POET, Request(stage="after"))
    number, _ = nursery.hub.replications.start(eve, POET, Request())
    context = Context(tmp_path / "again")
    found = nursery.hub.replications.run(context, nursery.hub.queue.get(number).spec)
    assert found is not None
    assert found["verdict"] == "bit-exact"

    row = nursery.hub.replications.of(eve, POET)[0]
    run = read_run(verify_record(row.record, [nursery.hub.records.key.public]))
    output = tmp_path / "again" / "seed-0" / "after" / "output"
    items = read_means(output)
    assert [(fact.stage, fact.metric, fact.model, fact.items) for fact in run.metrics] == [
        ("after", "short answers", "replica", [items])
    ]
    fact = run.stages[-1]
    assert (fact.op, fact.output.tree) == ("eval", describe_output(output, "dataset").tree)
    assert fact.metrics["score"] == pytest.approx(sum(items) / 8)
    (score,) = run.scores
    assert found["scores"] == [{name: getattr(score, name) for name in StageScore.__struct_fields__}]
    assert (score.stage, score.items, score.seeds) == ("after", 8, 1)
    assert 0 < score.low < score.value < score.high < 1
    ends = f"{score.low:.4f} to {score.high:.4f}"
    assert f"metric:  short answers of after, replica: {score.value:.4f} ({ends}) over 8 items" in explain(
        run
    )

    # All but its last word, that the evaluation is done.
    said = [(0, kind, "", data) for kind, data in context.events]
    with nursery.hub.database.write() as connection:
        job_events.add(connection, number, said[:-1])
    page = client.get("/ada/poet/replicate").text
    standing = dict(re.findall(r'data-node="(\w+)" data-standing="(\w+)"', page))
    assert standing == {"sft": "done", "after": "running"}
    assert re.search(r'data-node="after".*?<path class="stage-spark"[^>]* d="M', page, re.DOTALL)
    text = f"{100 * score.value:.1f} % ({100 * score.low:.1f} to {100 * score.high:.1f})"
    assert '<span class="muted">short answers, stage after</span><svg viewBox="0 0 100 8"' in page
    assert f'aria-label="{text}"' in page


def test_a_recipe_with_an_evaluation_runs_from_its_folder(tiny_base: Path, tmp_path: Path) -> None:
    place = tmp_path / "recipe"
    shutil.copytree(tiny_base, place / "model")
    (place / "items").mkdir()
    (place / "items" / "data.jsonl").write_text(
        "".join(json.dumps({"prompt": f"say {at}"}) + "\n" for at in range(8))
    )
    model, items = describe_output(place / "model").tree, describe_output(place / "items", "dataset").tree
    head = re.sub(r"env = .*", 'env = { python = "3.11" }', pinned().split("[inputs]")[0])
    inputs = (
        f'[inputs]\nbase = {{ kind = "file", file = "model", holds = "model", digest = "{model}" }}\n'
        f'data = {{ kind = "file", file = "items", digest = "{items}" }}\n'
    )
    (place / "recipe.toml").write_text(head + inputs + stage("score", "base"))
    runs = run_local(
        place / "recipe.toml", tmp_path / "work", [0, 1], at_once=1, tell=lambda _text: None
    ).runs
    one, other = runs
    assert 0 < one[0].result["score"] < 1
    assert one[0].digest != other[0].digest, "another seed, other answers"
    assert one[0].digest == describe_output(one[0].output, "dataset").tree
    (fact,) = evaluated(runs)
    means = [read_means(run.output) for run in (one[0], other[0])]
    assert (fact.stage, fact.metric, fact.n, fact.items) == ("score", "short answers", 8, means)
    assert fact.value == pytest.approx((one[0].result["score"] + other[0].result["score"]) / 2)


CLAIM = """
[stage.same]
op = "merge"
inputs = { model_0 = "base" }
args = { method = "linear", weights = [1.0] }
[[claim]]
stage = "same"
metric = "short answers"
value = 1.0
seeds = 1
margin = 0.1
[claim.eval]
data = "data"
fn = "length"
fn_args = { unit = "characters", at_most = 1000, margin = 20 }
n = 40
samples = 1
temperature = 1.0
top_p = 1.0
max_new_tokens = 2
seed = 0
split = "test"
columns = { prompt = "ask" }
"""


def test_a_claim_is_measured_on_the_split_that_it_names(tiny_base: Path, tmp_path: Path) -> None:
    place = tmp_path / "recipe"
    shutil.copytree(tiny_base, place / "model")
    (place / "items").mkdir()
    for split, count in (("train", 3), ("test", 40)):
        rows = "".join(json.dumps({"ask": f"say {at}"}) + "\n" for at in range(count))
        (place / "items" / f"{split}.jsonl").write_text(rows)
    model, items = describe_output(place / "model").tree, describe_output(place / "items", "dataset").tree
    head = re.sub(r"env = .*", 'env = { python = "3.11" }', pinned().split("[inputs]")[0])
    inputs = (
        f'[inputs]\nbase = {{ kind = "file", file = "model", holds = "model", digest = "{model}" }}\n'
        f'data = {{ kind = "file", file = "items", digest = "{items}" }}\n'
    )
    (place / "recipe.toml").write_text(pin(head + inputs + CLAIM, resolve))
    found = run_local(place / "recipe.toml", tmp_path / "work", [0], at_once=1, tell=lambda _text: None)
    assert found.scores["same"].tolist() == [[1.0] * 40]


def test_evaluations_of_what_is_made_run_with_it_and_those_of_other_models_do_not() -> None:
    evaluations = (
        ("of_student", "student", "test"),
        ("of_small", "small", "test"),
        ("of_grpo", "grpo", "test"),
        ("of_base", "base", "test"),
        ("on_traces", "student", "traces"),
        ("before_on_traces", "base", "traces"),
    )
    recipe = read_recipe(pinned() + "".join(stage(*one) for one in evaluations))
    assert published_stages(recipe, "ada/elsewhere", ()) == ["student"]
    part = part_for(recipe, ["sft"])
    assert list(part.stage) == ["sft", "of_base"], "traces are not made for one of the base"
    assert set(part.inputs) == {"base", "cold", "test"}
    every = ["sft", "grpo", "traces", "student", *(name for name, _, _ in evaluations)]
    assert sorted(part_for(recipe, ["student"]).stage) == sorted(every)
    args = shortened(part).stage["of_base"].args
    assert (args["n"], args["samples"]) == (1, 1)


@pytest.mark.parametrize("name", ["\\u001b[2J", "one\\n", ""])
def test_the_name_of_a_score_is_one_line(name: str) -> None:
    text = stage("score", "student", "test").replace("short answers", name)
    with pytest.raises(Invalid, match=r"stage\.score\.args\.metric"):
        read_recipe(pinned() + text)


@pytest.mark.parametrize(
    ("old", "new", "needed"),
    [
        ('base = "student", ', "", "base"),
        ('data = "test"', 'held_out = "test"', "data"),
        ('input = "data", split', 'input = "items", split', "items"),
        ('fn = "length"', 'fn = "python_file"', "rewards"),
    ],
)
def test_an_evaluation_without_what_it_needs_is_refused_where_it_is_read(
    old: str, new: str, needed: str
) -> None:
    text = stage("score", "student", "test")
    assert old in text
    with pytest.raises(Invalid) as caught:
        read_recipe(pinned() + text.replace(old, new))
    assert re.fullmatch(
        rf"recipe\.toml:\d+:\d+: stage\.score\.inputs: the evaluation needs the input {needed}",
        caught.value.message,
    )
