"""Conversions that a user asks for: what would be made, the job that makes it, and where it is published.

A repo comes into being only once its file is whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from seedstock.accounts.permissions import Action
from seedstock.accounts.service import Accounts
from seedstock.content.service import Content
from seedstock.convert.files import file_name
from seedstock.core.errors import (
    Conflict,
    Invalid,
    RepoNotFound,
    Unauthenticated,
    Unavailable,
)
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.db.repos import RepoRow
from seedstock.hub.commits import CommitMessage
from seedstock.hub.conversion_source import Source, open_source
from seedstock.hub.derived import DerivedRepos, target_id_of
from seedstock.hub.operations import Operation, Put, PutLarge
from seedstock.hub.reading import Reading
from seedstock.hub.repos import Repos, repo_id_of
from seedstock.hub.writing import Writing
from seedstock.jobs.kinds import JobContext
from seedstock.jobs.service import Jobs

CONVERT_MODEL = "convert_model"
_SPARE_BYTES = 64 << 20


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
    ) -> None:
        self._accounts = accounts
        self._repos = repos
        self._reading = reading
        self._writing = writing
        self._content = content
        self._jobs = jobs
        self._derived = DerivedRepos(repos)

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
        """Queue a conversion; its number. Raises as `propose` and `Jobs.enqueue` do, and Conflict if the file is there."""
        proposal = self.propose(viewer, repo_id, request)
        target_id = RepoId(RepoType.MODEL, *proposal.target.split("/"))
        if proposal.exists:
            held = self._reading.repo_at(viewer, target_id)
            if any(entry.path == proposal.path for entry in held.entries):
                raise Conflict(f"{proposal.target} holds {proposal.path} already", hint="delete it first")
        repo = self._repos.get(viewer, repo_id, Action.DOWNLOAD)
        spec = {
            "account": viewer.name,
            "repo_id": repo.id,
            "commit": proposal.commit,
            "file": proposal.files[0],
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
        """The job: make the file, then publish it with its card in one commit. Every right is checked anew.

        None when it was told to stop. Started again, it makes the same bytes and the same card.
        """
        viewer = self._accounts.viewer_for_job(spec["account"])
        repo = self._repos.by_id(viewer, [spec["repo_id"]]).get(spec["repo_id"])
        if repo is None:
            raise RepoNotFound
        self._repos.get(viewer, repo_id_of(repo), Action.DOWNLOAD)
        source = open_source(
            self._reading, self._content, viewer, repo, spec["commit"], spec["file"], spec["to"]
        )
        try:
            return self._make(context, spec, viewer, source)
        finally:
            source.checkpoint.close()

    def _make(
        self, context: JobContext, spec: dict[str, Any], viewer: Viewer, source: Source
    ) -> dict[str, Any] | None:
        from seedstock.convert.card import write_card
        from seedstock.convert.plan import write

        needed, free = source.plan.data_bytes + _SPARE_BYTES, self._content.staging.free_bytes()
        if free < needed:
            raise Unavailable(
                f"The result needs {needed / 1e6:,.0f} MB; {free / 1e6:,.0f} MB of the hub's disk are free"
            )
        waiting = context.state_dir / "staged"
        if waiting.exists():  # of an attempt that was killed: as large as the model
            Path(waiting.read_text()).unlink(missing_ok=True)
        with self._content.staging.open() as staged:
            waiting.write_text(str(staged.path))
            if not write(source.plan, source.checkpoint, staged.write, context.progress, context.cancelled):
                return None
            staged.finish()
            size_bytes, sha256 = staged.size_bytes, staged.sha256
            target = self._derived.take(
                viewer,
                target_id_of(viewer, spec["target"]),
                [source.at.repo],
                context.state_dir,
                private=spec["private"],
                made=spec["made"],
            )
            self._content.add_whole(target.id, sha256, size_bytes, staged)
        card = write_card(source.origin, source.at.metadata.card_data, source.plan, spec["path"], sha256)
        commit = self._commit(viewer, target, spec, PutLarge(spec["path"], sha256, size_bytes), card, source)
        return {
            "repo": target.repo_id,
            "path": spec["path"],
            "commit": commit,
            "size": size_bytes,
            "sha256": sha256,
        }

    def _commit(
        self, viewer: Viewer, target: RepoRow, spec: dict[str, Any], put: Operation, card: str, source: Source
    ) -> str:
        row, ref = self._writing.begin(viewer, repo_id_of(target), "main")
        operations = [put]
        held = {entry.path for entry in self._reading.repo_at(viewer, repo_id_of(target)).entries}
        if "README.md" not in held:
            operations.append(Put("README.md", self._writing.store_blobs(row, [card.encode()])[0]))
        origin = source.origin
        files = "\n".join(f"{digest}  {path}" for path, digest in sorted(origin.files.items()))
        message = CommitMessage(
            f"Add {spec['path']}", f"Made from {origin.repo} at commit {origin.commit}:\n{files}"
        )
        return self._writing.commit(viewer, row, ref, message, operations).oid


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
        file_name(source.at.repo.name, plan.target.name),
        len(header_bytes(plan)) + plan.data_bytes,
        plan.types,
        (*plan.notes, *fallback_note(plan)),
        private,
        exists,
    )
