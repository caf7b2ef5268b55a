"""The query behind every list of repos: visibility, search, filters, order, paging, facets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.db.inserts import insert_new
from seedstock.db.repos import RepoRow, repo_select
from seedstock.db.schema import accounts, download_days, likes, repo_tags, repos

_OPENNESS = {"open-science": 3, "open-weight": 2, "weights-available": 1}
SORTS: dict[str, sa.ColumnElement[Any]] = {
    "trendingScore": repos.c.trending_score,
    "lastModified": repos.c.updated_at,
    "createdAt": repos.c.created_at,
    "downloads": repos.c.downloads,
    "likes": repos.c.likes,
    "children": repos.c.children,
    "openness": sa.case(_OPENNESS, value=repos.c.openness, else_=0),
    "name": repos.c.name_key,
}


class ListQuery(msgspec.Struct, frozen=True):
    """What to list. `visible_to` is the namespaces whose private repos may be shown; None: all."""

    type: str | None = None
    visible_to: tuple[int, ...] | None = ()
    author: str | None = None
    search: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    pipeline_tag: str | None = None
    library: str | None = None
    license: str | None = None
    openness: str | None = None
    lineage: str | None = None
    runnable: bool | None = None
    gated: bool | None = None
    min_parameters: int | None = None
    max_parameters: int | None = None
    sort: str = "trendingScore"
    ascending: bool = False
    limit: int = 30
    offset: int = 0


def list_repos(connection: sa.Connection, query: ListQuery) -> list[RepoRow]:
    """One page of repos."""
    column = SORTS[query.sort]
    order = column.asc() if query.ascending else column.desc()
    statement = (
        repo_select.where(*_conditions(query))
        .order_by(order, repos.c.id)
        .limit(query.limit)
        .offset(query.offset)
    )
    rows: Sequence[Sequence[Any]] = connection.execute(statement).all()
    return [RepoRow(*row) for row in rows]


def count_repos(connection: sa.Connection, query: ListQuery) -> int:
    """How many repos a query has in all."""
    statement = (
        sa.select(sa.func.count())
        .select_from(repos.join(accounts, accounts.c.id == repos.c.namespace_id))
        .where(*_conditions(query))
    )
    return int(connection.execute(statement).scalar_one())


def count_tags(connection: sa.Connection, query: ListQuery, limit: int) -> list[tuple[str, int]]:
    """The most frequent tags among the repos of a query: what filters can offer."""
    statement = (
        sa.select(repo_tags.c.tag, sa.func.count().label("uses"))
        .join(repos, repos.c.id == repo_tags.c.repo_id)
        .join(accounts, accounts.c.id == repos.c.namespace_id)
        .where(*_conditions(query))
        .group_by(repo_tags.c.tag)
        .order_by(sa.desc("uses"), repo_tags.c.tag)
        .limit(limit)
    )
    return [(row.tag, row.uses) for row in connection.execute(statement)]


FACETS: dict[str, sa.ColumnElement[Any]] = {
    "task": repos.c.pipeline_tag,
    "library": repos.c.library_name,
    "license": repos.c.license,
    "openness": repos.c.openness,
    "lineage": repos.c.lineage,
}


def count_values(
    connection: sa.Connection, query: ListQuery, facet: str, limit: int
) -> list[tuple[str, int]]:
    """The most frequent values of a column among the repos of a query."""
    column = FACETS[facet]
    statement = (
        sa.select(column.label("value"), sa.func.count().label("uses"))
        .select_from(repos.join(accounts, accounts.c.id == repos.c.namespace_id))
        .where(*_conditions(query), column.is_not(None))
        .group_by(column)
        .order_by(sa.desc("uses"), column)
        .limit(limit)
    )
    return [(row.value, row.uses) for row in connection.execute(statement)]


def list_named(
    connection: sa.Connection, query: ListQuery, names: Sequence[tuple[str, str]]
) -> list[RepoRow]:
    """Those of the named (namespace, name) repos that the query covers."""
    pairs = [(namespace.lower(), name.lower()) for namespace, name in names]
    statement = repo_select.where(
        *_conditions(query), sa.tuple_(accounts.c.name_key, repos.c.name_key).in_(pairs)
    )
    found: Sequence[Sequence[Any]] = connection.execute(statement).all()
    return [RepoRow(*row) for row in found]


def _conditions(query: ListQuery) -> list[sa.ColumnElement[bool]]:
    return [*_visibility(query), *_names(query), *_facts(query)]


def _visibility(query: ListQuery) -> Iterator[sa.ColumnElement[bool]]:
    if query.type is not None:
        yield repos.c.type == query.type
    if query.visible_to is not None:
        yield sa.or_(repos.c.private.is_(False), repos.c.namespace_id.in_(query.visible_to))


def _names(query: ListQuery) -> Iterator[sa.ColumnElement[bool]]:
    if query.author:
        yield accounts.c.name_key == query.author.lower()
    full = accounts.c.name_key + "/" + repos.c.name_key
    for word in query.search:
        yield full.contains(word.lower(), autoescape=True)
    for tag in query.tags:
        has = sa.select(repo_tags.c.tag).where(repo_tags.c.repo_id == repos.c.id, repo_tags.c.tag == tag)
        yield has.exists()


def _facts(query: ListQuery) -> Iterator[sa.ColumnElement[bool]]:
    if query.pipeline_tag:
        yield repos.c.pipeline_tag == query.pipeline_tag
    if query.library:
        yield repos.c.library_name == query.library
    if query.license:
        yield repos.c.license == query.license
    if query.openness:
        yield repos.c.openness == query.openness
    if query.lineage:
        yield repos.c.lineage == query.lineage
    if query.runnable is not None:
        yield repos.c.runnable.is_(query.runnable)
    if query.gated is not None:
        yield repos.c.gated.is_not(None) if query.gated else repos.c.gated.is_(None)
    if query.min_parameters is not None:
        yield repos.c.parameters >= query.min_parameters
    if query.max_parameters is not None:
        yield repos.c.parameters <= query.max_parameters


def add_downloads(connection: sa.Connection, counts: dict[int, int], day: int) -> None:
    """Add counted downloads: one statement per repo that had any, however many there were."""
    existing = set(connection.execute(sa.select(repos.c.id).where(repos.c.id.in_(list(counts)))).scalars())
    for repo_id in existing:
        count = counts[repo_id]
        insert_new(connection, download_days, [{"repo_id": repo_id, "day": day, "count": 0}])
        connection.execute(
            sa.update(download_days)
            .where(download_days.c.repo_id == repo_id, download_days.c.day == day)
            .values(count=download_days.c.count + count)
        )
        connection.execute(
            sa.update(repos)
            .where(repos.c.id == repo_id)
            .values(
                downloads=repos.c.downloads + count, downloads_all_time=repos.c.downloads_all_time + count
            )
        )


def add_runs(connection: sa.Connection, counts: dict[int, int]) -> None:
    """Add counted answers of the run endpoint."""
    for repo_id, count in counts.items():
        connection.execute(sa.update(repos).where(repos.c.id == repo_id).values(runs=repos.c.runs + count))


def rank(connection: sa.Connection, today: int, now: int, repo_id: int | None = None) -> None:
    """Recompute 30-day downloads and trending scores, of one repo or of all.

    Trending is what happened in the last seven days: ten points a like, and the square root of the
    downloads, so that one mirror script does not outrank a hundred people.
    """
    month = (
        sa.select(sa.func.coalesce(sa.func.sum(download_days.c.count), 0))
        .where(download_days.c.repo_id == repos.c.id, download_days.c.day > today - 30)
        .scalar_subquery()
    )
    week = (
        sa.select(sa.func.coalesce(sa.func.sum(download_days.c.count), 0))
        .where(download_days.c.repo_id == repos.c.id, download_days.c.day > today - 7)
        .scalar_subquery()
    )
    liked = (
        sa.select(sa.func.count())
        .where(likes.c.repo_id == repos.c.id, likes.c.created_at > now - 7 * 86_400_000)
        .scalar_subquery()
    )
    score = liked * 10.0 + sa.func.sqrt(sa.cast(week, sa.Float))
    statement = sa.update(repos).values(downloads=month, trending_score=score)
    if repo_id is not None:
        statement = statement.where(repos.c.id == repo_id)
    connection.execute(statement)
