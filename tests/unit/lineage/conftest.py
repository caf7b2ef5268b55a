"""A hub with models whose descent is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import TokenRole, Viewer
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Put, PutLarge
from seedstock.wiring import Hub
from tests.factories.toy_models import State, safetensors_bytes


class Context:
    """What a job is given; keeps the log."""

    job_id = 1
    state_dir = Path()

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, fraction: float, message: str = "") -> None:
        pass

    def cancelled(self) -> bool:
        return False


class Family:
    """Publishes models and runs the jobs that this asks for, in this process."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.people: dict[str, Viewer] = {}
        for name in ("ada", "bob"):
            hub.accounts.create_user(name)
            token = hub.accounts.create_token(name, role=TokenRole.WRITE)
            self.people[name] = hub.accounts.viewer_for_token(token)
        self.log: list[str] = []
        self.names: set[str] = set()

    def publish(
        self,
        name: str,
        state: State | bytes | None,
        card: str = "",
        *,
        path: str = "model.safetensors",
        private: bool = False,
        files: dict[str, bytes] | None = None,
    ) -> str:
        """Commit a model; its commit."""
        owner = self.people[name.split("/", maxsplit=1)[0]]
        repo_id = RepoId(RepoType.MODEL, *name.split("/"))
        if name not in self.names:
            self.hub.repos.create(owner, repo_id, private=private)
            self.names.add(name)
        row, ref = self.hub.writing.begin(owner, repo_id, "main")
        large = (
            {} if state is None else {path: state if isinstance(state, bytes) else safetensors_bytes(state)}
        )
        small = {"README.md": card.encode(), **(files or {})}
        oids = self.hub.writing.store_blobs(row, list(small.values()))
        operations: list[Any] = [Put(file, oid) for file, oid in zip(small, oids, strict=True)]
        for file, data in large.items():
            with self.hub.content.staging.open() as staged:
                staged.write(data)
                digest = self.hub.content.add_received(row.id, staged)
            operations.append(PutLarge(file, digest, len(data)))
        return self.hub.writing.commit(owner, row, ref, CommitMessage("t"), operations).oid

    def index(self) -> None:
        """Run the queued jobs of indexing alone: what is pushed waits for its analysis."""
        self.settle("index_revision")

    def settle(self, *kinds: str) -> None:
        """Run every queued job of these kinds, by default those of indexing and analysis."""
        wanted = set(kinds or ("index_revision", "analyse_lineage"))
        done: set[int] = set()
        while waiting := [
            job for job in self.hub.queue.page(["queued"]) if job.id not in done and job.kind in wanted
        ]:
            for job in sorted(waiting, key=lambda job: job.id):
                done.add(job.id)
                self.hub.queue.cancel(job.id)
                context = Context()
                if job.kind == "index_revision":
                    self.hub.indexer.index(job.spec["repo_id"], job.spec["commit"])
                else:
                    self.hub.analyst.analyse(context, job.spec["repo_id"], job.spec["commit"])
                self.log += context.lines

    def lineage(self, name: str, viewer: str | None = "ada") -> Any:
        """What a viewer is told of a model."""
        from seedstock.core.viewer import ANONYMOUS

        who = self.people[viewer] if viewer else ANONYMOUS
        return self.hub.lineage.of(who, RepoId(RepoType.MODEL, *name.split("/")))


@pytest.fixture
def family(hub: Hub) -> Iterator[Family]:
    yield Family(hub)
