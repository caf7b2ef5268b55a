"""One checked request in the API of an upstream, and the way of the answer back."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from seedstock.core.errors import Invalid
from seedstock.run.remote.anthropic_passage import AnthropicPassage
from seedstock.run.remote.chat_to_message import ChatToMessage
from seedstock.run.remote.chat_to_messages import messages_request
from seedstock.run.remote.message_to_chat import MessageToChat
from seedstock.run.remote.messages_to_chat import chat_request
from seedstock.run.remote.openai_passage import EmbeddingPassage, OpenAiPassage
from seedstock.run.remote.passage import Passage
from seedstock.run.remote.upstream import ApiKind, Upstream
from seedstock.run.request import EngineRequest
from seedstock.run.request_checks import Body

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
_LACKS = {
    ApiKind.OPENAI: {COUNT: "count no tokens"},
    ApiKind.ANTHROPIC: {COMPLETIONS: "have no completions, only chats", EMBEDDINGS: "make no embeddings"},
}
# Models of theirs that think refuse `max_tokens`; most servers of the same shape know no other name.
_NEW_LIMIT_HOSTS = ("api.openai.com", ".openai.azure.com")


class Translation(msgspec.Struct, frozen=True):
    """What is sent where, below the address of the upstream."""

    path: str
    body: bytes
    passage: Passage


def translate(upstream: Upstream, model: str, request: EngineRequest) -> Translation:
    """A request for an upstream's model of that name. Raises Invalid for what its API has no words for."""
    lack = _LACKS[upstream.kind].get(request.path)
    if lack is not None:
        raise Invalid(
            f"{request.model!r} is a remote model whose upstream speaks {_NAMES[upstream.kind]}: they {lack}"
        )
    body = msgspec.json.decode(request.body, type=Body)
    spoken = ApiKind.ANTHROPIC if request.path in {MESSAGES, COUNT} else ApiKind.OPENAI
    if spoken is upstream.kind:
        passage = _own_passage(request, body)
    elif spoken is ApiKind.OPENAI:
        options = body.get("stream_options")
        asked = isinstance(options, dict) and bool(options.get("include_usage"))
        body, passage = messages_request(body), MessageToChat(request.model, usage_asked=asked)
    else:
        body, passage = chat_request(body), ChatToMessage(request.model)
    path = request.path
    if spoken is not upstream.kind:
        path = MESSAGES if upstream.kind is ApiKind.ANTHROPIC else CHAT
    if path == CHAT and _takes_new_limit(upstream) and "max_tokens" in body:
        body["max_completion_tokens"] = body.pop("max_tokens")
    sent = msgspec.json.encode(body | {"model": model})
    return Translation(path.removeprefix("/v1"), sent, passage)


_NAMES = {ApiKind.OPENAI: "OpenAI's API", ApiKind.ANTHROPIC: "Anthropic's API"}


def _own_passage(request: EngineRequest, body: Body) -> Passage:
    if request.path in {MESSAGES, COUNT}:
        return AnthropicPassage(request.model, counts=request.path == COUNT)
    if request.path == EMBEDDINGS:
        return EmbeddingPassage(request.model)
    chosen, prompt = body.get("n", 1), body.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and not all(type(item) is int for item in prompt) else 1
    choices = (chosen if type(chosen) is int else 1) * prompts
    return OpenAiPassage(request.model, choices=choices, chat=request.path == CHAT)


def _takes_new_limit(upstream: Upstream) -> bool:
    host = urlsplit(upstream.base_url).hostname or ""
    return any(host == name or host.endswith(name) and name.startswith(".") for name in _NEW_LIMIT_HOSTS)
