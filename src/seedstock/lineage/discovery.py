"""Finds models that may be related by their weights, whatever their cards say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from seedstock.db import lineage as rows
from seedstock.db import weights as weight_rows
from seedstock.db.engine import Database
from seedstock.lineage.findings import Finding
from seedstock.lineage.graph import POSITIVE
from seedstock.lineage.pairing import Subject
from seedstock.lineage.revisions import ModelRevision, ModelRevisions

if TYPE_CHECKING:
    from seedstock.weights.signature import Signature

_NEAR = 64
MAX_RELATIVES = 8
"""Comparisons of one analysis, beside those of declared bases."""


class SketchSearch(Protocol):
    """Finds weights by their signatures."""

    def near(self, signature: Signature, limit: int) -> list[tuple[str, float]]:
        """Digest of the weights and mean distance in bits of their layers, nearest first."""


class Candidate(msgspec.Struct, frozen=True):
    """A model to compare; a sibling is worth telling only if its weights are nearer than the parent's."""

    revision: ModelRevision
    is_sibling: bool


class Discovery:
    """Candidates for comparison."""

    def __init__(self, database: Database, revisions: ModelRevisions, search: SketchSearch) -> None:
        self._database = database
        self._revisions = revisions
        self._search = search

    def relatives(self, subject: Subject, known: Sequence[Finding]) -> Iterator[Candidate]:
        """Models with like weights that are not known yet, nearest first.

        All fine-tunes of one base are alike. Where a model's parent is verified, the parent's other children are
        marked as siblings, and those that are no nearer than the parent are left out.
        """
        near = self._near_repos(subject)
        own = subject.revision.repo.id
        skip = {own, *(finding.other.repo.id for finding in known if finding.other)}
        parents = {f.other.repo.id for f in known if f.other and f.is_positive}
        parent_distance = min((near[repo_id] for repo_id in parents if repo_id in near), default=None)
        with self._database.read() as connection:
            skip |= {edge.repo_id for edge in rows.edges_to(connection, own) if _says_all(edge)}
            siblings = {edge.repo_id for repo_id in parents for edge in rows.edges_to(connection, repo_id)}
        siblings |= self.parents_of(list(parents))
        wanted = [
            repo_id
            for repo_id, distance in near.items()
            if repo_id not in skip
            and not (repo_id in siblings and parent_distance is not None and distance > parent_distance)
        ]
        for repo_id in wanted[:MAX_RELATIVES]:
            revision = self._revisions.find(repo_id)
            if revision is not None:
                yield Candidate(revision, repo_id in siblings)

    def parents_of(self, repo_ids: Sequence[int]) -> set[int]:
        """Those that the weights show to be parents of any of these."""
        with self._database.read() as connection:
            edges = rows.parent_edges(connection, repo_ids)
        return {
            edge.other_repo_id
            for edge in edges
            if edge.role == "parent" and edge.verdict in POSITIVE and edge.other_repo_id
        }

    def _near_repos(self, subject: Subject) -> dict[int, float]:
        """Repo to distance, nearest first."""
        distances: dict[str, float] = {}
        for signed in subject.sets:
            distances[signed.digest] = 0
            if signed.signature is None or signed.problem is not None or not signed.signature.sketches:
                continue
            for digest, distance in self._search.near(signed.signature, _NEAR):
                distances[digest] = min(distance, distances.get(digest, distance))
        with self._database.read() as connection:
            holders = weight_rows.holders_at_head(connection, list(distances))
        found: dict[int, float] = {}
        for holder in holders:
            distance = distances[holder.digest]
            found[holder.repo_id] = min(distance, found.get(holder.repo_id, distance))
        return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def _says_all(edge: rows.EdgeRow) -> bool:
    """Whether the other's own analysis has named this model as its parent: nothing is left to find."""
    return edge.role == "parent" and edge.verdict is not None
