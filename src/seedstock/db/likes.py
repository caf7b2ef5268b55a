"""Likes: who likes which repo, and how many do."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from seedstock.db.inserts import insert_new
from seedstock.db.repos import RepoRow, repo_row, repo_select
from seedstock.db.schema import accounts, likes, repos

# Built once: building a statement takes longer than running it.
_LIKES_REPO = sa.select(likes.c.repo_id).where(
    likes.c.repo_id == sa.bindparam("repo_id"), likes.c.account_id == sa.bindparam("account_id")
)


def add_like(connection: sa.Connection, repo_id: int, account_id: int, at: int) -> None:
    """Like a repo; liking twice is liking once."""
    insert_new(connection, likes, [{"repo_id": repo_id, "account_id": account_id, "created_at": at}])
    _count_likes(connection, repo_id)


def remove_like(connection: sa.Connection, repo_id: int, account_id: int) -> None:
    """Unlike a repo; silent if it was not liked."""
    connection.execute(sa.delete(likes).where(likes.c.repo_id == repo_id, likes.c.account_id == account_id))
    _count_likes(connection, repo_id)


def _count_likes(connection: sa.Connection, repo_id: int) -> None:
    count = sa.select(sa.func.count()).where(likes.c.repo_id == repo_id).scalar_subquery()
    connection.execute(sa.update(repos).where(repos.c.id == repo_id).values(likes=count))


def likes_repo(connection: sa.Connection, repo_id: int, account_id: int) -> bool:
    """Whether that account likes the repo."""
    found = connection.execute(_LIKES_REPO, {"repo_id": repo_id, "account_id": account_id})
    return found.first() is not None


def liked_among(connection: sa.Connection, repo_ids: Sequence[int], account_id: int) -> set[int]:
    """Those of the repos that an account likes."""
    query = sa.select(likes.c.repo_id).where(likes.c.account_id == account_id, likes.c.repo_id.in_(repo_ids))
    return set(connection.execute(query).scalars())


def likers(connection: sa.Connection, repo_id: int, limit: int, offset: int) -> list[tuple[str, str]]:
    """Name and full name of those who like a repo, newest first."""
    rows = connection.execute(
        sa.select(accounts.c.name, accounts.c.full_name)
        .join(likes, likes.c.account_id == accounts.c.id)
        .where(likes.c.repo_id == repo_id)
        .order_by(likes.c.created_at.desc(), accounts.c.id)
        .limit(limit)
        .offset(offset)
    )
    return [(row.name, row.full_name) for row in rows]


def liked_by(
    connection: sa.Connection, account_id: int, limit: int, offset: int
) -> list[tuple[RepoRow, int]]:
    """Repos that an account likes and since when, newest first; visibility is the caller's to check."""
    rows = connection.execute(
        repo_select.add_columns(likes.c.created_at.label("liked_at"))
        .join(likes, likes.c.repo_id == repos.c.id)
        .where(likes.c.account_id == account_id)
        .order_by(likes.c.created_at.desc(), repos.c.id)
        .limit(limit)
        .offset(offset)
    )
    return [(repo_row(row[:-1]), row[-1]) for row in rows]
