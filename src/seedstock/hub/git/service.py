"""What git clients may read of a repo. Loads dulwich on first use: the server starts without it."""

from __future__ import annotations

from collections.abc import Iterable

from seedstock.accounts.permissions import Action
from seedstock.core.names import RepoId
from seedstock.core.viewer import Viewer
from seedstock.db import refs
from seedstock.db.engine import Database
from seedstock.hub.repos import Repos


class GitReader:
    """Clone and fetch for those who may read the repo."""

    def __init__(self, database: Database, register: Repos) -> None:
        self._database = database
        self._register = register

    def advertise(self, viewer: Viewer, repo_id: RepoId) -> bytes:
        """The refs, as `info/refs` shows them to a client that fetches. Raises RepoNotFound."""
        from seedstock.hub.git.upload_pack import advertisement

        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id, Action.DOWNLOAD)
            return advertisement(refs.list_refs(connection, repo.id))

    def upload_pack(self, viewer: Viewer, repo_id: RepoId, body: bytes) -> Iterable[bytes]:
        """The answer to one `git-upload-pack` request, in pieces. Raises RepoNotFound, Invalid, Integrity."""
        from seedstock.hub.git.upload_pack import upload_pack

        repo = self._register.get(viewer, repo_id, Action.DOWNLOAD)
        return upload_pack(self._database, repo, body)
