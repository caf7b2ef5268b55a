"""Checking an OpenAI request body before it reaches native code, and writing the one that the engine gets.

Only known parameters pass. One that would be ignored (`echo`, `suffix`, …) is refused rather than
dropped, since the answer would silently be to another question; those that only label a request are
dropped. Null means absent, as in OpenAI's API.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec

from seedstock.core.errors import Invalid, TooLarge
from seedstock.run.engines.base import SERVED_MODEL

MAX_BODY_BYTES = 8 << 20
MAX_MESSAGES = 2048
MAX_CHOICES = 16
MAX_STOPS = 16
MAX_PROMPTS = 64
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})

Body = dict[str, object]
Check = Callable[[object], str]
"""Says what a value should have been, or nothing if it is fine."""


class Kind(StrEnum):
    """The two generating operations; the value is the path below `/v1/`."""

    CHAT = "chat/completions"
    COMPLETION = "completions"


class OpenAiRequest(msgspec.Struct, frozen=True):
    """A checked request: `body` is what the engine gets, `model` what the caller wants to read back."""

    kind: Kind
    model: str
    stream: bool
    body: bytes


def parse_openai_request(kind: Kind, data: bytes) -> OpenAiRequest:
    """Check the body of a request. Raises Invalid, naming the parameter, and TooLarge."""
    if len(data) > MAX_BODY_BYTES:
        raise TooLarge(f"The request body has {len(data)} bytes; at most {MAX_BODY_BYTES} are accepted")
    try:
        body = msgspec.json.decode(data, type=Body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Invalid(f"The request body is not a JSON object: {error}") from None
    body = {name: value for name, value in body.items() if value is not None}
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Invalid("'model' must be a non-empty string")
    _check_parameters(body, _CHECKS[kind])
    if kind is Kind.CHAT:
        body["messages"] = _checked_messages(body.get("messages"))
    else:
        _check_prompt(body.get("prompt"))
    if "max_completion_tokens" in body:
        body["max_tokens"] = body.pop("max_completion_tokens")
    forwarded = {name: value for name, value in body.items() if name not in _LABELS} | {"model": SERVED_MODEL}
    return OpenAiRequest(kind, model, bool(body.get("stream", False)), msgspec.json.encode(forwarded))


def _check_parameters(body: Body, checks: dict[str, Check]) -> None:
    for name, value in body.items():
        if name in _LABELS:
            continue
        check = checks.get(name)
        if check is None:
            raise Invalid(
                f"Unknown parameter: {name[:100]!r}", hint="see the API page for those that are supported"
            )
        wanted = check(value)
        if wanted:
            raise Invalid(f"{name!r} must be {wanted}")


def _checked_messages(messages: object) -> list[Body]:
    if not isinstance(messages, list) or not messages:
        raise Invalid("'messages' must be a non-empty list")
    if len(messages) > MAX_MESSAGES:
        raise Invalid(f"'messages' has {len(messages)} items; at most {MAX_MESSAGES} are accepted")
    return [_checked_message(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _checked_message(message: object, where: str) -> Body:
    if not isinstance(message, dict):
        raise Invalid(f"'{where}' must be an object")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        raise Invalid(f"'{where}.role' must be one of {', '.join(sorted(_ROLES))}")
    if content is None and role != "assistant":
        raise Invalid(f"'{where}.content' is missing")
    if isinstance(content, list):
        for part in content:
            # Anything but text would make the engine fetch addresses that the caller names.
            if (
                not isinstance(part, dict)
                or part.get("type") != "text"
                or not isinstance(part.get("text"), str)
            ):
                raise Invalid(
                    f"'{where}.content' may hold text parts only", hint="images and audio are not supported"
                )
    elif content is not None and not isinstance(content, str):
        raise Invalid(f"'{where}.content' must be a string or a list of text parts")
    calls = message.get("tool_calls")
    if calls is not None and (_objects(calls) or any(call.get("type") != "function" for call in calls)):
        raise Invalid(f"'{where}.tool_calls' must be a list of calls of type 'function'")
    return message | {"role": "system"} if role == "developer" else message  # templates know only `system`


def _check_prompt(prompt: object) -> None:
    if isinstance(prompt, str) and prompt:
        return
    if not isinstance(prompt, list) or not prompt:
        raise Invalid("'prompt' must be a non-empty string, a list of strings, or a list of token ids")
    strings = all(isinstance(item, str) and item for item in prompt)
    tokens = all(type(item) is int and item >= 0 for item in prompt)
    if not (strings or tokens) or (strings and len(prompt) > MAX_PROMPTS):
        raise Invalid(f"'prompt' must hold at most {MAX_PROMPTS} non-empty strings, or token ids")


def _number(low: float, high: float) -> Check:
    def check(value: object) -> str:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        return "" if fits else f"a number from {low:g} to {high:g}"

    return check


def _integer(low: int, high: int) -> Check:
    return lambda value: (
        "" if type(value) is int and low <= value <= high else f"an integer from {low} to {high}"
    )


def _is(kind: type, words: str) -> Check:
    return lambda value: "" if isinstance(value, kind) else words


def _only(allowed: object) -> Check:
    return lambda value: "" if value == allowed else f"{allowed!r}: nothing else is supported"


def _stop(value: object) -> str:
    stops = [value] if isinstance(value, str) else value
    fits = (
        isinstance(stops, list) and len(stops) <= MAX_STOPS and all(isinstance(s, str) and s for s in stops)
    )
    return "" if fits else f"a non-empty string or a list of at most {MAX_STOPS} of them"


def _objects(value: object) -> str:
    fits = isinstance(value, list) and all(isinstance(item, dict) for item in value)
    return "" if fits else "a list of objects"


def _text_or_object(value: object) -> str:
    return "" if isinstance(value, str | dict) else "a string or an object"


_boolean, _object, _text = _is(bool, "true or false"), _is(dict, "an object"), _is(str, "a string")
_tokens = _integer(1, 1 << 24)  # the engine answers a request for 0 tokens with 1
_LABELS = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "verbosity"}
)
_COMMON: dict[str, Check] = {
    "model": _text,
    "stream": _boolean,
    "stream_options": _object,
    "max_tokens": _tokens,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "n": _integer(1, MAX_CHOICES),
    "stop": _stop,
    "seed": _integer(-(1 << 63), (1 << 63) - 1),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "logit_bias": _object,
    # llama.cpp's own, as other servers spell them too
    "top_k": _integer(-1, 1 << 24),
    "min_p": _number(0, 1),
    "typical_p": _number(0, 1),
    "repeat_penalty": _number(0, 10),
    "grammar": _text,
    "ignore_eos": _boolean,
    "cache_prompt": _boolean,
}
_CHECKS: dict[Kind, dict[str, Check]] = {
    Kind.CHAT: _COMMON
    | {
        "messages": _is(list, "a list"),
        "max_completion_tokens": _tokens,
        "logprobs": _boolean,
        "top_logprobs": _integer(0, 20),
        "response_format": _object,
        "tools": _objects,
        "tool_choice": _text_or_object,
        "parallel_tool_calls": _boolean,
        "reasoning_effort": _text,
        "reasoning_format": _text,
        "chat_template_kwargs": _object,
    },
    Kind.COMPLETION: _COMMON
    | {
        "prompt": lambda _: "",
        "logprobs": _integer(0, 20),
        "echo": _only(allowed=False),
        "best_of": _only(allowed=1),
        "suffix": _only(allowed=""),
    },
}
