"""The API of chats as scripts use it, and what hostile values do to it."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from seedstock.core.viewer import TokenRole
from seedstock.http.app import build_app
from seedstock.wiring import Hub

HARM = "<script>alert(1)</script>"
MESSAGES = [
    {"id": "a0000000", "role": "user", "content": HARM, "attachments": [{"name": HARM, "text": HARM}]},
    {
        "id": "b0000000",
        "role": "assistant",
        "parent": "a0000000",
        "content": f"**So** {HARM}\n\n```\n{HARM}\n```\n\n[x](javascript:alert(1)) [y](/logout)",
        "reasoning": HARM,
        "model": HARM,
        "figures": {"tokens": 3, "firstMs": 1.5, "seconds": 0.5},
    },
]


@pytest.fixture
def clients(hub: Hub) -> dict[str, TestClient]:
    """Ada, bob, and nobody."""
    app = build_app(hub)
    found = {"": TestClient(app, headers={"accept": "text/html"})}
    for name in ("ada", "bob"):
        hub.accounts.create_user(name, password="correct horse battery")
        token = hub.accounts.create_token(name, role=TokenRole.WRITE)
        found[name] = TestClient(app, headers={"authorization": f"Bearer {token}"}, follow_redirects=False)
    return found


def test_an_export_can_be_put_back(clients: dict[str, TestClient]) -> None:
    ada = clients["ada"]
    settings = {"system": "Be brief.", "temperature": 0.5, "topP": 0.9, "maxTokens": 7, "seed": 3}
    made = ada.post(
        "/api/chats", json={"title": "T", "model": "ada/m", "settings": settings, "messages": MESSAGES}
    ).json()
    exported = ada.get(f"/api/chats/{made['id']}/export")
    assert exported.headers["content-disposition"] == f'attachment; filename="chat-{made["id"]}.json"'
    assert "shares" not in exported.json()
    ada.delete(f"/api/chats/{made['id']}").raise_for_status()
    assert ada.get(f"/api/chats/{made['id']}").status_code == 404
    again = ada.post("/api/chats", content=exported.content).json()
    kept = ("title", "model", "settings", "current", "count", "sizeBytes")
    assert [again[key] for key in kept] == [made[key] for key in kept]
    assert [m | {"createdAt": ""} for m in again["messages"]] == [
        m | {"createdAt": ""} for m in made["messages"]
    ]


def test_lists_are_searched_and_paged(clients: dict[str, TestClient]) -> None:
    ada = clients["ada"]
    for title in ("one", "two", "three"):
        ada.post("/api/chats", json={"title": title}).raise_for_status()
    page = ada.get("/api/chats?limit=2")
    rest = ada.get(page.links["next"]["url"]).json()
    assert [chat["title"] for chat in page.json() + rest] == ["three", "two", "one"]
    assert [chat["title"] for chat in ada.get("/api/chats?search=TW").json()] == ["two"]
    assert ada.delete("/api/chats").json() == {"deleted": 3}


def test_a_shared_page_is_harmless_and_says_what_it_is(clients: dict[str, TestClient]) -> None:
    ada, nobody = clients["ada"], clients[""]
    made = ada.post(
        "/api/chats", json={"title": HARM, "settings": {"system": HARM}, "messages": MESSAGES}
    ).json()
    link = ada.post(f"/api/chats/{made['id']}/shares", json={}).json()
    page = nobody.get("/chat/shared/" + link["token"])
    assert link["url"] == f"http://testserver/chat/shared/{link['token']}"
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "javascript:" not in page.text.replace("x](javascript:", "")
    assert "<strong>So</strong>" in page.text
    assert "&amp;lt;" not in page.text
    assert "A shared chat, as it was on" in page.text
    assert page.headers["x-robots-tag"] == "noindex, nofollow"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    as_json = nobody.get(f"/api/chats/shared/{link['token']}").json()
    assert [message["content"] for message in as_json["messages"]] == [m["content"] for m in MESSAGES]
    ada.delete(f"/api/chats/{made['id']}/shares/{link['token']}").raise_for_status()
    assert nobody.get(f"/chat/shared/{link['token']}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/chats", {"messages": "x"}),
        ("POST", "/api/chats", {"messages": [{"id": "x", "role": "user", "content": ""}]}),
        ("POST", "/api/chats", {"messages": [{"id": "a0000000", "role": "system", "content": ""}]}),
        ("POST", "/api/chats", {"title": 3}),
        ("POST", "/api/chats", {"settings": {"seed": "x"}}),
        ("POST", "/api/chats", {"model": "x" * 400}),
        ("POST", "/api/chats", {"messages": MESSAGES, "current": "f0000000"}),
        ("PATCH", "/api/chats/KEY", {"current": "f0000000"}),
        ("PATCH", "/api/chats/KEY", {"title": "\0 \n"[1:]}),
        ("POST", "/api/chats/KEY/shares", {"end": "\0"}),
        (
            "POST",
            "/api/chats/KEY/messages",
            {"messages": [{"id": "a0000000", "role": "user", "content": "other"}]},
        ),
        ("GET", "/api/chats/KEY/export?format=exe", None),
        ("DELETE", "/api/chats/KEY/shares/1-x", None),
        ("POST", "/api/arena/battles", {"models": ["a/b", "\0/c"], "prompt": "x"}),
        ("POST", "/api/arena/battles", {"models": ["ada/m"], "prompt": "x"}),
        ("POST", "/api/arena/battles", {"models": "ada/m", "prompt": "x"}),
        ("POST", "/api/arena/battles/none/vote", {"best": "0"}),
        ("POST", "/api/arena/battles/none/answers/99999999999999999999", None),
        ("GET", "/api/arena?seed=x", None),
    ],
)
def test_bad_input_is_answered_in_words(
    clients: dict[str, TestClient], method: str, path: str, body: object
) -> None:
    ada = clients["ada"]
    key = ada.post("/api/chats", json={"messages": MESSAGES}).json()["id"]
    answer = ada.request(method, path.replace("KEY", key), json=body)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]


def test_nul_and_lone_surrogates_are_stored_as_marks(clients: dict[str, TestClient]) -> None:
    body = b'{"title": "a\\u0000b", "messages": [{"id": "a0000000", "role": "user", "content": "x\\u0000y"}]}'
    made = clients["ada"].post("/api/chats", content=body)
    assert made.status_code == 200, made.text
    assert made.json()["messages"][0]["content"] == "x\ufffdy"
    assert made.json()["title"] == "a\ufffdb"


@pytest.mark.parametrize("path", ["/api/chats", "/api/chats/x", "/api/arena/votes", "/api/arena/battles/x"])
def test_strangers_are_asked_who_they_are(clients: dict[str, TestClient], path: str) -> None:
    assert clients[""].get(path).status_code == 401


def test_pages_answer_strangers_and_chats_that_are_not_there(clients: dict[str, TestClient]) -> None:
    for path in ("/chat", "/compare", "/arena"):
        assert clients[""].get(path).status_code == 200, path
    html = {"accept": "text/html"}
    assert clients["ada"].get("/chat", headers=html).status_code == 200
    for path in ("/chat/none", "/chat/shared/none", "/compare?battle=none"):
        assert clients["ada"].get(path, headers=html).status_code == 404, path
