"""Conversions that a user asks for: what would be made, from whose files, and the job that makes it (`converting`)."""

from __future__ import annotations

from typing import Any

import msgspec

from seedstock.accounts.permissions import Action
from seedstock.accounts.service import Accounts
from seedstock.content.service import Content
from seedstock.convert.files import file_name
from seedstock.core.errors import Conflict, Invalid, RepoNotFound, Unauthenticated
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.hub.conversion_source import Source, open_source
from seedstock.hub.converting import Converting, Provenance
from seedstock.hub.derived import DerivedRepos, target_id_of
from seedstock.hub.reading import Reading
from seedstock.hub.repos import Repos, repo_id_of
from seedstock.hub.writing import Writing
from seedstock.jobs.kinds import JobContext
from seedstock.jobs.service import Jobs

CONVERT_MODEL = "convert_model"


class Request(msgspec.Struct, frozen=True):
    """What is asked for; `repo` names the target, by default `<viewer>/<source>-GGUF`."""

    to: str
    file: str | None = None
    repo: str | None = None
    private: bool | None = None
    revision: str = "main"
    priority: str = "normal"


class Proposal(msgspec.Struct, frozen=True):
    """What would be made."""

    source: str
    commit: str
    files: tuple[str, ...]
    target: str
    path: str
    size_bytes: int
    types: dict[str, int]
    notes: tuple[str, ...]
    private: bool | None
    """Of a new repo; None leaves it to the namespace."""
    exists: bool


class Conversions:
    """Proposes, starts and runs conversions."""

    def __init__(
        self,
        accounts: Accounts,
        repos: Repos,
        reading: Reading,
        writing: Writing,
        content: Content,
        jobs: Jobs,
        provenance: Provenance,
    ) -> None:
        self._accounts = accounts
        self._repos = repos
        self._reading = reading
        self._content = content
        self._jobs = jobs
        self._derived = DerivedRepos(repos)
        self._converting = Converting(self._derived, reading, writing, content, provenance)

    def propose(self, viewer: Viewer, repo_id: RepoId, request: Request) -> Proposal:
        """Say what a conversion would make, from headers alone.

        Raises Unauthenticated, RepoNotFound, GatedRepo, Forbidden, UnsupportedFormat.
        """
        if viewer.anonymous:
            raise Unauthenticated("Sign in or send a token to convert a model")
        if repo_id.type is not RepoType.MODEL:
            raise Invalid("Only models are converted")
        repo = self._repos.get(viewer, repo_id, Action.DOWNLOAD)
        target_id = target_id_of(viewer, request.repo or f"{repo.name.removesuffix('-GGUF')}-GGUF")
        target = self._derived.find(viewer, target_id)
        private = self._derived.privacy(viewer, [repo], target, request.private)
        source = open_source(
            self._reading, self._content, viewer, repo, request.revision, request.file, request.to
        )
        source.checkpoint.close()
        return _proposal(source, target_id, private, exists=target is not None)

    def start(self, viewer: Viewer, repo_id: RepoId, request: Request) -> tuple[int, Proposal]:
        """Queue a conversion; its number. Raises as `propose` and `Jobs.enqueue` do, Conflict if the file is there.

        And Invalid if the target holds a recipe that is wrong: it could not grow by what is made.
        """
        proposal = self.propose(viewer, repo_id, request)
        target_id = RepoId(RepoType.MODEL, *proposal.target.split("/"))
        if proposal.exists:
            held = self._reading.repo_at(viewer, target_id)
            if any(entry.path == proposal.path for entry in held.entries):
                raise Conflict(f"{proposal.target} holds {proposal.path} already", hint="delete it first")
            self._converting.check(viewer, held)
        repo = self._repos.get(viewer, repo_id, Action.DOWNLOAD)
        spec = {
            "account": viewer.name,
            "repo_id": repo.id,
            "commit": proposal.commit,
            "file": proposal.files[0],
            "name": repo.name,
            "to": request.to,
            "target": proposal.target,
            "path": proposal.path,
            "private": proposal.private,
            "made": not proposal.exists,
        }
        key = f"convert:{viewer.account_id}:{repo.id}:{proposal.target}:{proposal.path}"
        number = self._jobs.enqueue(
            viewer,
            CONVERT_MODEL,
            spec,
            priority=request.priority,
            dedup_key=key,
            repo_id=repo.id,
            max_attempts=3,
        )
        return number, proposal

    def run(self, context: JobContext, spec: dict[str, Any]) -> dict[str, Any] | None:
        """The job: make the file, then publish it with all that says how in one commit. Every right is checked anew.

        None when it was told to stop. Started again, it makes the same bytes and the same texts.
        """
        viewer = self._accounts.viewer_for_job(spec["account"])
        repo = self._repos.by_id(viewer, [spec["repo_id"]]).get(spec["repo_id"])
        if repo is None:
            raise RepoNotFound
        self._repos.get(viewer, repo_id_of(repo), Action.DOWNLOAD)
        source = open_source(
            self._reading,
            self._content,
            viewer,
            repo,
            spec["commit"],
            spec["file"],
            spec["to"],
            spec.get("name"),
        )
        try:
            return self._converting.make(context, spec, viewer, source)
        finally:
            source.checkpoint.close()


def check_type(name: str) -> None:
    """Raise UnsupportedFormat unless GGUF files of that type are made here."""
    from seedstock.convert.mixtures import find_target

    find_target(name)


def _proposal(source: Source, target: RepoId, private: bool | None, *, exists: bool) -> Proposal:
    from seedstock.convert.card import fallback_note
    from seedstock.convert.plan import header_bytes

    plan = source.plan
    weights = tuple(path for path in source.origin.files if path.lower().endswith((".gguf", ".safetensors")))
    return Proposal(
        source.origin.repo,
        source.origin.commit,
        weights,
        f"{target.namespace}/{target.name}",
        file_name(source.name, plan.target.name),
        len(header_bytes(plan)) + plan.data_bytes,
        plan.types,
        (*plan.notes, *fallback_note(plan)),
        private,
        exists,
    )
