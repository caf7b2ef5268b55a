"""A recipe with a script of its author: who may run it, what it gives, and what it is worth."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from seedstock.core.errors import Invalid
from seedstock.core.names import RepoId, RepoType
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Put
from seedstock.openness.facts import Recipe, Replication
from seedstock.openness.records import inspect_record
from seedstock.openness.score import verify_level
from seedstock.recipes.outputs import describe_output
from seedstock.recipes.pinning import Kind, Pinned, pin
from seedstock.recipes.record import read_run
from seedstock.replications.local import run_local
from seedstock.replications.request import Request
from seedstock.variants.pinning import Pinner
from tests.factories.recipe_head import recipe_head
from tests.unit.openness.models import model as openness_model
from tests.unit.variants.conftest import Context, Nursery
from tests.unit.web.test_job_pages import browser

SCRIPT = """\
import os, sys
inputs, output = sys.argv[1:3]
for name in os.listdir(f"{inputs}/base"):
    data = bytearray(open(f"{inputs}/base/{name}", "rb").read())
    if name.endswith(".safetensors"):
        data[-4:] = bytes(4)
    open(f"{output}/{name}", "wb").write(data)
"""
RECIPE = (
    recipe_head("edited")
    + """\
[inputs.base]
kind = "model"
ref = "ada/base"
revision = "main"
[stage.edit]
op = "script"
inputs = { base = "base" }
args = { file = "code/edit.py", sha256 = "SHA", args = {} }
"""
)
EDITED = RepoId(RepoType.MODEL, "ada", "edited")


def put(nursery: Nursery, path: str, data: bytes) -> None:
    ada = nursery.people["ada"]
    row, ref = nursery.hub.writing.begin(ada, EDITED, "main")
    oid = nursery.hub.writing.store_blobs(row, [data])[0]
    nursery.hub.writing.commit(ada, row, ref, CommitMessage("recipe"), [Put(path, oid)])


@pytest.fixture
def edited(nursery: Nursery, tiny_base: Path, tmp_path: Path) -> Nursery:
    """`ada/edited`, whose weights differ from the base's in their last number, its recipe and script beside them."""
    folder = tmp_path / "edited"
    folder.mkdir()
    for path in tiny_base.iterdir():
        data = path.read_bytes()
        (folder / path.name).write_bytes(data[:-4] + bytes(4) if path.suffix == ".safetensors" else data)
    nursery.publish_folder("ada/edited", folder)

    def resolve(_kind: Kind, reference: str, revision: str | None, _files: Sequence[str] = ()) -> Pinned:
        found = Pinner(nursery.hub.reading, nursery.people["ada"]).pin(
            RepoType.MODEL, reference, revision or "main"
        )
        return Pinned(found.digest, found.commit)

    text = pin(RECIPE.replace("SHA", hashlib.sha256(SCRIPT.encode()).hexdigest()), resolve)
    put(nursery, "recipe.toml", text.encode())
    put(nursery, "code/edit.py", SCRIPT.encode())
    return nursery


def test_a_script_runs_for_an_admin_and_lowers_what_the_run_proves(edited: Nursery, tmp_path: Path) -> None:
    client, root = browser(edited.hub, "boss", admin=True)
    refused = edited.hub.replications.propose(edited.people["bob"], EDITED, Request())
    assert refused.changes == (
        "code: stage edit was the author's, is not to be run (an admin of this hub may)",
    )
    assert refused.foreign_code == ("stage edit",)
    number, proposal = edited.hub.replications.start(root, EDITED, Request())
    assert proposal.changes == ()
    spec = edited.hub.queue.get(number).spec
    edited.hub.queue.cancel(number)
    found = edited.hub.replications.run(Context(tmp_path / "again"), spec)
    assert found is not None
    assert found["verdict"] == "bit-exact", found
    row = edited.hub.replications.of(root, EDITED)[0]
    assert row.trust == "self-reported"  # by a hub's worker, and one class less
    run = read_run(inspect_record(row.record))
    assert run.foreign_code
    assert [stage.op for stage in run.stages] == ["script"]
    page = client.get("/ada/edited/replicate").text
    assert "a script of its author took part (edit): one class of trust less" in page
    assert "Code of the author: stage edit" in page


def test_a_script_that_changed_is_not_run(edited: Nursery, tmp_path: Path) -> None:
    _, root = browser(edited.hub, "boss", admin=True)
    put(edited, "code/edit.py", SCRIPT.encode() + b"# changed")
    proposal = edited.hub.replications.propose(root, EDITED, Request())
    assert [change.partition(" was ")[0] for change in proposal.changes] == [
        "inputs-changed: script code/edit.py (stage edit)"
    ]
    spec = edited.hub.queue.get(edited.hub.replications.start(root, EDITED, Request())[0]).spec
    found = edited.hub.replications.run(Context(tmp_path / "again"), spec)
    assert found is not None
    assert (found["verdict"], "edit.py" in found["reason"]) == ("failed", True)


@pytest.mark.parametrize(
    ("outcome", "level"),
    [(Replication.BIT_EXACT, 3), (Replication.WITHIN_TOLERANCE, 2), (Replication.FUNCTIONAL, 2)],
)
def test_verification_is_a_level_lower_with_a_script(outcome: Replication, level: int) -> None:
    recipe = Recipe(resolves=True, operations=("script",), replication=outcome)
    found = verify_level(msgspec.structs.replace(openness_model(), recipe=recipe))
    assert found.level == level
    assert ("script of its author" in found.text) == (outcome is not Replication.FUNCTIONAL)


def test_a_recipe_with_a_script_runs_from_its_folder(tmp_path: Path) -> None:
    recipe = RECIPE.replace(
        'kind = "model"\nref = "ada/base"\nrevision = "main"', 'kind = "file"\nfile = "rows"'
    )
    recipe = recipe.replace("SHA", hashlib.sha256(SCRIPT.encode()).hexdigest())
    place = tmp_path / "recipe"
    (place / "rows").mkdir(parents=True)
    (place / "rows" / "a.txt").write_text("a")
    (place / "code").mkdir()
    (place / "code" / "edit.py").write_text(SCRIPT)
    digest = describe_output(place / "rows").tree
    (place / "recipe.toml").write_text(
        recipe.replace('"rows"', f'"rows"\nholds = "model"\ndigest = "{digest}"')
    )
    found = run_local(place / "recipe.toml", tmp_path / "w", [0, 1], at_once=1, tell=lambda _text: None)
    assert [(runs[0].output / "a.txt").read_text() for runs in found.runs] == ["a", "a"]
    (place / "code" / "edit.py").write_text(SCRIPT + "#")
    with pytest.raises(Invalid, match=r"inputs-changed: code/edit\.py"):
        run_local(place / "recipe.toml", tmp_path / "w", [0], at_once=1, tell=lambda _text: None)
