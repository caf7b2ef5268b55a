"""From what people write (`main`, `v1.0`, `refs/pr/3`, `a1b2c3d`) to a commit."""

from __future__ import annotations

import re

import msgspec
import sqlalchemy as sa

from seedstock.core.errors import RevisionNotFound
from seedstock.db import commits, refs
from seedstock.db.commits import CommitRow
from seedstock.db.repos import RepoRow

_MAX_REF_CHARS = 300  # check_ref_name allows fewer
_ABBREVIATED = re.compile(r"[0-9a-f]{7,40}\Z")
MAIN = "refs/heads/main"


class Revision(msgspec.Struct, frozen=True):
    """A resolved revision: the commit, and the branch or tag ref that led to it, if any."""

    oid: str
    ref: str | None


def resolve(connection: sa.Connection, repo: RepoRow, text: str) -> Revision:
    """The commit that a revision names; a branch wins over a tag of the same name. Raises RevisionNotFound."""
    if text in {"main", MAIN, "HEAD"}:
        return Revision(repo.head_oid, MAIN)
    found = _lookup(connection, repo.id, text)
    if found is None:
        raise RevisionNotFound(text)
    return found


def _lookup(connection: sa.Connection, repo_id: int, text: str) -> Revision | None:
    candidates = [text] if text.startswith("refs/") else [f"refs/heads/{text}", f"refs/tags/{text}"]
    present = refs.find_refs(connection, repo_id, candidates)
    for name in candidates:
        if name in present:
            return Revision(present[name], name)
    if not _ABBREVIATED.match(text):
        return None
    commit = (
        commits.find_commit(connection, repo_id, text)
        if len(text) == 40
        else commits.find_commit_by_prefix(connection, repo_id, text)
    )
    return Revision(commit.oid, None) if commit else None


def split(connection: sa.Connection, repo: RepoRow, rest: str) -> tuple[Revision, str]:
    """Divide `revision/path` where the revision may itself hold slashes.

    Git forbids branches `a` and `a/b` at once, so at most one prefix names a branch; the shortest that
    resolves is taken. Raises RevisionNotFound with the first segment.
    """
    segments = rest.split("/")
    start = 3 if segments[0] == "refs" else 1
    last = len(segments) if segments[0] == "refs" else min(len(segments), 6)
    for count in range(start, last + 1):
        text = "/".join(segments[:count])
        if len(text) > _MAX_REF_CHARS:
            break
        try:
            return resolve(connection, repo, text), "/".join(segments[count:])
        except RevisionNotFound:
            continue
    raise RevisionNotFound(segments[0])


def get_commit(connection: sa.Connection, repo_id: int, oid: str) -> CommitRow:
    """The columns of a commit that a ref points at. Raises RevisionNotFound."""
    commit = commits.find_commit(connection, repo_id, oid)
    if commit is None:
        raise RevisionNotFound(oid)
    return commit
