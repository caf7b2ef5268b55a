"""Datasets of the hub as suites: their task file and their rows, read under the rights of whoever asks."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec

from seedstock.accounts.permissions import Action, check
from seedstock.adapt.rows.files import format_of
from seedstock.content.service import Content
from seedstock.core.errors import EntryNotFound, Invalid
from seedstock.core.names import RepoId
from seedstock.core.viewer import Viewer
from seedstock.evaluation.items import Item, sha256_of
from seedstock.evaluation.row_count import Count, Order, count_isolated
from seedstock.evaluation.task_file import TASK_FILE, TaskFile, read_items, read_task
from seedstock.hub.reading import Reading, RepoAt
from seedstock.hub.repos import repo_id_of

_MAX_ROWS_BYTES = 2 << 30


class DatasetTask(msgspec.Struct, frozen=True):
    """A dataset at a commit, with what its task file says."""

    at: RepoAt
    task: TaskFile

    @property
    def digest(self) -> str:
        """SHA-256 of what the task file says."""
        return sha256_of(self.task)


class DatasetSuites:
    """Opens them."""

    def __init__(self, reading: Reading, content: Content) -> None:
        self._reading = reading
        self._content = content

    def open(self, viewer: Viewer, repo_id: RepoId, revision: str) -> DatasetTask:
        """The dataset and its task. Raises RepoNotFound, GatedRepo, EntryNotFound, Invalid."""
        at = self._reading.repo_at(viewer, repo_id, revision)
        check(viewer, Action.DOWNLOAD, at.repo)
        try:
            file = self._reading.file(viewer, repo_id_of(at.repo), f"{at.commit.oid}/{TASK_FILE}")
        except EntryNotFound:
            raise EntryNotFound(
                f"{at.repo.repo_id} has no {TASK_FILE}, which says how its rows are asked",
                commit=at.commit.oid,
            ) from None
        if file.data is None:
            raise Invalid(f"{TASK_FILE} is stored as a large file")
        return DatasetTask(at, read_task(file.data))

    def items(
        self, viewer: Viewer, found: DatasetTask, folder: Path, seed: int, limit: int | None
    ) -> list[Item]:
        """The questions. Rows of strangers are parsed here: for a job's own process. Raises Invalid."""
        self._place(viewer, found, folder)
        return read_items(found.task, folder, seed, limit)

    def count(self, viewer: Viewer, found: DatasetTask, seed: int, limit: int | None) -> Count | None:
        """How much there would be to read; None where that takes too long to find out. Raises Invalid."""
        with tempfile.TemporaryDirectory(prefix="seedstock-rows-") as folder:
            self._place(viewer, found, Path(folder))
            return count_isolated(Order(found.task, folder, seed, limit))

    def _place(self, viewer: Viewer, found: DatasetTask, folder: Path) -> None:
        """Lay out the files of rows. Raises Invalid."""
        rows = [
            entry for entry in found.at.entries if not entry.is_tree and format_of(entry.path) is not None
        ]
        if sum(entry.size_bytes for entry in rows) > _MAX_ROWS_BYTES:
            raise Invalid(
                f"{found.at.repo.repo_id} holds more than 2 GiB of rows", hint="evaluate on a smaller one"
            )
        for entry in rows:
            file = self._reading.file(
                viewer, repo_id_of(found.at.repo), f"{found.at.commit.oid}/{entry.path}"
            )
            target = folder / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            if file.data is not None:
                target.write_bytes(file.data)
            elif entry.digest is not None:
                target.symlink_to(self._content.materialise(entry.digest).absolute())
