"""Verdicts through the service, by real runs on a tiny model; those of the real command are in tests/contract."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from seedstock.core.names import RepoId, RepoType
from seedstock.db import job_events
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Put
from seedstock.openness.records import verify_record
from seedstock.recipes.record import read_run
from seedstock.replications.request import Request
from seedstock.replications.service import REPLICATE_MODEL
from tests.unit.variants.conftest import Context, Nursery
from tests.unit.web.test_job_pages import browser

SPEC = {
    "method": "sft",
    "base": "ada/base",
    "data": "ada/rows",
    "publish": "ada/poet",
    "threads": 1,
    "settings": {
        "steps": 6,
        "learning_rate": 1e-3,
        "lora": None,
        "batch_size": 4,
        "max_length": 64,
        "held_out": 0.0,
    },
}
POET = RepoId(RepoType.MODEL, "ada", "poet")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first `poet` leaves its stages for the others, which find them done as a job does that goes on."""
    return tmp_path_factory.mktemp("poet") / "made"


@pytest.fixture
def poet(nursery: Nursery, trained: Path, tmp_path: Path) -> Nursery:
    """`ada/poet`, made from its recipe."""
    made = tmp_path / "made"
    if trained.exists():
        shutil.copytree(trained, made, symlinks=True)
    assert nursery.hub.variants.run(Context(made), nursery.job("ada", SPEC)) is not None
    if not trained.exists():
        shutil.copytree(made, trained, symlinks=True)
    return nursery


def replicate(nursery: Nursery, folder: Path, who: str = "bob", **request: Any) -> dict[str, Any]:
    number, _ = nursery.hub.replications.start(nursery.people[who], POET, Request(**request))
    job = nursery.hub.queue.get(number)
    assert job.kind == REPLICATE_MODEL
    nursery.hub.queue.cancel(number)
    found = nursery.hub.replications.run(Context(folder), job.spec)
    assert found is not None
    return found


def change_recipe(nursery: Nursery, old: str, new: str) -> None:
    owner = nursery.people["ada"]
    text = nursery.read("ada", "ada/poet", "recipe.toml").decode()
    assert old in text
    row, ref = nursery.hub.writing.begin(owner, POET, "main")
    oid = nursery.hub.writing.store_blobs(row, [text.replace(old, new).encode()])[0]
    nursery.hub.writing.commit(owner, row, ref, CommitMessage("change"), [Put("recipe.toml", oid)])


def test_the_same_recipe_on_the_same_machine_is_bit_exact_and_the_record_says_so(
    poet: Nursery, tmp_path: Path
) -> None:
    found = replicate(poet, tmp_path / "again")
    assert found["verdict"] == "bit-exact", found
    rows = poet.hub.replications.of(poet.people["bob"], POET)
    assert [(row.verdict, row.ran_by, row.trust) for row in rows] == [("bit-exact", "bob", "hub-worker")]
    verified = verify_record(rows[0].record, [poet.hub.records.key.public])
    assert verified.trusted
    run = read_run(verified)
    assert run.judgement is not None
    assert run.judgement.verdict == "bit-exact"


def test_the_page_shows_the_graph_of_the_recipe_then_of_the_run_then_what_ran(
    poet: Nursery, tmp_path: Path
) -> None:
    client, eve = browser(poet.hub, "eve")
    page = client.get("/ada/poet/replicate").text
    assert re.findall(r'data-node="(\w+)" data-standing="(\w+)"', page) == 2 * [("sft", "planned")]
    assert re.findall(r'data-from="(\w+)" data-to="(\w+)"', page) == 2 * [("base", "sft"), ("data", "sft")]
    assert "data-job" not in page
    number, _ = poet.hub.replications.start(eve, POET, Request())
    spec = poet.hub.queue.get(number).spec
    waiting = client.get("/ada/poet/replicate").text
    assert f'data-job="{number}"' in waiting
    assert "replicate.js" in waiting
    assert "data-job" not in browser(poet.hub, "mallory")[0].get("/ada/poet/replicate").text
    context = Context(tmp_path / "again")
    assert poet.hub.replications.run(context, spec) is not None
    heard = [data for kind, data in context.events if kind == "stage"]
    assert heard[0] == {"graph": [["sft", "sft", {"base": "base", "data": "data"}]], "first": 0, "of": 1}
    assert [word["state"] for word in heard[1:]] == ["running", "done"]
    with poet.hub.database.write() as connection:
        job_events.add(connection, number, [(0, kind, "", data) for kind, data in context.events])
    live = client.get("/ada/poet/replicate").text
    assert re.findall(r'data-node="(\w+)" data-standing="(\w+)"', live) == 2 * [("sft", "done")]
    assert '<path class="line line-0" d="M' in live
    poet.hub.queue.cancel(number)
    over = client.get("/ada/poet/replicate").text
    assert "data-job" not in over
    assert "1 stage as they ran" in over


def test_a_run_that_learns_nothing_is_told(nursery: Nursery, tmp_path: Path) -> None:
    settings = {**SPEC["settings"], "learning_rate": 1e-30}  # type: ignore[dict-item]
    job = nursery.job("ada", {**SPEC, "settings": settings})
    assert nursery.hub.variants.run(Context(tmp_path / "made"), job) is not None
    assert replicate(nursery, tmp_path / "again")["verdict"] == "no-learning"
    assert replicate(nursery, tmp_path / "smoke", smoke=True)["verdict"] == "no-learning"


def test_a_smoke_run_proves_nothing_but_that_it_runs(poet: Nursery, tmp_path: Path) -> None:
    found = replicate(poet, tmp_path / "again", smoke=True)
    assert found["verdict"] == "inconclusive"
    assert [row.smoke for row in poet.hub.replications.of(poet.people["bob"], POET)] == [True]
    change_recipe(poet, "learning_rate = 0.001", "learning_rate = 1e-30")
    found = replicate(poet, tmp_path / "idle", smoke=True)
    assert found["verdict"] == "inconclusive", "two steps need not teach"


def test_more_than_the_budget_is_a_failure(poet: Nursery, tmp_path: Path) -> None:
    text = poet.read("ada", "ada/poet", "recipe.toml").decode()
    budget = next(line for line in text.splitlines() if line.startswith("cpu_s"))
    change_recipe(poet, budget, "cpu_s = 1")
    found = replicate(poet, tmp_path / "again")
    assert (found["verdict"], found["failure"]) == ("failed", "budget-exceeded")


def test_replications_are_part_of_how_open_a_model_is(poet: Nursery, tmp_path: Path) -> None:
    def level() -> tuple[int, str]:
        found = poet.hub.openness.grade(poet.people["bob"], POET).openness.verification
        return found.level, found.text

    poet.index()
    assert level() == (1, "every reference of the recipe resolves")
    replicate(poet, tmp_path / "smoke", smoke=True)
    assert level()[0] == 2
    replicate(poet, tmp_path / "again")
    assert level() == (4, "reproduced bit for bit")
    poet.hub.repos.delete(poet.people["ada"], RepoId(RepoType.DATASET, "ada", "rows"))
    assert level()[0] == 0
