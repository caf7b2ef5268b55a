"""Every table.

Times are UTC milliseconds since 1970 (BigInteger). Oids and digests are lower-case hex. Names that are
looked up without regard to case have a `_key` column holding the lower-case form.
"""

from __future__ import annotations

from seedstock.db.tables.accounts import accounts, audit, memberships, sessions, tokens
from seedstock.db.tables.answers import (
    allowances,
    battle_answers,
    battles,
    chat_messages,
    chat_shares,
    chats,
    contestants,
    remote_accounts,
    remotes,
    usage_days,
)
from seedstock.db.tables.base import metadata
from seedstock.db.tables.files import (
    files,
    multipart_uploads,
    objects,
    repo_files,
    xet_chunks,
    xet_files,
    xorb_scopes,
    xorbs,
)
from seedstock.db.tables.git import commit_changes, commit_parents, commits, git_objects
from seedstock.db.tables.jobs import evaluations, job_logs, jobs, replications
from seedstock.db.tables.repos import download_days, likes, refs, repo_redirects, repo_tags, repos
from seedstock.db.tables.weights import (
    comparisons,
    lineage_edges,
    model_signatures,
    publishers,
    repo_weights,
    revision_lineage,
    revision_metadata,
    weight_sets,
)

__all__ = [
    "accounts",
    "allowances",
    "audit",
    "battle_answers",
    "battles",
    "chat_messages",
    "chat_shares",
    "chats",
    "commit_changes",
    "commit_parents",
    "commits",
    "comparisons",
    "contestants",
    "download_days",
    "evaluations",
    "files",
    "git_objects",
    "job_logs",
    "jobs",
    "likes",
    "lineage_edges",
    "memberships",
    "metadata",
    "model_signatures",
    "multipart_uploads",
    "objects",
    "publishers",
    "refs",
    "remote_accounts",
    "remotes",
    "replications",
    "repo_files",
    "repo_redirects",
    "repo_tags",
    "repo_weights",
    "repos",
    "revision_lineage",
    "revision_metadata",
    "sessions",
    "tokens",
    "usage_days",
    "weight_sets",
    "xet_chunks",
    "xet_files",
    "xorb_scopes",
    "xorbs",
]
