"""What has no chance in it comes out the same to the bit: on the hub where it was made, and on another one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seedstock.core.names import RepoId, RepoType
from seedstock.db import migrate
from seedstock.db.engine import Database, default_url
from seedstock.hub.conversions import Request as Conversion
from seedstock.openness.records import verify_record
from seedstock.recipes.outputs import content_digest
from seedstock.recipes.record import read_run
from seedstock.replications.request import Request
from seedstock.settings import Settings
from seedstock.variants.pinning import Pinner
from seedstock.wiring import open_hub
from tests.factories.tiny_llama import write_model
from tests.unit.variants.conftest import Context, Nursery

TRAINED = {"steps": 3, "learning_rate": 1e-2, "batch_size": 4, "max_length": 64, "held_out": 0.0}
MERGES: dict[str, dict[str, Any]] = {
    "blend": {"models": ["ada/base", "ada/other"], "settings": {"method": "linear", "weights": [0.3, 0.7]}},
    "dare": {
        "base": "ada/base",
        "models": ["ada/other", "ada/third"],
        "settings": {"method": "dare_ties", "density": [0.5, 0.5]},
        "seed": 4,
    },
    "folded": {"base": "ada/base", "models": ["ada/poet"], "settings": {"method": "lora"}},
}


def model(name: str) -> RepoId:
    return RepoId(RepoType.MODEL, *name.split("/"))


def make(nursery: Nursery, folder: Path, document: dict[str, Any]) -> None:
    made = nursery.hub.variants.run(Context(folder), nursery.job("ada", document))
    assert made is not None


def convert(nursery: Nursery, folder: Path, to: str, source: str = "ada/base", **request: Any) -> None:
    """A conversion by the hub, into `ada/small` by default."""
    ada = nursery.people["ada"]
    wanted = Conversion(to=to, **{"repo": "ada/small", **request})
    number, _ = nursery.hub.conversions.start(ada, model(source), wanted)
    spec = nursery.hub.queue.get(number).spec
    nursery.hub.queue.cancel(number)
    folder.mkdir()
    assert nursery.hub.conversions.run(Context(folder), spec) is not None


def copy_repo(here: Nursery, there: Nursery, name: str) -> None:
    """What somebody does who downloads a model and uploads it elsewhere: the same files in another commit."""
    ada = here.people["ada"]
    at = here.hub.reading.repo_at(ada, model(name))
    small, large = {}, {}
    for entry in at.entries:
        file = here.hub.reading.file(ada, model(name), f"main/{entry.path}")
        if file.data is not None:
            small[entry.path] = file.data
        else:
            assert file.entry.digest is not None
            large[entry.path] = here.hub.content.materialise(file.entry.digest).read_bytes()
    card = small.pop("README.md").decode()
    for path, data in large.items():
        there.publish(name, data, card, path=path, files=small)


def replicate(nursery: Nursery, name: str, folder: Path) -> dict[str, Any]:
    number, proposal = nursery.hub.replications.start(nursery.people["bob"], model(name), Request())
    assert proposal.changes == ()
    spec = nursery.hub.queue.get(number).spec
    nursery.hub.queue.cancel(number)
    found = nursery.hub.replications.run(Context(folder), spec)
    assert found is not None
    return found


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Nursery]:
    """A fresh hub of somebody else."""
    data = tmp_path / "elsewhere"
    data.mkdir()
    database = Database(default_url(data))
    migrate.upgrade(database)
    database.close()
    hub = open_hub(
        Settings(data_dir=data, database_url=default_url(data), store_url=f"file:{data / 'store'}")
    )
    yield Nursery(hub)
    hub.close()


def test_merges_and_quantisations_are_bit_exact_here_and_elsewhere(
    nursery: Nursery, elsewhere: Nursery, tmp_path: Path
) -> None:
    for seed, name in ((1, "other"), (2, "third")):
        nursery.publish_folder(f"ada/{name}", write_model(tmp_path / name, seed=seed))
    lora = {
        "method": "sft",
        "base": "ada/base",
        "data": "ada/rows",
        "publish": "ada/poet",
        "settings": TRAINED,
    }
    make(nursery, tmp_path / "poet", lora)
    for name, document in MERGES.items():
        make(nursery, tmp_path / name, {"method": "merge", "publish": f"ada/{name}", **document})
    convert(nursery, tmp_path / "q8", "Q8_0")
    convert(nursery, tmp_path / "f16", "F16")
    convert(nursery, tmp_path / "q4", "Q4_0", "ada/small", file="base-F16.gguf")
    made = [*MERGES, "small"]
    for name in ("base", "other", "third", "poet", *made):
        copy_repo(nursery, elsewhere, f"ada/{name}")
    bases = [hub.hub.reading.repo_at(hub.people["ada"], model("ada/base")) for hub in (nursery, elsewhere)]
    assert bases[0].commit.oid != bases[1].commit.oid
    for hub, base, names in ((nursery, bases[0], [*made, "poet"]), (elsewhere, bases[1], made)):
        for name in names:
            place = tmp_path / f"{name}-{base.commit.oid}"
            found = replicate(hub, f"ada/{name}", place)
            assert (found["verdict"], found["files_match"]) == ("bit-exact", True), (name, place, found)
            rows = hub.hub.replications.of(hub.people["bob"], model(f"ada/{name}"))
            assert len(rows) == (3 if name == "small" else 1)
            runs = [read_run(verify_record(row.record, [hub.hub.records.key.public])) for row in rows]
            files = {path: digest for run in runs for path, digest in run.stages[-1].output.files.items()}
            pinned = Pinner(hub.hub.reading, hub.people["bob"]).pin(RepoType.MODEL, f"ada/{name}", "main")
            assert content_digest(files, "model") == pinned.digest, (
                "not only the tensors, all files are equal"
            )
            used = {item.revision for run in runs for item in run.inputs if item.uri == "ada/base"}
            assert used == ({base.commit.oid} if used else set()), "what was read, not what the recipe says"


def test_elsewhere_other_content_is_not_taken_for_the_pinned_one(
    nursery: Nursery, elsewhere: Nursery, tmp_path: Path
) -> None:
    convert(nursery, tmp_path / "small", "Q8_0")
    copy_repo(nursery, elsewhere, "ada/small")
    elsewhere.publish_folder("ada/base", write_model(tmp_path / "other", seed=1))
    number, proposal = elsewhere.hub.replications.start(
        elsewhere.people["bob"], model("ada/small"), Request()
    )
    assert "ada/base" in proposal.changes[0]
    found = elsewhere.hub.replications.run(Context(tmp_path / "again"), elsewhere.hub.queue.get(number).spec)
    assert found is not None
    assert (found["verdict"], found["failure"]) == ("failed", "inputs-changed")
