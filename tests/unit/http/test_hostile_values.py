"""Values that a database, a signature or a pattern chokes on are refused, never an internal error."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import TokenRole
from seedstock.http.app import build_app
from seedstock.wiring import Hub

NUL = "a\0b"


@pytest.fixture
def ada(hub: Hub) -> TestClient:
    """Ada, who owns the model ada/m."""
    hub.accounts.create_user("ada", password="correct horse battery")
    token = hub.accounts.create_token("ada", role=TokenRole.WRITE)
    client = TestClient(build_app(hub), headers={"authorization": f"Bearer {token}"}, follow_redirects=False)
    client.post("/api/repos/create", json={"name": "m"}).raise_for_status()
    return client


@pytest.mark.parametrize(
    "path",
    [
        "/api/models?search=%00",
        "/api/models?author=%00",
        "/api/models?filter=%00",
        "/api/models?pipeline_tag=%00",
        "/models?q=%00",
        "/models?library=%00",
        "/datasets?license=%00",
        "/ada?q=%00",
        "/ada/m/upload/main?folder=%00",
        "/cas/g1/data/x?bytes=0-1&expires=%00&sig=%00",
    ],
)
def test_nul_in_a_query_is_answered(ada: TestClient, path: str) -> None:
    assert ada.get(path).status_code < 500


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/repos/create", {"name": "x", "organization": NUL}),
        ("DELETE", "/api/repos/delete", {"name": NUL}),
        ("POST", "/api/repos/move", {"fromRepo": f"ada/{NUL}", "toRepo": "ada/y"}),
        ("POST", "/api/repos/move", {"fromRepo": "ada/m", "toRepo": f"{NUL}/y"}),
        ("POST", "/api/models/ada/m/duplicate", {"repository": f"{NUL}/y"}),
        ("POST", "/api/models/ada/m/tag/main", {"tag": "t", "message": NUL}),
        ("POST", "/api/models/ada/m/branch/b", {"startingPoint": NUL}),
        ("POST", "/api/models/ada/m/super-squash/main", {"message": NUL}),
        ("POST", "/api/models/ada/m/paths-info/main", {"paths": [NUL, "\ud800"], "expand": True}),
        ("POST", "/ada/m.git/info/lfs/objects/verify", {"oid": NUL, "size": 2**70}),
        ("POST", "/api/models/ada/m/preupload/main", {"files": [{"path": "a", "size": 2**70}]}),
        ("POST", "/v1/chat/completions", {"model": NUL, "messages": [{"role": "user", "content": "x"}]}),
        (
            "POST",
            "/v1/chat/completions",
            {"model": f"ada/m@{NUL}", "messages": [{"role": "user", "content": "x"}]},
        ),
    ],
)
def test_nul_in_a_body_is_answered(ada: TestClient, method: str, path: str, body: object) -> None:
    assert (
        ada.request(
            method, path, content=json.dumps(body), headers={"content-type": "application/json"}
        ).status_code
        < 500
    )


@pytest.mark.parametrize(
    "lines",
    [
        '{"key":"header","value":{"summary":"a\\u0000b"}}\n{"key":"file","value":{"path":"x","content":"1"}}',
        '{"key":"header","value":{"summary":"a","description":"\\u0000"}}\n{"key":"file","value":{"path":"x","content":"1"}}',
        '{"key":"header","value":{"summary":"a"}}\n{"key":"copyFile","value":{"path":"x","srcPath":"\\u0000","srcRevision":"\\u0000"}}',
        '{"key":"header","value":{"summary":"a","parentCommit":"\\u0000\\u0000\\u0000\\u0000\\u0000"}}',
        '{"key":"header","value":{"summary":"\\ud800"}}\n{"key":"file","value":{"path":"x","content":"\\ud800"}}',
    ],
)
def test_odd_text_in_a_commit_is_answered(ada: TestClient, lines: str) -> None:
    assert ada.post("/api/models/ada/m/commit/main", content=lines).status_code < 500


def test_a_card_with_nul_and_huge_numbers_is_indexed(ada: TestClient, hub: Hub) -> None:
    card = '---\nlicense: "a\\0b"\npipeline_tag: "\\0"\ntags: ["\\0", x, LONG]\nbase_model: "\\0/b"\n---\n'
    card = card.replace("LONG", "y" * 5000)
    content = card.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    lines = (
        '{"key":"header","value":{"summary":"s"}}\n'
        f'{{"key":"file","value":{{"path":"README.md","content":"{content}"}}}}\n'
        '{"key":"file","value":{"path":"config.json","content":"{\\"model_type\\":\\"\\\\u0000\\",\\"max_position_embeddings\\":1e30,\\"architectures\\":[\\"\\\\u0000\\"]}"}}'
    )
    oid = ada.post("/api/models/ada/m/commit/main", content=lines).json()["commitOid"]
    repo = hub.reading.repo_at(hub.accounts.viewer_for_token(ada.headers["authorization"][7:]), _id())
    assert hub.indexer.index(repo.repo.id, oid) is not None
    for path in ("/ada/m", "/models", "/api/models", "/api/models/ada/m", "/api/models-tags-by-type"):
        assert ada.get(path).status_code == 200


def _id() -> RepoId:
    return RepoId(RepoType.MODEL, "ada", "m")


@pytest.mark.parametrize("name", ["csrf", "lfs"])
def test_signatures_that_are_not_ascii_are_wrong(ada: TestClient, hub: Hub, name: str) -> None:
    if name == "lfs":
        assert ada.get(f"/lfs-object/1/{'a' * 64}?exp=1&sig={quote('é')}").status_code == 403
        return
    session = hub.accounts.sign_in("ada", "correct horse battery")
    client = TestClient(ada.app, cookies={"seedstock_session": session})
    answer = client.post("/api/repos/create", json={"name": "x"}, headers={b"x-csrf-token": b"\xe9"})
    assert answer.status_code == 403


def test_sign_in_with_nul_is_refused(ada: TestClient) -> None:
    assert ada.post("/login", data={"name": NUL, "password": NUL}).status_code < 500


def test_an_address_of_many_segments_costs_little(ada: TestClient) -> None:
    started = time.process_time()
    ada.get("/api/models/ada/m/tree/refs" + "/a" * 10_000)
    assert time.process_time() - started < 2


def test_ignore_patterns_take_linear_time(ada: TestClient) -> None:
    files = [{"path": "a" * 200, "size": 1}]
    started = time.process_time()
    ada.post(
        "/api/models/ada/m/preupload/main", json={"files": files, "gitIgnore": "*a*a*a*a*a*b"}
    ).raise_for_status()
    assert time.process_time() - started < 2


def test_a_gated_repo_is_not_copied_by_those_who_may_not_read_it(ada: TestClient, hub: Hub) -> None:
    ada.put("/api/models/ada/m/settings", json={"gated": "manual"}).raise_for_status()
    hub.accounts.create_user("bob")
    token = hub.accounts.create_token("bob", role=TokenRole.WRITE)
    bob = TestClient(ada.app, headers={"authorization": f"Bearer {token}"})
    assert bob.post("/api/models/ada/m/duplicate", json={"repository": "bob/m"}).status_code == 403


def test_a_read_token_likes_nothing(ada: TestClient, hub: Hub) -> None:
    token = hub.accounts.create_token("ada", role=TokenRole.READ)
    reader = TestClient(ada.app, headers={"authorization": f"Bearer {token}"})
    assert reader.post("/api/models/ada/m/like").status_code == 403
