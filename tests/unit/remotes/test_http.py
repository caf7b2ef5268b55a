"""Remote models at `/v1`, and remotes under `/api`: statuses, shapes, and what is not told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from seedstock.core.viewer import TokenRole
from seedstock.http.app import build_app
from seedstock.remotes.remote import NewRemote
from seedstock.run.remote.upstream import ApiKind
from seedstock.wiring import Hub
from tests.factories.upstream import Exchange, ScriptedUpstream, scripted_upstream
from tests.unit.remotes.test_answers import CHAT

KEY = "sk-very-secret-0123456789"
NUL = "a\0b"
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def script(asked: Exchange) -> None:
    asked.answer(200, {"data": [{"id": "m"}]} if asked.method == "GET" else CHAT)


@pytest.fixture
def there() -> Iterator[ScriptedUpstream]:
    with scripted_upstream(script) as upstream:
        yield upstream


@pytest.fixture
def client(hub: Hub, there: ScriptedUpstream) -> Iterator[TestClient]:
    """An admin's, with a remote `there`."""
    hub.accounts.create_user("root", admin=True)
    token = hub.accounts.create_token("root", role=TokenRole.WRITE)
    viewer = hub.accounts.viewer_for_token(token)
    hub.remotes.add(viewer, NewRemote("there", ApiKind.OPENAI, f"{there.url}/v1", KEY, models=["m"]))
    headers = {"authorization": f"Bearer {token}"}
    with TestClient(build_app(hub), headers=headers, raise_server_exceptions=True) as client:
        yield client


def asked(**change: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "remote/there/m", "messages": messages, "max_tokens": 5} | change


@pytest.mark.parametrize(
    ("status", "openai", "anthropic"),
    [
        (401, (502, "server_error"), (502, "api_error")),
        (500, (502, "server_error"), (502, "api_error")),
        (504, (504, "server_error"), (504, "timeout_error")),
        (503, (503, "server_error"), (529, "overloaded_error")),
        (429, (429, "rate_limit_error"), (429, "rate_limit_error")),
        (400, (400, "invalid_request_error"), (400, "invalid_request_error")),
        (404, (404, "not_found_error"), (404, "not_found_error")),
        (413, (413, "rate_limit_error"), (413, "request_too_large")),
    ],
)
def test_errors_in_the_shape_of_the_callers_api(
    client: TestClient, there: ScriptedUpstream, status: int, openai: Any, anthropic: Any
) -> None:
    there.script = lambda told: told.answer(
        status,
        {"error": {"message": f"no {KEY}"}},
        retry_after="7",
        x_secret="org-1",
        set_cookie="a=b",
        www_authenticate="Bearer",
    )
    ours = client.post("/v1/chat/completions", json=asked())
    assert (ours.status_code, ours.json()["error"]["type"]) == openai
    theirs = client.post("/v1/messages", json=asked())
    assert (theirs.status_code, theirs.json()["type"], theirs.json()["error"]["type"]) == (
        anthropic[0], "error", anthropic[1],
    )  # fmt: skip
    for answer in (ours, theirs):
        assert KEY not in answer.text
        assert not {"x-secret", "set-cookie", "www-authenticate"} & set(answer.headers)
        if status in {429, 503}:
            assert answer.headers["retry-after"] == "7"


def test_a_parameter_that_the_upstream_names_is_named(client: TestClient, there: ScriptedUpstream) -> None:
    words = "'temperature' does not support 5"
    there.script = lambda told: told.answer(400, {"error": {"message": words}})
    error = client.post("/v1/chat/completions", json=asked(temperature=5)).json()["error"]
    assert error["param"] == "temperature"
    assert error["message"].startswith(words)


def test_an_upstream_that_is_not_there(client: TestClient, there: ScriptedUpstream) -> None:
    client.post(
        "/api/remotes",
        json={"name": "gone", "kind": "openai", "url": "http://127.0.0.1:1/v1", "models": ["m"]},
    )
    answer = client.post("/v1/chat/completions", json=asked(model="remote/gone/m"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize("path", ["chat/completions", "completions", "responses", "messages", "messages/count_tokens", "embeddings", "tokenize", "detokenize"])  # fmt: skip
@pytest.mark.parametrize(
    "change",
    [
        {}, {"messages": 5}, {"messages": []}, {"messages": [5]}, {"stream": "yes"}, {"n": {}}, {"n": -1}, {"prompt": {}}, {"input": [[]]},
        {"stream_options": 5}, {"model": "remote/there/" + "m" * 500}, {"model": "remote/there/a\u0000"}, {"max_tokens": "x"},
    ],
)  # fmt: skip
def test_no_request_is_an_internal_error(client: TestClient, path: str, change: dict[str, Any]) -> None:
    answer = client.post(f"/v1/{path}", json=asked(prompt="hi", input="hi") | change)
    assert answer.status_code in {200, 400, 404, 502}, answer.text
    json.loads(answer.content)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", {"name": NUL, "kind": "openai", "url": "http://x/v1"}),
        ("POST", "", {"name": "b", "kind": "openai", "url": f"http://{NUL}/v1"}),
        ("POST", "", {"name": "b", "kind": "openai", "url": "http://x/v1", "key": NUL}),
        ("POST", "", {"name": "b", "kind": "openai", "url": "http://x/v1", "models": [NUL]}),
        ("POST", "", {"name": "b", "kind": "openai", "url": "http://x/v1", "accounts": [NUL]}),
        ("POST", "", {"name": "b", "kind": "mystery", "url": "http://x/v1", "key": KEY}),
        ("POST", "", {"name": "b", "kind": "openai", "url": 5, "key": KEY}),
        ("POST", "", {"name": "b", "kind": "openai", "url": "http://" + "x" * 3000, "key": KEY}),
        ("PATCH", "/there", {"key": 5}),
        ("PATCH", "/there", {"accounts": ["nobody"]}),
        ("GET", "/%00", None),
        ("GET", "/" + "x" * 3000, None),
        ("POST", "/nothing/test", None),
        ("DELETE", "/nothing", None),
    ],
)
def test_hostile_values(client: TestClient, method: str, path: str, body: Any) -> None:
    answer = client.request(method, f"/api/remotes{path}", json=body)
    assert answer.status_code in {400, 404}, answer.text
    assert KEY not in answer.text


def test_no_answer_holds_the_key(client: TestClient) -> None:
    added = client.post(
        "/api/remotes", json={"name": "b", "kind": "anthropic", "url": "http://127.0.0.1:1", "key": KEY}
    )
    assert added.status_code == 201
    assert added.json()["url"] == "http://127.0.0.1:1/v1"
    assert not added.json()["test"]["ok"]
    answers = [
        added,
        client.post("/api/remotes", json={"name": "b", "kind": "openai", "url": "http://x/v1", "key": KEY}),
        client.get("/api/remotes"),
        client.get("/api/remotes/there"),
        client.patch("/api/remotes/there", json={"key": KEY, "accounts": ["root"]}),
        client.post("/api/remotes/there/test"),
        client.get("/v1/models"),
        client.get("/v1/models/remote/there/m"),
        client.post("/v1/chat/completions", json=asked()),
    ]
    assert [answer.status_code for answer in answers] == [201, 409, 200, 200, 200, 200, 200, 200, 200]
    for answer in answers:
        assert KEY not in answer.text + str(answer.headers)
    assert client.delete("/api/remotes/b").status_code == 204


def test_runs_of_remote_models_are_counted_for_no_repo(client: TestClient, there: ScriptedUpstream) -> None:
    answer = client.post("/v1/chat/completions", json=asked())
    assert answer.json()["model"] == "remote/there/m"
    assert answer.json()["upstream_model"] == "m-2026"
    assert there.asked[-1].json["model"] == "m"
