"""Files that a browser sends one by one, before the form that commits them.

What was received is named by a signed reference: only the same person can commit it, to the same repo.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import msgspec

from seedstock.accounts.permissions import Action
from seedstock.accounts.secrets import Signer
from seedstock.content.service import Content
from seedstock.core.digests import Oid
from seedstock.core.errors import BadUpload, Forbidden
from seedstock.core.names import RepoId, check_file_path
from seedstock.core.viewer import Viewer
from seedstock.db.engine import Database
from seedstock.db.repos import RepoRow
from seedstock.hub import revisions
from seedstock.hub.operations import Operation, Put, PutLarge
from seedstock.hub.repos import Repos, repo_id_of
from seedstock.hub.writing import Candidate, Writing
from seedstock.store.staging import StagedFile

_SAMPLE_BYTES = 512


class Received(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file that waits for its commit: `digest` of a large one, `oid` of a small one."""

    path: str
    size_bytes: int
    digest: str | None = None
    oid: str | None = None

    def operation(self) -> Operation:
        """What places it in a commit."""
        if self.digest is not None:
            return PutLarge(self.path, self.digest, self.size_bytes)
        return Put(self.path, Oid(self.oid or ""))


class Target(msgspec.Struct, frozen=True):
    """The branch that an upload goes to, and what followed it in the address."""

    repo: RepoRow
    ref: str
    path: str

    @property
    def branch(self) -> str:
        """The short name of the branch."""
        return self.ref.removeprefix("refs/heads/")


class Uploads:
    """Takes files in and signs for them."""

    def __init__(
        self, database: Database, register: Repos, writing: Writing, content: Content, signer: Signer
    ) -> None:
        self._database = database
        self._register = register
        self._writing = writing
        self._content = content
        self._signer = signer

    def target(self, viewer: Viewer, repo_id: RepoId, rest: str) -> Target:
        """The branch that `branch[/path]` names, if the viewer may commit to it.

        Raises RepoNotFound, RevisionNotFound, Unauthenticated, Forbidden.
        """
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id, Action.WRITE)
            at, path = revisions.split(connection, repo, rest.strip("/"))
        if at.ref is None or not at.ref.startswith("refs/heads/"):
            raise Forbidden("Files are committed to branches, and this is not one")
        return Target(repo, at.ref, path)

    def take(self, viewer: Viewer, target: Target, path: str, staged: StagedFile) -> Received:
        """Make a received file durable, as a large or a small one. Raises BadPath."""
        check_file_path(path)
        with staged.path.open("rb") as file:
            sample = file.read(_SAMPLE_BYTES)
        candidate = Candidate(path, staged.size_bytes, sample)
        plan = self._writing.plan(viewer, repo_id_of(target.repo), target.branch, [candidate])[0]
        if plan.large:
            size_bytes = staged.size_bytes
            return Received(path, size_bytes, digest=self._content.add_received(target.repo.id, staged))
        content = staged.path.read_bytes()
        return Received(path, len(content), oid=self._writing.store_blobs(target.repo, [content])[0])

    def sign(self, viewer: Viewer, repo: RepoRow, received: Received) -> str:
        """A reference to hand to the browser."""
        payload = base64.urlsafe_b64encode(msgspec.json.encode(received)).decode()
        return f"{payload}.{self._signer.sign('staged', _message(viewer, repo, payload))}"

    def read_signed(self, viewer: Viewer, repo: RepoRow, references: Sequence[str]) -> list[Received]:
        """What the references name. Raises BadUpload for one that is not ours for this viewer and repo."""
        return [self._read(viewer, repo, reference) for reference in references]

    def _read(self, viewer: Viewer, repo: RepoRow, reference: str) -> Received:
        payload, _, tag = reference.rpartition(".")
        if not self._signer.verify("staged", _message(viewer, repo, payload), tag):
            raise BadUpload("A file of this form was not received here", hint="send it again")
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(payload), type=Received)
        except (binascii.Error, msgspec.MsgspecError) as error:
            raise BadUpload(f"Malformed reference to a received file: {error}") from None


def _message(viewer: Viewer, repo: RepoRow, payload: str) -> str:
    return f"{viewer.account_id}:{repo.id}:{payload}"
