"""Which models at the ends of edges a viewer may know of, and how far up they can be followed.

Permission is asked here for every repo that an edge leads to; no other is handed to the family tree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import sqlalchemy as sa

from seedstock.accounts.permissions import Action, allowed
from seedstock.core.viewer import Viewer
from seedstock.db import lineage as rows
from seedstock.db import repos
from seedstock.db.lineage import EdgeRow
from seedstock.db.repos import RepoRow

_ASKED_AT_ONCE = 5_000


def ends_of(edges: Iterable[EdgeRow]) -> set[int]:
    """The repos at either end of edges."""
    return {end for edge in edges for end in (edge.repo_id, edge.other_repo_id) if end is not None}


def readable(connection: sa.Connection, viewer: Viewer, ids: Collection[int]) -> dict[int, RepoRow]:
    """Those of the repos that the viewer may see."""
    found = repos.repos_by_id(connection, ids) if ids else {}
    return {number: repo for number, repo in found.items() if allowed(viewer, Action.READ, repo)}


def first_readable(
    connection: sa.Connection, viewer: Viewer, ids: Collection[int], wanted: int
) -> dict[int, RepoRow]:
    """As many of the repos as are wanted, or a few more, of those that the viewer may see."""
    ordered, found = sorted(ids), dict[int, RepoRow]()
    for start in range(0, len(ordered), _ASKED_AT_ONCE):
        found |= readable(connection, viewer, ordered[start : start + _ASKED_AT_ONCE])
        if len(found) >= wanted:
            break
    return found


def climb(
    connection: sa.Connection, viewer: Viewer, repo: RepoRow, commit: str, own: list[EdgeRow]
) -> tuple[list[EdgeRow], dict[int, RepoRow]]:
    """Every edge that leads upwards from a commit of a model, level by level; one query each."""
    edges = {edge.id: edge for edge in own}
    seen = {repo.id: repo}
    frontier: Collection[int] = [repo.id]
    while frontier:
        reached = rows.parent_edges(connection, frontier)
        if commit != repo.head_oid and repo.id in frontier:
            reached = []  # of the head, whose parents are not this commit's
        edges |= {edge.id: edge for edge in reached}
        found = readable(connection, viewer, ends_of([*own, *reached]) - seen.keys())
        seen |= found
        frontier = found.keys()
    return list(edges.values()), seen
