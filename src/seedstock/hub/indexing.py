"""Reads what a commit says about itself and files it: the work of the job `index_revision`."""

from __future__ import annotations

import re

import msgspec
import sqlalchemy as sa

from seedstock.content.service import Content
from seedstock.core.clock import Clock
from seedstock.core.names import RepoType
from seedstock.db import commits, files, lineage, lineage_status, refs, repos
from seedstock.db import metadata as rows
from seedstock.db.engine import Database
from seedstock.db.repos import RepoRow
from seedstock.hub.index_queue import enqueue_analysis, enqueue_grade, enqueue_signature
from seedstock.hub.metadata import VERSION, RevisionFiles
from seedstock.hub.runnable import WHOLE, kind_of
from seedstock.hub.trees import Entry, TreeCache, Trees
from seedstock.jobs.queue import Queue
from seedstock.metadata.summary import RepoMetadata, summarise

_ANALYSED = re.compile(
    r"\.(safetensors|gguf)\Z|(\A|/)(adapter_config\.json|mergekit_config\.ya?ml)\Z", re.IGNORECASE
)


class Indexer:
    """Files the metadata of commits, and of repos by the head of main."""

    def __init__(
        self, database: Database, content: Content, queue: Queue, cache: TreeCache, clock: Clock
    ) -> None:
        self._database = database
        self._content = content
        self._queue = queue
        self._cache = cache
        self._clock = clock

    def index(self, repo_id: int, commit_oid: str) -> RepoMetadata | None:
        """Read a commit's card, configs and weight headers; None when the repo is gone by now.

        Raises only Unavailable: a damaged or malformed file becomes a problem in the record.
        """
        with self._database.read() as connection:
            repo = repos.find_repo_by_id(connection, repo_id)
            commit = commits.find_commit(connection, repo_id, commit_oid)
            if repo is None or commit is None:
                return None
            trees = Trees(connection, repo_id, self._cache)
            entries = trees.listing(commit.tree_oid, "", recursive=True)
            opened = RevisionFiles(connection, repo_id, entries, self._content)
            record = summarise(opened.listing(), opened.open, repo_type=RepoType(repo.type))
        summary = msgspec.to_builtins(record)
        with self._database.write() as connection:
            if repos.find_repo_by_id(connection, repo_id) is None:
                return None
            rows.put_metadata(connection, repo_id, commit_oid, VERSION, summary, self._clock())
            if refs.lock_ref(connection, repo_id, "refs/heads/main") == commit_oid:
                self._file_head(connection, repo, record, entries)
            if repo.type == RepoType.MODEL:
                self._ask_lineage(connection, repo_id, commit_oid, record, entries)
                if any(entry.path == "model.sig" for entry in entries):
                    enqueue_signature(self._queue, connection, repo_id, commit_oid)
        return record

    def _ask_lineage(
        self,
        connection: sa.Connection,
        repo_id: int,
        commit_oid: str,
        record: RepoMetadata,
        entries: list[Entry],
    ) -> None:
        """Queue the analysis of what holds weights or names a base; of all else it is over already."""
        if record.base_models or any(_ANALYSED.search(entry.path) for entry in entries):
            enqueue_analysis(self._queue, connection, repo_id, commit_oid, self._clock())
            return
        lineage_status.put_status(connection, repo_id, commit_oid, "done", self._clock())
        lineage.count_children(connection, lineage.parents_of(connection, repo_id))  # of the weights before
        enqueue_grade(self._queue, connection, repo_id)

    def _file_head(
        self, connection: sa.Connection, repo: RepoRow, record: RepoMetadata, entries: list[Entry]
    ) -> None:
        """Set the columns and tags that lists filter and sort by."""
        repos.replace_tags(connection, repo.id, [tag for tag in record.tags if "\0" not in tag])
        repos.update_repo(
            connection,
            repo.id,
            pipeline_tag=_short(record.pipeline_tag),
            library_name=_short(record.library_name),
            license=_short(record.licenses[0] if record.licenses else None),
            parameters=_parameters(record),
            runnable=repo.type == RepoType.MODEL and kind_of(entries, record) in WHOLE,
            used_storage_bytes=files.stored_bytes(connection, repo.id),
        )


def _short(text: str | None) -> str | None:
    return text.replace("\0", "")[:96] or None if text else None  # PostgreSQL keeps no NUL


def _parameters(record: RepoMetadata) -> int | None:
    if record.safetensors is not None:
        return record.safetensors.total
    return record.gguf.total if record.gguf is not None else None
