"""What a battle's streams say: the text alone, whoever answers, and what is kept of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from seedstock.core.limits import Limits
from seedstock.core.viewer import ANONYMOUS, TokenRole
from seedstock.http.app import build_app
from seedstock.remotes.remote import NewRemote
from seedstock.run.remote.upstream import ApiKind
from seedstock.usage.settings import LimitSettings
from seedstock.wiring import Hub
from tests.factories.upstream import Exchange, scripted_upstream

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
NAMES = ("remote/acme/gpt-large", "remote/acme/gpt-small")
BAD: set[str] = set()
"""Models that refuse now."""
BROKEN: set[str] = set()
"""Models that begin an answer and break off."""


def chunk(model: str, **delta: str) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta, "finish_reason": None}]
    return {
        "id": f"x-{model}",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": model,
        "choices": choices,
    }


def script(asked: Exchange) -> None:
    model = asked.json["model"]
    if model in BAD:
        asked.answer(400, {"error": {"message": f"The model {model} of acme is tired", "type": "invalid"}})
        return
    if model in BROKEN:
        asked.events(chunk(model, content="To "))
        return
    said = "".join(message["content"] for message in asked.json["messages"])
    asked.events(
        chunk(model, role="assistant", reasoning_content="Hm."),
        chunk(model, content="To <b>"),
        chunk(model, content=said),
        chunk(model)
        | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        | {"usage": {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}},
        b"data: [DONE]\n\n",
    )


@pytest.fixture
def client(hub: Hub) -> Iterator[TestClient]:
    """An admin's, with a remote of two models."""
    BAD.clear()
    BROKEN.clear()
    hub.accounts.create_user("root", admin=True)
    token = hub.accounts.create_token("root", role=TokenRole.WRITE)
    viewer = hub.accounts.viewer_for_token(token)
    with scripted_upstream(script) as upstream:
        models = [name.rpartition("/")[2] for name in NAMES]
        hub.remotes.add(viewer, NewRemote("acme", ApiKind.OPENAI, f"{upstream.url}/v1", None, models=models))
        with TestClient(build_app(hub), headers={"authorization": f"Bearer {token}"}) as client:
            yield client


def begin(client: TestClient, **change: Any) -> str:
    made = client.post("/api/arena/battles", json={"models": NAMES, "prompt": "Why?"} | change)
    assert made.status_code == 200, made.text
    return f"/api/arena/battles/{made.json()['id']}"


def text_of(stream: str) -> str:
    events = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events[:-1]]
    return "".join(delta.get("content", "") for delta in deltas)


def test_streams_and_what_is_kept_name_nobody(client: TestClient) -> None:
    path = begin(client)
    for position in range(2):
        stream = client.post(f"{path}/answers/{position}").text
        assert text_of(stream) == "To <b>Why?"
        assert '"reasoning_content":"Hm."' in stream
        for word in ("acme", "gpt", "model", "usage", "x-"):
            assert word not in stream
        assert client.post(f"{path}/answers/{position}").status_code == 409
    hidden = client.get(path).text
    assert "acme" not in hidden
    assert "gpt" not in hidden
    assert client.get(path).json()["contestants"][0]["answers"] == [
        {"content": "To <b>Why?", "reasoning": "Hm."}
    ]
    client.post(f"{path}/prompts", json={"prompt": "And?"}).raise_for_status()
    assert text_of(client.post(f"{path}/answers/1").text) == "To <b>Why?To <b>Why?And?"
    client.post(f"{path}/answers/0").raise_for_status()
    shown = client.post(f"{path}/vote", json={"best": "0"}).json()["contestants"]
    assert {each["model"] for each in shown} == set(NAMES)
    assert all(each["closed"] and each["revision"] is None for each in shown)
    assert shown[0]["answers"][0]["tokens"] == 3


def test_a_failure_names_nobody_and_can_be_tried_again(client: TestClient) -> None:
    path = begin(client)
    BAD.update(name.rpartition("/")[2] for name in NAMES)
    refused = client.post(f"{path}/answers/0")
    assert refused.status_code >= 400
    for word in ("gpt", "acme"):
        assert word not in refused.text
        assert word not in str(refused.headers)
    assert client.get(path).json()["contestants"][0]["answers"] == []
    BAD.clear()
    assert text_of(client.post(f"{path}/answers/0").text) == "To <b>Why?"


def test_an_answer_that_breaks_off_is_not_kept(client: TestClient) -> None:
    path = begin(client)
    BROKEN.update(name.rpartition("/")[2] for name in NAMES)
    stream = client.post(f"{path}/answers/0").text
    assert '"content":"To "' in stream
    assert '"error":{"message":"Model A did not answer"}' in stream
    assert client.get(path).json()["contestants"][0]["answers"] == []
    BROKEN.clear()
    assert text_of(client.post(f"{path}/answers/0").text) == "To <b>Why?"


def test_a_remote_that_cannot_be_reached_is_not_named(client: TestClient, hub: Hub) -> None:
    token = client.headers["authorization"].removeprefix("Bearer ")
    viewer = hub.accounts.viewer_for_token(token)
    hub.remotes.add(viewer, NewRemote("far", ApiKind.OPENAI, "http://127.0.0.1:9/v1", None, models=["m"]))
    path = begin(client, models=[NAMES[0], "remote/far/m"])
    texts = [client.post(f"{path}/answers/{position}").text for position in range(2)]
    assert all("far" not in text for text in texts)
    assert any("did not answer" in text for text in texts)


def test_answers_are_held_to_limits(client: TestClient, hub: Hub) -> None:
    settings = LimitSettings(hub.database, hub.accounts, hub.clock)
    settings.set_limits("root", Limits(requests_per_minute=1), actor="test")
    path = begin(client)
    assert text_of(client.post(f"{path}/answers/0").text) == "To <b>Why?"
    refused = client.post(f"{path}/answers/1")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert "minute" in refused.json()["error"]


def test_settings_reach_the_models(client: TestClient) -> None:
    path = begin(client, settings={"system": "Be brief. ", "temperature": 0.5, "maxTokens": 9, "seed": 4})
    assert text_of(client.post(f"{path}/answers/0").text) == "To <b>Be brief. Why?"


def test_closed_models_stand_in_the_table_of_those_who_may_use_them(client: TestClient, hub: Hub) -> None:
    path = begin(client)
    for position in range(2):
        client.post(f"{path}/answers/{position}")
    client.post(f"{path}/vote", json={"best": "0"}).raise_for_status()
    standings = client.get("/api/arena").json()["standings"]
    assert {row["model"]: row["closed"] for row in standings} == dict.fromkeys(NAMES, True)
    assert "gpt-large" in client.get("/arena", headers={"accept": "text/html"}).text
    assert hub.arena.table(ANONYMOUS).votes == 0


def test_a_remote_model_that_is_not_offered_is_not_there(client: TestClient) -> None:
    answer = client.post("/api/arena/battles", json={"models": [NAMES[0], "remote/acme/x"], "prompt": "Why?"})
    assert answer.status_code == 404
