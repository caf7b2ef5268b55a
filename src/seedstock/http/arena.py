"""The arena: battles of the caller, their answers as streams, votes, and the table of all votes."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from seedstock.arena.service import LABELS, Battle, Turn, hide_names
from seedstock.arena.table import Table
from seedstock.chats.service import ChatSettings
from seedstock.core.clock import iso
from seedstock.core.errors import HubError
from seedstock.http.battle_stream import BattleStream
from seedstock.http.call import Call
from seedstock.http.generation import EventsResponse, generate
from seedstock.http.hf_api.listing import next_link
from seedstock.http.metering import admit
from seedstock.http.routing import Routes, json_response
from seedstock.http.threads import in_thread
from seedstock.run.apis import Api, parse_request

routes = Routes()

_MOST = 500
_SMALL = 400_000
_MAX_ID = (1 << 63) - 1


class BeginBody(msgspec.Struct):
    """`POST /api/arena/battles`."""

    models: list[str]
    prompt: str
    blind: bool = True
    settings: ChatSettings = msgspec.field(default_factory=ChatSettings)


class AskBody(msgspec.Struct):
    """`POST /api/arena/battles/{id}/prompts`."""

    prompt: str


class VoteBody(msgspec.Struct):
    """`POST /api/arena/battles/{id}/vote`."""

    best: str


@routes.add("GET", "/api/arena")
def table(call: Call) -> Table:
    """Strengths, intervals, ranks and wins between pairs, of the models that the caller may see; `?seed=` (0)."""
    return call.hub.arena.table(call.viewer, call.number("seed", 0, most=1 << 32))


@routes.add("GET", "/api/arena/votes")
def votes(call: Call) -> Response:
    """The caller's votes with prompts, answers and exact revisions, newest first; `?limit=` (100), next page in `Link`."""
    limit = max(1, call.number("limit", 100, most=_MOST))
    found = call.hub.arena.votes(call.viewer, limit + 1, call.number("cursor", 0, most=_MAX_ID) or None)
    headers = {"Link": next_link(call, found[limit - 1].row.id)} if len(found) > limit else {}
    return json_response([_shown(battle) for battle in found[:limit]], headers=headers)


@routes.add("POST", "/api/arena/battles", limit_bytes=_SMALL)
def begin(call: Call) -> dict[str, Any]:
    """Put a prompt to two to four models, in an order that the hub draws; blind unless `blind` is false."""
    body = call.json(BeginBody)
    return _shown(
        call.hub.arena.begin(call.viewer, body.models, body.prompt, body.settings, blind=body.blind)
    )


@routes.add("GET", "/api/arena/battles/{id}")
def battle(call: Call) -> dict[str, Any]:
    """A comparison; which model is which only after the vote, if it is blind."""
    return _shown(call.hub.arena.get(call.viewer, call.param("id")))


@routes.add("DELETE", "/api/arena/battles/{id}", limit_bytes=_SMALL)
def delete(call: Call) -> dict[str, Any]:
    """Delete a comparison with its answers and its vote."""
    call.hub.arena.delete(call.viewer, call.param("id"))
    return {}


@routes.add("POST", "/api/arena/battles/{id}/prompts", limit_bytes=_SMALL)
def ask(call: Call) -> dict[str, Any]:
    """Go on with another prompt."""
    return _shown(call.hub.arena.ask(call.viewer, call.param("id"), call.json(AskBody).prompt))


@routes.add("POST", "/api/arena/battles/{id}/answers/{position:int}", stream=True)
async def answer(call: Call) -> Response:
    """Have one of the models answer the last prompt: a stream of events like a chat's, without names."""
    arena = call.hub.arena
    await in_thread(admit, call)
    turn = await in_thread(arena.turn, call.viewer, call.param("id"), int(call.param("position")))
    try:
        response = await generate(call, parse_request(Api.CHAT, _body(turn)))
    except HubError as error:
        if not turn.battle.revealed:
            hide_names(error, turn)
        raise
    assert isinstance(response, EventsResponse)
    return EventsResponse(BattleStream(response.events, turn, arena))


@routes.add("POST", "/api/arena/battles/{id}/vote", limit_bytes=_SMALL)
def vote(call: Call) -> dict[str, Any]:
    """Say which answer is best: its number, `tie` or `bad`. Once; the answer says which model is which."""
    return _shown(call.hub.arena.vote(call.viewer, call.param("id"), call.json(VoteBody).best))


def _body(turn: Turn) -> bytes:
    settings = turn.battle.row.settings
    sampling = {
        name: settings[key]
        for name, key in (
            ("temperature", "temperature"),
            ("top_p", "topP"),
            ("max_tokens", "maxTokens"),
            ("seed", "seed"),
        )
        if settings.get(key) is not None
    }
    body = {"model": turn.model, "messages": turn.messages, "stream": True}
    return msgspec.json.encode(body | {"stream_options": {"include_usage": True}} | sampling)


def _shown(battle: Battle) -> dict[str, Any]:
    contestants = []
    for contestant in battle.contestants:
        answers = [
            {"content": answer.content} | answer.details
            for answer in battle.answers
            if answer.position == contestant.position
        ]
        shown: dict[str, Any] = {"label": LABELS[contestant.position], "answers": answers}
        if battle.revealed:
            closed = contestant.repo_id is None
            shown |= {"model": contestant.model, "revision": contestant.revision, "closed": closed}
        else:
            # The count of tokens tells a model by its tokenizer.
            shown["answers"] = [
                {key: a[key] for key in ("content", "reasoning") if key in a} for a in answers
            ]
        contestants.append(shown)
    return {
        "id": battle.row.key,
        "blind": battle.row.blind,
        "prompts": battle.row.prompts,
        "settings": battle.row.settings,
        "contestants": contestants,
        "best": battle.row.outcome,
        "createdAt": iso(battle.row.created_at),
        "votedAt": iso(battle.row.voted_at) if battle.row.voted_at is not None else None,
    }
