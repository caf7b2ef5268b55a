"""Reads what a commit says about itself and files it: the work of the job `index_revision`."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from seedstock.content.service import Content
from seedstock.core.clock import Clock
from seedstock.core.names import RepoType
from seedstock.db import files, git, repos
from seedstock.db import metadata as rows
from seedstock.db.engine import Database
from seedstock.db.repos import RepoRow
from seedstock.hub.metadata import VERSION, RevisionFiles
from seedstock.hub.models import pick_gguf
from seedstock.hub.trees import Entry, TreeCache, Trees
from seedstock.metadata.summary import RepoMetadata, summarise


class Indexer:
    """Files the metadata of commits, and of repos by the head of main."""

    def __init__(self, database: Database, content: Content, cache: TreeCache, clock: Clock) -> None:
        self._database = database
        self._content = content
        self._cache = cache
        self._clock = clock

    def index(self, repo_id: int, commit_oid: str) -> RepoMetadata | None:
        """Read a commit's card, configs and weight headers; None when the repo is gone by now.

        Raises only Unavailable: a damaged or malformed file becomes a problem in the record.
        """
        with self._database.read() as connection:
            repo = repos.find_repo_by_id(connection, repo_id)
            commit = git.find_commit(connection, repo_id, commit_oid)
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
            if repos.lock_ref(connection, repo_id, "refs/heads/main") == commit_oid:
                self._file_head(connection, repo, record, entries)
        return record

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
            runnable=repo.type == RepoType.MODEL and pick_gguf(entries, None) is not None,
            used_storage_bytes=files.stored_bytes(connection, repo.id),
        )


def _short(text: str | None) -> str | None:
    return text.replace("\0", "")[:96] or None if text else None  # PostgreSQL keeps no NUL


def _parameters(record: RepoMetadata) -> int | None:
    if record.safetensors is not None:
        return record.safetensors.total
    return record.gguf.total if record.gguf is not None else None
