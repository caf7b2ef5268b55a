"""Lists of repos: for the API, the web pages and profiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from seedstock.core.viewer import TokenRole, Viewer
from seedstock.db import likes, repos
from seedstock.db import listing as rows
from seedstock.db.engine import Database
from seedstock.db.listing import SORTS, ListQuery
from seedstock.db.repos import RepoRow

__all__ = ["SORTS", "ListQuery", "Listing", "RepoPage", "limited"]


class RepoPage(msgspec.Struct, frozen=True):
    """Some repos with their tags."""

    repos: list[RepoRow]
    tags: dict[int, list[str]]
    next_offset: int | None


class Listing:
    """Reads lists of repos that a viewer may see."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, viewer: Viewer, query: ListQuery) -> RepoPage:
        """One page; two queries however long it is."""
        query = limited(viewer, query)
        with self._database.read() as connection:
            # One more than asked tells whether there is a next page.
            found = rows.list_repos(connection, msgspec.structs.replace(query, limit=query.limit + 1))
            page = found[: query.limit]
            tags = repos.tags_of(connection, [repo.id for repo in page])
        return RepoPage(page, tags, query.offset + query.limit if len(found) > query.limit else None)

    def repos(self, viewer: Viewer, query: ListQuery) -> list[RepoRow]:
        """A page without tags, in one query."""
        with self._database.read() as connection:
            return rows.list_repos(connection, limited(viewer, query))

    def count(self, viewer: Viewer, query: ListQuery) -> int:
        """How many repos the query has in all."""
        with self._database.read() as connection:
            return rows.count_repos(connection, limited(viewer, query))

    def facets(self, viewer: Viewer, query: ListQuery, limit: int = 200) -> list[tuple[str, int]]:
        """The most frequent tags among the repos of the query."""
        with self._database.read() as connection:
            return rows.count_tags(connection, limited(viewer, query), limit)

    def values(self, viewer: Viewer, query: ListQuery, facet: str, limit: int = 12) -> list[tuple[str, int]]:
        """The most frequent values of `task`, `library` or `license` among the repos of the query."""
        with self._database.read() as connection:
            return rows.count_values(connection, limited(viewer, query), facet, limit)

    def named(self, viewer: Viewer, type: str, names: Iterable[str]) -> dict[str, RepoRow]:
        """Those of the repos that are here for the viewer, by the names they were asked for."""
        wanted = {name: name.partition("/") for name in names if name.count("/") == 1 and "\0" not in name}
        if not wanted:
            return {}
        pairs = [(namespace, short) for namespace, _, short in wanted.values()]
        with self._database.read() as connection:
            found = rows.list_named(connection, limited(viewer, ListQuery(type=type)), pairs)
        by_key = {repo.repo_id.lower(): repo for repo in found}
        return {name: by_key[name.lower()] for name in wanted if name.lower() in by_key}

    def tags_of(self, found: Sequence[RepoRow]) -> dict[int, list[str]]:
        """The tags of repos that the viewer was shown."""
        with self._database.read() as connection:
            return repos.tags_of(connection, [repo.id for repo in found])

    def liked_by(self, account_id: int, viewer: Viewer, limit: int, offset: int) -> list[tuple[RepoRow, int]]:
        """Repos that somebody likes, those that the viewer may see."""
        visible = limited(viewer, ListQuery()).visible_to
        with self._database.read() as connection:
            found = likes.liked_by(connection, account_id, limit, offset)
        return [
            (repo, at)
            for repo, at in found
            if visible is None or not repo.private or repo.namespace_id in visible
        ]


def limited(viewer: Viewer, query: ListQuery) -> ListQuery:
    """The query, showing private repos of the viewer's own namespaces only."""
    credential = viewer.credential
    if viewer.anonymous or (credential is not None and credential.role is TokenRole.FINE_GRAINED):
        # A fine-grained token may cover single repos; lists then show the public ones.
        return msgspec.structs.replace(query, visible_to=())
    if viewer.is_admin:
        return msgspec.structs.replace(query, visible_to=None)
    own = (viewer.account_id or 0, *(membership.org_id for membership in viewer.memberships))
    return msgspec.structs.replace(query, visible_to=own)
