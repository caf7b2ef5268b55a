"""The stops where people would look: a chat that is kept and shared, and a blind comparison of two models."""

from __future__ import annotations

import json
import secrets
from typing import Any

import httpx

from seedstock.tour.own import QUESTION, TAUGHT, ask
from seedstock.tour.stops import TourFailed, Trip

_LABELS = "ABCD"


def chat(trip: Trip) -> None:
    """Keep a chat with the variant, share it, and read it as somebody who only has the link."""
    answer = ask(trip, TAUGHT)
    first, second = secrets.token_hex(8), secrets.token_hex(8)
    said = [
        {"id": first, "role": "user", "content": QUESTION},
        {"id": second, "parent": first, "role": "assistant", "content": answer, "model": TAUGHT},
    ]
    with _client(trip) as client:
        kept = _post(client, "/api/chats", {"title": "Who are you?", "model": TAUGHT, "messages": said})
        link = _post(client, f"/api/chats/{kept['id']}/shares", {})["url"]
    page = httpx.get(link, timeout=60)
    if page.status_code != 200 or "Seedling" not in page.text:
        raise TourFailed(f"the shared chat answers {page.status_code}", hint="please report this")
    trip.note(f"the chat: {trip.url}/chat/{kept['id']}")
    trip.note(f"for whoever has the link: {link}")


def compare(trip: Trip) -> None:
    """Have the model and its variant answer side by side, nameless, and vote for who says what it was taught."""
    with _client(trip) as client:
        order = {
            "models": [trip.repo, TAUGHT],
            "prompt": QUESTION,
            "settings": {"temperature": 0, "maxTokens": 40},
        }
        battle = _post(client, "/api/arena/battles", order)
        answers = [_streamed(client, f"/api/arena/battles/{battle['id']}/answers/{at}") for at in range(2)]
        for label, answer in zip(_LABELS, answers, strict=False):
            trip.note(f"Model {label}: {answer}")
        best = next((at for at, answer in enumerate(answers) if "seedling" in answer.lower()), None)
        voted = _post(
            client, f"/api/arena/battles/{battle['id']}/vote", {"best": "bad" if best is None else str(best)}
        )
        names = [contestant["model"] for contestant in voted["contestants"]]
        if best is None or names[best] != TAUGHT:
            raise TourFailed("the variant does not say what it was taught", hint="please report this")
        trip.note(f"voted for Model {_LABELS[best]}, which was {names[best]}; the table: {trip.url}/arena")


def _client(trip: Trip) -> httpx.Client:
    return httpx.Client(base_url=trip.url, headers={"Authorization": f"Bearer {trip.token}"}, timeout=300)


def _post(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    if answer.status_code != 200:
        raise TourFailed(f"{path} answered {answer.status_code}: {answer.text[:200]}")
    found: dict[str, Any] = answer.json()
    return found


def _streamed(client: httpx.Client, path: str) -> str:
    """The text of a stream of chat events."""
    text = ""
    with client.stream("POST", path) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                choices = json.loads(line[6:]).get("choices", [])
                text += "".join(choice["delta"].get("content") or "" for choice in choices)
    return " ".join(text.split())
