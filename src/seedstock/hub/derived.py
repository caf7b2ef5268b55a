"""Where a job publishes what it made from other repos: who may, how open it is, and what it may overwrite.

What is made is never more open than what it was made from, unless an admin of that source asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seedstock.accounts.permissions import Action, allowed
from seedstock.core.errors import Conflict, Forbidden, RepoNotFound
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.db.repos import RepoRow
from seedstock.hub.repos import Repos


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

    def take(
        self,
        viewer: Viewer,
        target_id: RepoId,
        sources: Sequence[RepoRow],
        state_dir: Path,
        *,
        private: bool | None,
        made: bool,
    ) -> RepoRow:
        """The repo to publish in; one that an earlier attempt of the same job made is taken up again.

        `made` says that it did not exist when the job was asked for. Raises Conflict, Forbidden.
        """
        target, private = self.claim(viewer, target_id, sources, state_dir, private=private, made=made)
        return target or self._repos.create(viewer, target_id, private=private)

    def claim(
        self,
        viewer: Viewer,
        target_id: RepoId,
        sources: Sequence[RepoRow],
        state_dir: Path,
        *,
        private: bool | None,
        made: bool,
    ) -> tuple[RepoRow | None, bool | None]:
        """`take` for a caller who creates a repo that is absent (None) himself, and whether it is private then."""
        target, mark = self.find(viewer, target_id), state_dir / "making"
        private = self.privacy(viewer, sources, target, private)
        if target is not None and made and not mark.exists():
            raise Conflict(f"{target_id} was made by somebody else meanwhile")
        if target is None:
            mark.touch()
        return target, private

    def privacy(
        self, viewer: Viewer, sources: Sequence[RepoRow], target: RepoRow | None, wanted: bool | None
    ) -> bool | None:
        """Whether a new target is private. Raises Forbidden where a source is more closed than what is asked for."""
        for source in sources:
            wanted = _privacy(viewer, source, target, wanted)
        return wanted


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
