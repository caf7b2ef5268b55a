"""Requests in vLLM's words, and its answers in those that the hub reads.

vLLM ignores parameters that it does not know: what has no counterpart is refused here by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from seedstock.core.errors import HubError, Invalid
from seedstock.run.engines.base import SERVED_MODEL, Endpoint
from seedstock.run.engines.vllm_engine import adapter_model
from seedstock.run.openai_answers import SERVED
from seedstock.run.request import Answers, EngineRequest, Events

Body = dict[str, Any]
_CHAT, _COMPLETION = "/v1/chat/completions", "/v1/completions"
_RENAMED = {"repeat_penalty": "repetition_penalty"}
_REFUSED = ("typical_p", "reasoning_effort")
# Each asks for what happens anyway, or is said in other words (`_with_tools`).
_NEEDLESS = frozenset(
    "cache_prompt modalities echo best_of suffix reasoning_format tool_choice parallel_tool_calls".split()
)
_USAGE_ONLY = b'"choices":[],"usage":{'
_TO_COUNT = b'"prompt_progress":{},"choices":[],"usage":{'
"""What `run.tally` counts and takes out of a stream."""


def as_vllm(request: EngineRequest, endpoint: Endpoint) -> EngineRequest:
    """The request for vLLM. Raises Invalid for what has no counterpart."""
    body = msgspec.json.decode(request.body, type=Body)
    model = SERVED_MODEL if endpoint.adapter is None else adapter_model(endpoint.adapter)
    translate = _TRANSLATED.get(request.path)
    if translate is None:
        raise Invalid("Models that run with vLLM answer OpenAI's chat and completions, not this API")
    asked = translate(body, endpoint) | {"model": model}
    counts = request.stream and request.tells_prompt and not _wants_usage(body)
    if counts:
        asked["stream_options"] = {"include_usage": True}
    if request.path == "/tokenize":
        answers: Answers = _Tokens(request.answers, shown=bool(body["with_pieces"]))
    elif request.path == "/detokenize":
        answers = _Text(request.answers)
    else:
        answers = _Named(request.answers, model, counts=counts)
    return msgspec.structs.replace(request, body=msgspec.json.encode(asked), answers=answers)


def lack_of(name: str) -> str:
    """What is said of a parameter that vLLM is not asked with."""
    return f"{name!r} cannot be used with models that run with vLLM; a GGUF of this model could"


def _wants_usage(body: Body) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _for_text(body: Body, endpoint: Endpoint) -> Body:
    for name in _REFUSED:
        if body.get(name):
            raise Invalid(lack_of(name))
    asked = {_RENAMED.get(name, name): value for name, value in body.items() if name not in _NEEDLESS}
    limit = asked.get("max_completion_tokens", asked.get("max_tokens"))
    if isinstance(limit, int):  # vLLM refuses more than the context holds
        asked["max_tokens"] = min(limit, endpoint.context_tokens)
        asked.pop("max_completion_tokens", None)
    grammar = asked.pop("grammar", None)
    if grammar is not None:
        asked["structured_outputs"] = {"grammar": grammar}
    schema = (asked.get("response_format") or {}).get("json_schema")
    if isinstance(schema, dict):
        schema.setdefault("name", "answer")
    return asked


def _for_chat(body: Body, endpoint: Endpoint) -> Body:
    asked = _with_tools(_for_text(body, endpoint), body)
    if body.get("reasoning_format") == "deepseek":
        raise Invalid("'reasoning_format' cannot be 'deepseek' with models that run with vLLM")
    if body["messages"][-1].get("role") == "assistant":
        asked |= {"add_generation_prompt": False, "continue_final_message": True}
    return asked


def _with_tools(asked: Body, body: Body) -> Body:
    """Tools in the prompt, where the answer is held to a format: that of a forced call, or one of the caller's.

    vLLM reads calls that a model chose to make with a parser for each family of models, and none is known to fit.
    """
    tools = asked.pop("tools", None)
    if not tools or body.get("tool_choice") == "none":
        return asked
    if (asked.get("response_format") or {}).get("type") not in {"json_schema", "json_object"}:
        raise Invalid(
            "'tools' can only be forced of models that run with vLLM: 'tool_choice' must be 'required' or name one",
            hint="a GGUF of this model may choose",
        )
    return asked | {"tools": tools, "tool_choice": "none"}  # else it looks for calls itself


def _for_tokens(body: Body, _: Endpoint) -> Body:
    return {
        "prompt": body["content"],
        "add_special_tokens": body["add_special"],
        "return_token_strs": body["with_pieces"],
    }


_TRANSLATED: dict[str, Callable[[Body, Endpoint], Body]] = {
    _CHAT: _for_chat,
    _COMPLETION: _for_text,
    "/tokenize": _for_tokens,
    "/detokenize": lambda body, _: body,
}


class _Passed:
    """Answers that pass as they are."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def whole(self, answer: bytes) -> bytes:
        """The caller's JSON."""
        return self._answers.whole(answer)

    def events(self) -> Events:
        """A fresh stream."""
        return self._answers.events()

    def error_event(self, error: HubError) -> bytes:
        """As for any answer."""
        return self._answers.error_event(error)


class _Named(_Passed):
    """Answers under the engine's usual name for the model; with `counts`, usage that only the hub asked for."""

    def __init__(self, answers: Answers, model: str, *, counts: bool) -> None:
        super().__init__(answers)
        self._named = b'"model":' + msgspec.json.encode(model)
        self._counts = counts

    def whole(self, answer: bytes) -> bytes:
        """The caller's JSON."""
        return super().whole(answer.replace(self._named, SERVED))

    def events(self) -> Events:
        """A fresh stream."""
        return _NamedEvents(super().events(), self._named, counts=self._counts)


class _NamedEvents:
    def __init__(self, events: Events, named: bytes, *, counts: bool) -> None:
        self._events = events
        self._named = named
        self._counts = counts

    @property
    def finished(self) -> bool:
        """Whether the answer is whole."""
        return self._events.finished

    def feed(self, events: bytes) -> bytes:
        """What the caller gets."""
        told = events.replace(self._named, SERVED)
        return self._events.feed(told.replace(_USAGE_ONLY, _TO_COUNT) if self._counts else told)


class _Tokens(_Passed):
    """Tokens as llama.cpp tells them."""

    def __init__(self, answers: Answers, *, shown: bool) -> None:
        super().__init__(answers)
        self._shown = shown

    def whole(self, answer: bytes) -> bytes:
        """The caller's JSON."""
        told = msgspec.json.decode(answer, type=Body)
        tokens: object = told["tokens"]
        if self._shown:
            pairs = zip(told["tokens"], told["token_strs"], strict=True)
            tokens = [{"id": token, "piece": piece} for token, piece in pairs]
        return super().whole(msgspec.json.encode({"tokens": tokens}))


class _Text(_Passed):
    """The text of tokens as llama.cpp tells it."""

    def whole(self, answer: bytes) -> bytes:
        """The caller's JSON."""
        return super().whole(
            msgspec.json.encode({"content": msgspec.json.decode(answer, type=Body)["prompt"]})
        )
