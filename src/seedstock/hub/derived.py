"""Where a job publishes what it made from other repos: who may, how open it is, and what it may overwrite.

What is made is never more open than what it was made from, unless an admin of that source asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from seedstock.accounts.permissions import Action, allowed
from seedstock.content.service import Content
from seedstock.core.errors import Conflict, Forbidden, RepoNotFound
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.db.repos import RepoRow
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Operation, Put, PutLarge
from seedstock.hub.repos import Repos, repo_id_of
from seedstock.hub.writing import Writing


class Place(msgspec.Struct, frozen=True):
    """Where a job publishes."""

    id: RepoId
    repo: RepoRow | None
    """None: it does not exist yet."""
    private: bool | None
    """Of a new one; None leaves it to the namespace."""


class DerivedRepos:
    """Targets of jobs that publish."""

    def __init__(self, repos: Repos) -> None:
        self._repos = repos

    def find(self, viewer: Viewer, target_id: RepoId) -> RepoRow | None:
        """The target if it exists and may be written to; None if it may be made. Raises Forbidden."""
        try:
            return self._repos.get(viewer, target_id, Action.WRITE)
        except RepoNotFound:
            self._repos.check_new(viewer, target_id)
            return None

    def claim(
        self,
        viewer: Viewer,
        target_id: RepoId,
        sources: Sequence[RepoRow],
        state_dir: Path,
        *,
        private: bool | None,
        made: bool,
    ) -> Place:
        """Where to publish; a repo that an earlier attempt of the same job made is taken up again.

        `made` says that it did not exist when the job was asked for. Raises Conflict, Forbidden.
        """
        target, mark = self.find(viewer, target_id), state_dir / "making"
        private = self.privacy(viewer, sources, target, private)
        if target is not None and made and not mark.exists():
            raise Conflict(f"{target_id} was made by somebody else meanwhile")
        if target is None:
            mark.touch()
        return Place(target_id, target, private)

    def privacy(
        self, viewer: Viewer, sources: Sequence[RepoRow], target: RepoRow | None, wanted: bool | None
    ) -> bool | None:
        """Whether a new target is private. Raises Forbidden where a source is more closed than what is asked for."""
        for source in sources:
            wanted = _privacy(viewer, source, target, wanted)
        return wanted


class Committer:
    """Commits files that are in the store already, and small ones beside them."""

    def __init__(self, writing: Writing, content: Content) -> None:
        self._writing = writing
        self._content = content

    def commit(
        self,
        viewer: Viewer,
        place: Place,
        message: CommitMessage,
        small: Mapping[str, bytes],
        large: Sequence[PutLarge],
        parent: str | None = None,
    ) -> tuple[RepoRow, str]:
        """One commit that names them all; the repo and the commit. Files of a repo that are not named stay.

        A repo that does not exist appears with the commit: whatever ends this before leaves files in the store that
        nobody sees. Raises RefMoved where `parent` is given and no longer the head.
        """
        if place.repo is None:
            repo, commit = self._writing.create_with(
                viewer, place.id, message, small, large, private=place.private
            )
            return repo, commit.oid
        repo, ref = self._writing.begin(viewer, repo_id_of(place.repo), "main")
        self._content.allow_in_repo(repo.id, [put.digest for put in large])
        oids = self._writing.store_blobs(repo, list(small.values()))
        puts: list[Operation] = [Put(name, oid) for name, oid in zip(small, oids, strict=True)]
        return repo, self._writing.commit(viewer, repo, ref, message, [*large, *puts], parent).oid


def target_id_of(viewer: Viewer, wanted: str) -> RepoId:
    """A model repo as named: `namespace/name`, or a bare name of the viewer's own."""
    namespace, slash, rest = wanted.partition("/")
    return RepoId(RepoType.MODEL, namespace, rest) if slash else RepoId(RepoType.MODEL, viewer.name, wanted)


def _privacy(viewer: Viewer, source: RepoRow, target: RepoRow | None, wanted: bool | None) -> bool | None:
    if not (source.private or source.gated):
        return wanted
    if wanted is False and allowed(viewer, Action.ADMIN, source):
        return False
    shut = target is None or target.private or target.id == source.id
    if wanted is False or not (shut or (target and target.gated and not source.private)):
        what = "private" if source.private else "gated"
        raise Forbidden(
            f"{source.repo_id} is {what}: what is made from it is published privately",
            hint="ask an admin of the source, who may say otherwise",
        )
    return True
