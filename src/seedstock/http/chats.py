"""Chats of the caller: history, messages, links that share them, export."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from seedstock.chats.export import to_markdown
from seedstock.chats.messages import Message, branch
from seedstock.chats.service import Changes, Chat, ChatSettings
from seedstock.core.clock import iso
from seedstock.core.errors import Invalid
from seedstock.db.chats import ChatRow
from seedstock.http.call import Call
from seedstock.http.hf_api.listing import next_link
from seedstock.http.routing import Routes, json_response

routes = Routes()

_MOST = 200
_SMALL = 200_000


class CreateBody(msgspec.Struct):
    """`POST /api/chats`: as an export is, so that one can be put back."""

    title: str = "New chat"
    model: str = ""
    settings: ChatSettings = msgspec.field(default_factory=ChatSettings)
    messages: list[Message] = msgspec.field(default_factory=list)
    current: str | None = None


class AddBody(msgspec.Struct):
    """`POST /api/chats/{id}/messages`."""

    messages: list[Message]
    current: str | None = None


class ShareBody(msgspec.Struct):
    """`POST /api/chats/{id}/shares`."""

    end: str | None = None


@routes.add("GET", "/api/chats")
def chats(call: Call) -> Response:
    """The caller's chats, the last changed first; `?search=` in titles and texts, `?limit=` (50), next page in `Link`."""
    limit = max(1, call.number("limit", 50, most=_MOST))
    offset = call.number("cursor", 0, most=10**6)
    found = call.hub.chats.page(call.viewer, call.query("search") or "", limit + 1, offset)
    headers = {"Link": next_link(call, offset + limit)} if len(found) > limit else {}
    return json_response([_head(row) for row in found[:limit]], headers=headers)


@routes.add("POST", "/api/chats")
def create(call: Call) -> dict[str, Any]:
    """Begin a chat; with the body of an export, all of it is put back."""
    body = call.json(CreateBody)
    changes = Changes(body.title, body.model, body.settings, body.current)
    return _whole(call, call.hub.chats.create(call.viewer, changes, body.messages))


@routes.add("DELETE", "/api/chats", limit_bytes=_SMALL)
def delete_all(call: Call) -> dict[str, Any]:
    """Delete every chat of the caller's, with all links to them."""
    return {"deleted": call.hub.chats.delete(call.viewer, None)}


@routes.add("GET", "/api/chats/shared/{token}")
def shared(call: Call) -> dict[str, Any]:
    """A shared chat, to whoever has its link."""
    found: dict[str, Any] = msgspec.to_builtins(call.hub.chats.shared(call.param("token")))
    return found


@routes.add("GET", "/api/chats/{id}")
def chat(call: Call) -> dict[str, Any]:
    """A chat with every message, its branches and its links."""
    return _whole(call, call.hub.chats.get(call.viewer, call.param("id")))


@routes.add("PATCH", "/api/chats/{id}", limit_bytes=_SMALL)
def change(call: Call) -> dict[str, Any]:
    """Rename a chat, or set its model, its settings or the message that the branch on show ends with."""
    return _head(call.hub.chats.change(call.viewer, call.param("id"), call.json(Changes)))


@routes.add("DELETE", "/api/chats/{id}", limit_bytes=_SMALL)
def delete(call: Call) -> dict[str, Any]:
    """Delete a chat with its messages and links; nothing of it is kept."""
    return {"deleted": call.hub.chats.delete(call.viewer, call.param("id"))}


@routes.add("POST", "/api/chats/{id}/messages")
def add(call: Call) -> dict[str, Any]:
    """Add messages to a chat; those that are in it already are passed over, so that a lost request is sent again."""
    body = call.json(AddBody)
    return _head(call.hub.chats.add(call.viewer, call.param("id"), body.messages, body.current))


@routes.add("POST", "/api/chats/{id}/shares", limit_bytes=_SMALL)
def share(call: Call) -> dict[str, Any]:
    """Make a link that shows one branch as it is now to whoever has it."""
    token = call.hub.chats.share(call.viewer, call.param("id"), call.json(ShareBody).end)
    return {"token": token, "url": _url(call, token)}


@routes.add("DELETE", "/api/chats/{id}/shares/{token}", limit_bytes=_SMALL)
def revoke(call: Call) -> dict[str, Any]:
    """Have a link open nothing any more."""
    call.hub.chats.revoke(call.viewer, call.param("id"), call.param("token"))
    return {}


@routes.add("GET", "/api/chats/{id}/export")
def export(call: Call) -> Response:
    """A chat as a file: `?format=json` (every branch) or `markdown` (the branch on show)."""
    form = call.query("format") or "json"
    found = call.hub.chats.get(call.viewer, call.param("id"))
    name = f"chat-{found.row.key}"
    if form == "markdown":
        shown = branch(found.messages, found.row.current)
        text = to_markdown(found.row.title, found.settings.system, shown)
        return _file(text.encode(), f"{name}.md", "text/markdown; charset=utf-8")
    if form != "json":
        raise Invalid(f"format is json or markdown, not {form[:20]!r}")
    content = {key: value for key, value in _whole(call, found).items() if key != "shares"}
    return _file(msgspec.json.format(msgspec.json.encode(content)), f"{name}.json", "application/json")


def _file(content: bytes, name: str, media_type: str) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(content, media_type=media_type, headers=headers)


def _url(call: Call, token: str) -> str:
    return f"{call.base_url}/chat/shared/{token}"


def _head(row: ChatRow) -> dict[str, Any]:
    return {
        "id": row.key,
        "title": row.title,
        "model": row.model,
        "settings": row.settings,
        "current": row.current,
        "count": row.messages,
        "sizeBytes": row.size_bytes,
        "createdAt": iso(row.created_at),
        "updatedAt": iso(row.updated_at),
    }


def _whole(call: Call, chat: Chat) -> dict[str, Any]:
    links = [{"token": token, "url": _url(call, token), "createdAt": iso(at)} for token, at in chat.shares]
    return _head(chat.row) | {"messages": chat.messages, "shares": links}
