"""What a viewer may know of a model's family.

Invariant: a repo that the viewer may not read is named nowhere, by neither its name, its commits nor what weights show
of it; where a card names one it stays the text that the card holds.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.core.errors import EntryNotFound
from seedstock.core.names import RepoId
from seedstock.core.viewer import Viewer
from seedstock.db import jobs, lineage_status, publishers
from seedstock.db import lineage as rows
from seedstock.db.engine import Database
from seedstock.db.lineage import EdgeRow
from seedstock.db.publishers import PublisherRow
from seedstock.db.repos import RepoRow
from seedstock.hub import revisions
from seedstock.hub.index_queue import ANALYSE_LINEAGE
from seedstock.hub.repos import Repos
from seedstock.lineage.graph import Ancestry, Key, Root, Support, Tie, ties
from seedstock.lineage.visible import climb, ends_of, first_readable, readable

MAX_FAMILY = 5_000
_TURNED = {"parent": "child", "child": "parent", "relative": "relative"}


class Edge(msgspec.Struct, frozen=True):
    """Another model as seen from one; `other` is None for one that is named and not here."""

    name: str
    other: RepoRow | None
    commit: str | None
    role: str
    tie: Tie
    statistics: dict[str, Any] = {}

    @property
    def id(self) -> int:
        """Number of the evidence."""
        return self.tie.edge.id


class Foundation(msgspec.Struct, frozen=True):
    """A root that a model rests on."""

    name: str
    repo: RepoRow | None
    publisher: PublisherRow | None
    root: Root


class ModelLineage(msgspec.Struct, frozen=True):
    """A model's place in its family, and how far the analysis is."""

    repo: RepoRow
    commit: str
    status: str
    error: str | None
    edges: list[Edge]
    foundations: list[Foundation]


class Ancestors(msgspec.Struct, frozen=True):
    """A model and all that it is built on, as far as the viewer may know."""

    repo: RepoRow
    commit: str
    visible: dict[int, RepoRow]
    ties: list[Tie]


class Family(msgspec.Struct, frozen=True):
    """Everything that hangs together with a model; `truncated` if there is more."""

    focus: int
    repos: dict[int, RepoRow]
    ties: list[Tie]
    names: dict[str, str]
    """Keys of models that are not here, to their names as declared."""
    truncated: bool


class Evidence(msgspec.Struct, frozen=True):
    """One edge with its figures and its signed record, and both ends."""

    edge: EdgeRow
    repo: RepoRow
    other: RepoRow
    evidence: dict[str, Any]
    record: str | None


class Lineage:
    """Read side of the family tree."""

    def __init__(self, database: Database, register: Repos) -> None:
        self._database = database
        self._register = register

    def of(
        self, viewer: Viewer, repo_id: RepoId, revision: str = "main", *, parents_only: bool = False
    ) -> ModelLineage:
        """A model's edges, or those to its parents, and its foundations at a revision.

        Raises RepoNotFound, RevisionNotFound.
        """
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id)
            commit = revisions.resolve(connection, repo, revision).oid
            status, error = _status(connection, repo.id, commit)
            own = rows.edges_of(connection, repo.id, commit)
            incoming: list[EdgeRow] = []
            if commit == repo.head_oid:
                find = rows.edges_from_parents if parents_only else rows.edges_to
                incoming = find(connection, repo.id)
            visible = readable(connection, viewer, ends_of([*own, *incoming]))
            found = [_edge(repo.id, tie, visible) for tie in ties([*own, *incoming], visible)]
            if parents_only:
                found = [edge for edge in found if edge.role == "parent"]
            figures = rows.statistics_of(connection, [edge.id for edge in found])
            edges = [
                msgspec.structs.replace(edge, statistics=figures.get(edge.id, {}).get("statistics") or {})
                if edge.tie.known
                else edge
                for edge in found
            ]
            foundations = self._foundations(connection, viewer, repo, commit, own)
        edges.sort(key=lambda edge: (edge.role != "parent", edge.role != "child", edge.name.lower()))
        return ModelLineage(repo, commit, status, error, edges, foundations)

    def ancestors(self, viewer: Viewer, repo_id: RepoId, revision: str = "main") -> Ancestors:
        """A model and its ancestors, contradicted declarations included. Raises RepoNotFound, RevisionNotFound."""
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id)
            commit = revisions.resolve(connection, repo, revision).oid
            edges, seen = climb(connection, viewer, repo, commit, rows.edges_of(connection, repo.id, commit))
        # A contradicted base is named, but nothing is inherited from it.
        found = [tie for tie in ties(edges, seen) if tie.support is not Support.RELATED]
        ends = {end for tie in found for end in (tie.parent, tie.child)} | {repo.id}
        return Ancestors(repo, commit, {key: row for key, row in seen.items() if key in ends}, found)

    def _foundations(
        self, connection: sa.Connection, viewer: Viewer, repo: RepoRow, commit: str, own: list[EdgeRow]
    ) -> list[Foundation]:
        edges, visible = climb(connection, viewer, repo, commit, own)
        roots = Ancestry(ties(edges, visible)).roots(repo.id)
        names = {root.key: _name(root.path[-1], root.key, visible) for root in roots}
        profiles = publishers.find_publishers(connection, [name.split("/")[0] for name in names.values()])
        return [
            Foundation(
                names[root.key],
                visible.get(root.key) if isinstance(root.key, int) else None,
                profiles.get(names[root.key].split("/")[0].lower()),
                root,
            )
            for root in roots
        ]

    def family(self, viewer: Viewer, repo_id: RepoId, limit: int = MAX_FAMILY) -> Family:
        """Ancestors, descendants and relatives of a model, and theirs. Raises RepoNotFound."""
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id)
            seen: dict[int, RepoRow] = {repo.id: repo}
            edges: dict[int, EdgeRow] = {}
            frontier: Collection[int] = [repo.id]
            truncated = False
            while frontier:
                reached = rows.edges_touching(connection, frontier)
                # Those that the viewer may not see are not counted either: `truncated` would tell of them.
                found = first_readable(
                    connection, viewer, ends_of(reached) - seen.keys(), limit + 1 - len(seen)
                )
                if len(seen) + len(found) > limit:
                    truncated = True
                    found = {number: found[number] for number in sorted(found)[: limit - len(seen)]}
                edges |= {edge.id: edge for edge in reached}
                seen |= found
                frontier = found.keys()
        kept = ties(edges.values(), seen)
        names = {
            key: tie.edge.declared_name or key
            for tie in kept
            for key in (tie.parent, tie.child)
            if isinstance(key, str)
        }
        return Family(repo.id, seen, kept, names, truncated)

    def top_children(self, viewer: Viewer, repo: RepoRow, limit: int) -> list[RepoRow]:
        """The most downloaded models built on a repo that the viewer was shown, by cards or weights."""
        with self._database.read() as connection:
            # Some may be hidden from this viewer; a few more are asked for in their place.
            found = readable(connection, viewer, rows.child_ids(connection, repo.id, limit * 4))
        return sorted(found.values(), key=lambda child: (-child.downloads, child.id))[:limit]

    def children(self, found: Collection[RepoRow]) -> dict[int, dict[str, int]]:
        """How many public models declare each repo that the viewer was shown as their base, by relation."""
        with self._database.read() as connection:
            return rows.children_by_relation(connection, [repo.id for repo in found])

    def evidence(self, viewer: Viewer, repo_id: RepoId, edge_id: int) -> Evidence:
        """One comparison that this model is an end of. Raises EntryNotFound as if it were not there."""
        with self._database.read() as connection:
            repo = self._register.get_on(connection, viewer, repo_id)
            found = rows.find_evidence(connection, edge_id) if edge_id < 1 << 63 else None
            edge = found.edge if found is not None else None
            if found is None or edge is None or repo.id not in {edge.repo_id, edge.other_repo_id}:
                raise EntryNotFound("There is no such evidence of this model")
            ends = readable(connection, viewer, ends_of([edge]))
            if edge.other_repo_id is None or edge.verdict is None or len(ends) < 2:
                raise EntryNotFound("There is no such evidence of this model")
        return Evidence(
            edge, ends[edge.repo_id], ends[edge.other_repo_id], found.evidence or {}, found.record
        )


def _status(connection: sa.Connection, repo_id: int, commit: str) -> tuple[str, str | None]:
    """How far the analysis is; one whose job ended before it could say so has failed."""
    spec = {"repo_id": repo_id, "commit": commit}
    job = jobs.find_newest(connection, repo_id, ANALYSE_LINEAGE, spec)
    # After its job: what ends between the two is seen to have ended.
    status, error = lineage_status.find_status(connection, repo_id, commit) or ("queued", None)
    over = job is not None and job.state not in {jobs.QUEUED, jobs.RUNNING}
    if status in {"queued", "running"} and job is not None and over:
        # The job's own words may hold paths of the server; administrators see them.
        return "failed", "The analysis was broken off; its job's log says why"
    return status, error


def _edge(viewpoint: int, tie: Tie, visible: dict[int, RepoRow]) -> Edge:
    row = tie.edge
    own = row.repo_id == viewpoint
    key: Key = tie.parent if tie.child == viewpoint else tie.child
    other = visible.get(key) if isinstance(key, int) else None
    commit = None
    if tie.known:
        commit = row.other_commit if own else row.commit_oid
    role = row.role if own else _TURNED[row.role]
    return Edge(_name(tie, key, visible), other, commit, role, tie)


def _name(tie: Tie, key: Key, visible: dict[int, RepoRow]) -> str:
    if isinstance(key, int):
        return visible[key].repo_id
    return tie.edge.declared_name or key
