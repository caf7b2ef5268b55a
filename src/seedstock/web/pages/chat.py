"""Chat with a model in the browser, chats that somebody shared, and the chat tab of a model."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from starlette.responses import Response

from seedstock.accounts.permissions import Action, allowed
from seedstock.chats.messages import Message
from seedstock.http.call import Call
from seedstock.web.markdown import render_answer
from seedstock.web.pages.answer import login_href, page_routes, redirect, show
from seedstock.web.pages.header import below, header_of
from seedstock.web.views.chat import ChatPage, SharedChatPage, SharedFileView, SharedMessageView
from seedstock.web.views.run import ChatBlockedPage

routes = page_routes()

_STARTERS = (
    "What is grafting, in two sentences?",
    "Write a haiku about an orchard in November.",
    "Explain overfitting to a gardener.",
)
_SIGN_IN = (
    "Running a model takes this hub's memory and processors, so it is for people who are signed in; their chats are"
    " kept for them alone."
)


@routes.add("GET", "/chat")
def new_chat(call: Call) -> Response:
    """A new chat, with the model that `?model=` names."""
    blocked = _SIGN_IN if call.viewer.anonymous else None
    model = (call.query("model") or "")[:300]
    return show(call, ChatPage(None, model, _STARTERS, blocked, login_href(call)))


@routes.add("GET", "/chat/{id}")
def one_chat(call: Call) -> Response:
    """A chat of the viewer's."""
    found = call.hub.chats.get(call.viewer, call.param("id"))
    return show(call, ChatPage(found.row.key, found.row.model, _STARTERS))


@routes.add("GET", "/chat/shared/{token}")
def shared_chat(call: Call) -> Response:
    """A shared chat, to whoever has its link."""
    found = call.hub.chats.shared(call.param("token"))
    page = SharedChatPage(
        title=found.title,
        system=found.system,
        shared_at=datetime.fromisoformat(found.shared_at),
        messages=tuple(_shown(message) for message in found.messages),
    )
    response = show(call, page)
    # The address is the key: it goes neither to other hosts nor into an index.
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    response.headers["Cache-Control"] = "private, no-store"
    return response


@routes.add("GET", *below("/chat"))
def chat_tab(call: Call) -> Response:
    """On to a chat with this model, or why there is none for this model or viewer."""
    at = call.hub.reading.repo_at(call.viewer, call.repo_id())
    blocked = None
    if not call.hub.models.runs(call.viewer, at):
        blocked = (
            "Nothing in this repository can be run by an engine of this hub: GGUF files can, weights of Llama, Mistral"
            " and Qwen models, and adapters of such models that are here."
        )
    elif not call.hub.models.writes(call.viewer, at):
        blocked = "This model makes no text: it turns texts into vectors, at /v1/embeddings."
    elif call.viewer.anonymous:
        blocked = _SIGN_IN
    elif not allowed(call.viewer, Action.DOWNLOAD, at.repo):
        blocked = f"This model is open to members of {at.repo.namespace} only; ask one of its admins."
    if blocked is None:
        return redirect(f"/chat?model={quote(at.repo.repo_id, safe='/')}")
    return show(call, ChatBlockedPage(header_of(call, at), blocked))


def _shown(message: Message) -> SharedMessageView:
    if message.role == "user":
        files = tuple(SharedFileView(file.name, file.text) for file in message.attachments)
        return SharedMessageView(True, text=message.content, files=files)
    html = render_answer(message.content)
    return SharedMessageView(False, html=html, model=message.model or "", reasoning=message.reasoning)
