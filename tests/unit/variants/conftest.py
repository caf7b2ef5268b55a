"""A hub with a tiny base model and rows to make variants from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seedstock.adapt.spec import read_spec
from seedstock.core.names import RepoId, RepoType
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Put
from seedstock.variants.service import ADAPT_MODEL
from seedstock.wiring import Hub
from tests.factories.tiny_llama import write_model
from tests.unit.adapt.stages import conversations
from tests.unit.lineage.conftest import Family

CARD = "---\nlicense: apache-2.0\nlanguage: en\n---\n# Base\n"


class Context:
    """What a job is given; keeps what it says."""

    job_id = 1

    def __init__(self, folder: Path) -> None:
        self.state_dir = folder
        self.lines: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.stop = False

    def log(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, fraction: float, message: str = "") -> None:
        assert 0 <= fraction <= 1, message

    def event(self, kind: str, data: dict[str, Any]) -> None:
        self.events.append((kind, data))

    def cancelled(self) -> bool:
        return self.stop


class Nursery(Family):
    """A hub whose users make variants."""

    def publish_folder(self, name: str, folder: Path, card: str = CARD) -> str:
        """Commit a model's folder."""
        weights = (folder / "model.safetensors").read_bytes()
        small = {
            path.name: path.read_bytes()
            for path in folder.iterdir()
            if path.is_file() and path.name not in {"model.safetensors", "README.md"}
        }
        return self.publish(name, weights, card, files=small)

    def publish_rows(self, name: str, rows: list[dict[str, Any]] | bytes, *, private: bool = False) -> str:
        """Commit a dataset."""
        owner = self.people[name.split("/", maxsplit=1)[0]]
        repo_id = RepoId(RepoType.DATASET, *name.split("/"))
        self.hub.repos.create(owner, repo_id, private=private)
        row, ref = self.hub.writing.begin(owner, repo_id, "main")
        data = rows if isinstance(rows, bytes) else "".join(json.dumps(item) + "\n" for item in rows).encode()
        oid = self.hub.writing.store_blobs(row, [data])[0]
        return self.hub.writing.commit(owner, row, ref, CommitMessage("rows"), [Put("train.jsonl", oid)]).oid

    def job(self, who: str, document: dict[str, Any]) -> dict[str, Any]:
        """Ask for a variant and take the job off the queue."""
        number, _ = self.hub.variants.start(self.people[who], read_spec(document))
        job = self.hub.queue.get(number)
        assert job.kind == ADAPT_MODEL
        self.hub.queue.cancel(number)
        return job.spec

    def read(self, who: str, name: str, path: str) -> bytes:
        """A small file of a model."""
        return (
            self.hub.reading.file(
                self.people[who], RepoId(RepoType.MODEL, *name.split("/")), f"main/{path}"
            ).data
            or b""
        )


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model's folder."""
    folder = tmp_path_factory.mktemp("tiny") / "base"
    write_model(folder)
    return folder


@pytest.fixture
def nursery(hub: Hub, tiny_base: Path) -> Iterator[Nursery]:
    """`ada/base` and `ada/rows`, public."""
    found = Nursery(hub)
    found.publish_folder("ada/base", tiny_base)
    found.publish_rows("ada/rows", conversations(40))
    yield found
