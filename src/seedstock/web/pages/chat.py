"""Talk to a model in the browser."""

from __future__ import annotations

from starlette.responses import Response

from seedstock.accounts.permissions import Action, allowed
from seedstock.http.routing import Call
from seedstock.web.pages.answer import page_routes, show
from seedstock.web.pages.header import below, header_of
from seedstock.web.views.run import ChatConfigView, ChatPage

routes = page_routes()

_STARTERS = (
    "What is grafting, in two sentences?",
    "Write a haiku about an orchard in November.",
    "Explain overfitting to a gardener.",
)


@routes.add("GET", *below("/chat"))
def chat(call: Call) -> Response:
    """The chat page, or why there is none for this model or viewer."""
    at = call.hub.reading.repo_at(call.viewer, call.repo_id())
    blocked = None
    if not call.hub.models.runs(call.viewer, at):
        blocked = (
            "Nothing in this repository can be run by an engine of this hub: GGUF files can, weights of Llama, Mistral"
            " and Qwen models, and adapters of such models that are here."
        )
    elif call.viewer.anonymous:
        blocked = (
            "Running a model takes this hub's memory and processors, so it is for people who are signed in."
        )
    elif not allowed(call.viewer, Action.DOWNLOAD, at.repo):
        blocked = f"This model is open to members of {at.repo.namespace} only; ask one of its admins."
    config = ChatConfigView(
        model=at.repo.repo_id, context_length=at.metadata.context_length, starters=_STARTERS
    )
    return show(call, ChatPage(header_of(call, at), config, blocked))
