"""Listings cost the same number of SQL statements for 5 items and for 200."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from seedstock.core.limits import Limits
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import TokenRole
from seedstock.db import lineage
from seedstock.http.app import build_app
from seedstock.wiring import Hub


@contextmanager
def counted(hub: Hub) -> Iterator[list[str]]:
    """Collect the statements of a block."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA", "ROLLBACK", "COMMIT")):
            statements.append(statement)

    sa.event.listen(hub.database.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(hub.database.engine, "before_cursor_execute", note)


def _files(count: int) -> str:
    lines = [{"key": "header", "value": {"summary": "files"}}]
    content = base64.b64encode(b"x").decode()
    for number in range(count):
        value = {"path": f"d/{number}.txt", "content": content, "encoding": "base64"}
        lines.append({"key": "file", "value": value})
    return "\n".join(map(json.dumps, lines))


def _repos(hub: Hub, _web: TestClient, count: int) -> None:
    ada = hub.accounts.viewer_for_token(hub.accounts.create_token("ada", role=TokenRole.WRITE, name="t"))
    for number in range(count):
        hub.repos.create(ada, RepoId(RepoType.MODEL, "ada", f"r{count}-{number}"))
        hub.repos.like(ada, RepoId(RepoType.MODEL, "ada", f"r{count}-{number}"), liked=True)


def _tree(_hub: Hub, web: TestClient, count: int) -> None:
    assert web.post("/api/models/ada/one/commit/main", content=_files(count)).status_code == 200


def _commits(_hub: Hub, web: TestClient, count: int) -> None:
    for number in range(count // 4):
        body = _files(1).replace("d/0.txt", f"{count}-{number}.txt")
        assert web.post("/api/models/ada/one/commit/main", content=body).status_code == 200


def _refs(_hub: Hub, web: TestClient, count: int) -> None:
    for number in range(count):
        assert web.post("/api/models/ada/one/tag/main", json={"tag": f"v{count}-{number}"}).status_code == 200


def _family(hub: Hub, web: TestClient, count: int) -> None:
    """Children of `ada/one`, straight into the tables: what they cost to read is the question."""
    ada = hub.accounts.viewer_for_token(hub.accounts.create_token("ada", role=TokenRole.WRITE, name="t"))
    base = hub.reading.repo_at(ada, RepoId(RepoType.MODEL, "ada", "one")).repo
    for number in range(count):
        repo = hub.repos.create(ada, RepoId(RepoType.MODEL, "ada", f"c{count}-{number}"))
        edge = {
            "other_repo_id": base.id,
            "other_commit": base.head_oid,
            "declared_name": "ada/one",
            "declared": "finetune",
            "source": "README.md",
            "role": "parent",
            "verdict": "derived",
            "kind": "finetune",
            "reason": "",
            "created_at": 1,
        }
        with hub.database.write() as connection:
            lineage.replace_edges(connection, repo.id, repo.head_oid, [edge])


def _tokens(hub: Hub, _web: TestClient, count: int) -> None:
    for number in range(count):
        name = f"{count}-{number}"
        hub.accounts.create_token("ada", role=TokenRole.WRITE, name=name)
        hub.usage.settings.set_limits("ada", Limits(tokens_per_day=5), name, actor="test")


CASES: dict[str, tuple[Callable[[Hub, TestClient, int], None], list[str]]] = {
    "repos": (
        _repos,
        [
            "/api/models?limit=1000",
            "/api/models?limit=1000&full=true",
            "/api/models?limit=1000&expand=siblings&expand=cardData",
            "/api/users/ada/likes",
        ],
    ),
    "files": (
        _tree,
        ["/api/models/ada/one/tree/main?recursive=true&limit=1000", "/api/models/ada/one?blobs=true"],
    ),
    "commits": (_commits, ["/api/models/ada/one/commits/main?limit=1000"]),
    "family": (
        _family,
        [
            "/api/models?limit=1000&expand=baseModels&expand=childrenModelCount",
            "/api/models/ada/one/lineage",
            "/api/models/ada/one/family",
            "/api/models/ada/one/openness",
            "/api/foundations",
            "/ada/one/family",
            "/foundations",
        ],
    ),
    "tokens": (_tokens, ["/api/usage", "/settings/usage"]),
    "refs": (_refs, ["/api/models/ada/one/refs"]),
}


@pytest.mark.parametrize("case", CASES)
def test_listings_cost_the_same_for_few_and_many(hub: Hub, case: str) -> None:
    grow, paths = CASES[case]
    hub.accounts.create_user("ada")
    token = hub.accounts.create_token("ada", role=TokenRole.WRITE, name="laptop")
    with TestClient(build_app(hub), headers={"Authorization": f"Bearer {token}"}) as web:
        assert web.post("/api/repos/create", json={"name": "ada/one"}).status_code == 200
        counts: dict[str, list[int]] = {path: [] for path in paths}
        for size in (5, 200):
            grow(hub, web, size)
            for path in paths:
                with counted(hub) as statements:
                    assert web.get(path).status_code == 200
                counts[path].append(len(statements))
    assert all(few == many for few, many in counts.values()), counts
