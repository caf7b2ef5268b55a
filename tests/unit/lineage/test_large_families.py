"""Thousands of models that hang together."""

from __future__ import annotations

import time

import sqlalchemy as sa
from starlette.testclient import TestClient

from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import TokenRole
from seedstock.db import lineage
from seedstock.db.repos import repos_by_id
from seedstock.db.schema import lineage_edges, repos
from seedstock.http.app import build_app
from seedstock.wiring import Hub

CHILDREN = 4_999
MANY = range(1, 70_000)
"""More than PostgreSQL takes as parameters of one statement."""


def grow(hub: Hub) -> None:
    """A base with children, written straight into the database."""
    hub.accounts.create_user("ada")
    ada = hub.accounts.viewer_for_token(hub.accounts.create_token("ada", role=TokenRole.WRITE))
    hub.repos.create(ada, RepoId(RepoType.MODEL, "ada", "base"))
    with hub.database.write() as connection:
        base = dict(connection.execute(sa.select(repos)).one()._mapping)
        numbers = range(1, CHILDREN + 1)
        connection.execute(
            sa.insert(repos),
            [
                base
                | {"id": base["id"] + at, "name": f"m{at}", "name_key": f"m{at}", "head_oid": f"{at:040x}"}
                for at in numbers
            ],
        )
        edge = {
            "other_repo_id": base["id"],
            "other_commit": base["head_oid"],
            "declared_name": "ada/base",
            "declared_key": "ada/base",
            "declared": "finetune",
            "source": "README.md",
            "role": "parent",
            "verdict": "derived",
            "kind": "finetune",
            "reason": "r",
            "evidence": {"statistics": {"rho": 1.0}},
            "created_at": 1,
        }
        connection.execute(
            sa.insert(lineage_edges),
            [edge | {"repo_id": base["id"] + at, "commit_oid": f"{at:040x}"} for at in numbers],
        )
        lineage.count_children(connection, [base["id"]])


def test_a_family_of_5000_is_told_at_once(hub: Hub) -> None:
    """Measured: 0.1 s for the graph, 0.4 s for the page, 0.01 s for the model's own page."""
    grow(hub)
    web = TestClient(build_app(hub))
    for path, most_s in (
        ("/api/models/ada/base/family", 2.0),
        ("/ada/base/family", 3.0),
        ("/ada/base", 1.0),
        ("/api/foundations", 2.0),
        ("/api/models/ada/m7/lineage", 1.0),
    ):
        web.get(path)
        started = time.process_time()
        answer = web.get(path)
        assert answer.status_code == 200
        assert time.process_time() - started < most_s, path
    graph = web.get("/api/models/ada/base/family").json()
    assert (len(graph["nodes"]), len(graph["edges"]), graph["truncated"]) == (5_000, CHILDREN, False)
    assert "4,999" in web.get("/ada/base").text


def test_no_statement_holds_more_values_than_a_database_takes(hub: Hub) -> None:
    with hub.database.read() as connection:
        assert repos_by_id(connection, MANY) == {}
        assert lineage.statistics_of(connection, list(MANY)) == {}
        assert lineage.edges_touching(connection, MANY) == []
