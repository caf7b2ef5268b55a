"""Repo info is never stale: what is kept in memory is what a commit settles, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import TokenRole
from seedstock.db import commits
from seedstock.http.app import build_app
from seedstock.hub.repos import RepoSettings
from seedstock.hub.snapshots import Snapshots
from seedstock.hub.trees import TreeCache
from seedstock.wiring import Hub

_REPO = RepoId(RepoType.MODEL, "ada", "model")
_PATH = "/api/models/ada/model"


@pytest.fixture
def http(hub: Hub) -> Iterator[httpx.Client]:
    hub.accounts.create_user("ada")
    token = hub.accounts.create_token("ada", role=TokenRole.WRITE)
    client = TestClient(build_app(hub), headers={"Authorization": f"Bearer {token}"})
    assert client.post("/api/repos/create", json={"name": "model"}).status_code == 200
    yield client
    client.close()


def _commit(http: httpx.Client, path: str, text: str) -> None:
    body = f'{{"key":"header","value":{{"summary":"x"}}}}\n{{"key":"file","value":{{"path":"{path}","content":"{text}"}}}}'
    assert http.post(f"{_PATH}/commit/main", content=body).status_code == 200


def _info(http: httpx.Client, path: str = _PATH) -> Any:
    answer = http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _names(info: Any) -> list[str]:
    return [sibling["rfilename"] for sibling in info["siblings"]]


def test_a_commit_shows_at_once_and_old_revisions_stay(http: httpx.Client) -> None:
    first = _info(http)
    _commit(http, "a.txt", "1")
    second = _info(http)
    assert _names(second) == [*_names(first), "a.txt"]
    assert second["sha"] != first["sha"]
    assert _names(_info(http, f"{_PATH}/revision/{first['sha']}")) == _names(first)
    blobs = _info(http, f"{_PATH}?blobs=true")
    assert blobs["siblings"][-1]["size"] == 1


def test_counts_names_and_visibility_are_those_of_now(http: httpx.Client, hub: Hub) -> None:
    ada = hub.accounts.viewer_for_token(http.headers["Authorization"].split()[1])
    assert _info(http)["likes"] == 0
    hub.repos.like(ada, _REPO, liked=True)
    assert _info(http)["likes"] == 1
    stranger = TestClient(http.app)  # type: ignore[attr-defined]
    assert stranger.get(_PATH).status_code == 200
    hub.repos.change(ada, _REPO, RepoSettings(private=True))
    assert stranger.get(_PATH).status_code == 401
    assert _info(http)["private"] is True
    hub.repos.move(ada, _REPO, RepoId(RepoType.MODEL, "ada", "renamed"))
    assert _info(http, "/api/models/ada/renamed")["modelId"] == "ada/renamed"
    hub.repos.delete(ada, RepoId(RepoType.MODEL, "ada", "renamed"))
    assert http.get("/api/models/ada/renamed").status_code == 404
    hub.repos.create(ada, _REPO)
    assert _names(_info(http)) == [".gitattributes"]


def test_the_record_of_the_index_job_replaces_what_small_files_said(http: httpx.Client, hub: Hub) -> None:
    _commit(http, "README.md", "---\\nlicense: mit\\n---\\n")
    before = _info(http)
    ada = hub.accounts.viewer_for_token(http.headers["Authorization"].split()[1])
    repo = hub.repos.get(ada, _REPO)
    assert not hub.reading.repo_at(ada, _REPO).snapshot.complete
    hub.indexer.index(repo.id, before["sha"])
    at = hub.reading.repo_at(ada, _REPO)
    assert at.snapshot.complete
    assert hub.reading.repo_at(ada, _REPO).snapshot is at.snapshot
    assert _info(http)["tags"] == before["tags"]


def test_the_cache_is_bounded_by_entries(http: httpx.Client, hub: Hub) -> None:
    ada = hub.accounts.viewer_for_token(http.headers["Authorization"].split()[1])
    snapshots = Snapshots(TreeCache(), max_entries=45)
    oids = []
    for number in range(4):
        _commit(http, "a.txt", str(number))
        oids.append(_info(http)["sha"])
    repo = hub.repos.get(ada, _REPO)
    with hub.database.read() as connection:
        found = [snapshots.get(connection, repo, oid) for oid in oids]
        assert snapshots.get(connection, repo, oids[-1]) is found[-1]
        again = snapshots.get(connection, repo, oids[0])
        assert again is not found[0]
        assert again.commit == commits.find_commit(connection, repo.id, oids[0])
