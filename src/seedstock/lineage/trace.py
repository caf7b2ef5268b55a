"""Search by weights: which models of this hub is a file, or a repo, related to?

A file is read where it lies and never kept. The answer names only what the viewer may see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seedstock.accounts.permissions import Action, allowed, check
from seedstock.core.errors import HubError, Invalid, Unavailable
from seedstock.core.names import RepoId
from seedstock.core.viewer import Viewer
from seedstock.db import weights as rows
from seedstock.db.engine import Database
from seedstock.hub.reading import Reading
from seedstock.lineage.discovery import SketchSearch
from seedstock.lineage.findings import certain_direction
from seedstock.lineage.reading import SignedSet, WeightReader
from seedstock.lineage.revisions import ModelRevision, ModelRevisions
from seedstock.lineage.weight_sets import SetKind, group_weights
from seedstock.metadata.source import LocalFile

if TYPE_CHECKING:
    from seedstock.weights.checkpoint import Checkpoint
    from seedstock.weights.signature import Signature

MAX_TRACED_BYTES = 1 << 37
MAX_COMPARED = 10
_NEAR = 200


class Related(msgspec.Struct, frozen=True):
    """A model that is related, with the comparison in plain values."""

    repo: str
    commit: str
    verdict: str
    kind: str | None
    direction: str | None
    """What the traced weights are to it: `child`, `parent` or None where that is not known."""
    coefficient: float | None
    distance_bits: float
    reason: str
    statistics: dict[str, Any]


class Trace(msgspec.Struct, frozen=True):
    """What was found; `problem` says why weights could not be searched by."""

    related: tuple[Related, ...]
    compared: int
    problem: str | None = None


class Tracer:
    """Traces weights for viewers. Servers run it in processes of its own (`isolated.py`)."""

    def __init__(
        self,
        database: Database,
        reading: Reading,
        revisions: ModelRevisions,
        reader: WeightReader,
        search: SketchSearch,
    ) -> None:
        self._database = database
        self._reading = reading
        self._revisions = revisions
        self._reader = reader
        self._search = search

    def trace_repo(self, viewer: Viewer, repo_id: RepoId, revision: str = "main") -> Trace:
        """Models related to a repo's weights. Raises RepoNotFound, RevisionNotFound, GatedRepo, Invalid."""
        at = self._reading.repo_at(viewer, repo_id, revision)
        check(viewer, Action.DOWNLOAD, at.repo)
        found = self._revisions.find(at.repo.id, at.commit.oid)
        groups = group_weights(found.entries) if found else []
        if found is None or not groups:
            raise Invalid(f"{repo_id} holds no weights", hint="trace a repo with safetensors or GGUF files")
        signed = self._reader.sign(found, groups[0])
        with closing(self._reader.open(found, groups[0])) as checkpoint:
            return self._trace(viewer, checkpoint, signed.signature, signed.digest, at.repo.id)

    def trace_files(self, viewer: Viewer, files: Mapping[str, Path], digest: str | None = None) -> Trace:
        """Models related to a model in local files. Raises UnsupportedFormat.

        `digest` is the SHA-256 of a single file where it is known.
        """
        from seedstock.weights.checkpoint import open_checkpoint
        from seedstock.weights.signature import sign

        with closing(open_checkpoint({name: LocalFile(path) for name, path in files.items()})) as opened:
            return self._trace(viewer, opened, sign(opened), _set_digest(digest), None)

    def _trace(
        self,
        viewer: Viewer,
        checkpoint: Checkpoint,
        signature: Signature | None,
        digest: str | None,
        own_repo: int | None,
    ) -> Trace:
        distances: dict[str, float] = {} if digest is None else {digest: 0.0}
        problem = signature.problem if signature is not None else "the weights cannot be read"
        if signature is not None and signature.problem is None and signature.sketches:
            for key, distance in self._search.near(signature, _NEAR):
                distances.setdefault(key, distance)
        related, compared = [], 0
        for other, distance in self._candidates(viewer, distances, own_repo):
            compared += 1
            try:
                found = self._compare(checkpoint, signature, other)
            except Unavailable:
                raise
            except HubError:
                continue  # what is wrong with one model of the hub is no answer about another
            if found["verdict"] in {"identical", "derived", "partial"}:
                related.append(_related(other, distance, found))
        related.sort(key=lambda item: (_ORDER.index(item.verdict), item.distance_bits, item.repo))
        return Trace(tuple(related), compared, problem)

    def _candidates(
        self, viewer: Viewer, distances: Mapping[str, float], own_repo: int | None
    ) -> Iterator[tuple[ModelRevision, float]]:
        with self._database.read() as connection:
            holders = rows.holders_at_head(connection, list(distances))
        nearest: dict[int, float] = {}
        for holder in holders:
            nearest[holder.repo_id] = min(distances[holder.digest], nearest.get(holder.repo_id, 1e9))
        nearest.pop(own_repo or 0, None)
        given = 0
        for repo_id, distance in sorted(nearest.items(), key=lambda item: (item[1], item[0])):
            revision = self._revisions.find(repo_id)
            if revision is None or not allowed(viewer, Action.READ, revision.repo):
                continue
            yield revision, distance
            given += 1
            if given >= MAX_COMPARED:
                return

    def _compare(
        self, checkpoint: Checkpoint, signature: Signature | None, other: ModelRevision
    ) -> dict[str, Any]:
        from seedstock.weights.compare import compare

        groups = group_weights(other.entries)
        if not groups:  # it has a new head
            return {"verdict": "inconclusive"}
        signed: SignedSet = self._reader.sign(other, groups[0])
        if signed.held.kind is SetKind.ADAPTER or signed.signature is None:
            return {"verdict": "inconclusive"}
        with closing(self._reader.open(other, groups[0])) as opened:
            plain: dict[str, Any] = msgspec.to_builtins(
                compare(checkpoint, opened, a_signature=signature, b_signature=signed.signature)
            )
            return plain


_ORDER = ("identical", "derived", "partial")


def _related(other: ModelRevision, distance: float, found: dict[str, Any]) -> Related:
    return Related(
        repo=other.name,
        commit=other.commit_oid,
        verdict=found["verdict"],
        kind=found["kind"],
        direction={"a_from_b": "child", "b_from_a": "parent"}.get(certain_direction(found) or ""),
        coefficient=found["coefficient"],
        distance_bits=distance,
        reason=found["reason"],
        statistics=found["statistics"],
    )


def _set_digest(file_digest: str | None) -> str | None:
    """Identity of weights that are one file."""
    import hashlib

    return None if file_digest is None else hashlib.sha256(file_digest.encode()).hexdigest()
