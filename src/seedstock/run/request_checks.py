"""Checks of the parameters of a request, each named when it is wrong.

Only known parameters pass. One that would be ignored is refused rather than dropped, since the answer
would silently be to another question; those that only label a request are dropped. Null means absent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from seedstock.core.errors import Invalid, TooLarge
from seedstock.run.engines.base import Ability

MAX_BODY_BYTES = 8 << 20
MAX_MESSAGES = 2048
MAX_STOPS = 16

Body = dict[str, object]
Check = Callable[[object], str]
"""Says what a value should have been, or nothing if it is fine."""


def decode_body(data: bytes) -> tuple[str, Body]:
    """The model that is asked for, and the parameters that are not null. Raises Invalid and TooLarge."""
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
    return model, body


def check_parameters(body: Body, checks: dict[str, Check], labels: Collection[str] = ()) -> None:
    """Hold every parameter against its check. Raises Invalid."""
    for name, value in body.items():
        if name in labels:
            continue
        check = checks.get(name)
        if check is None:
            raise Invalid(
                f"Unknown parameter: {name[:100]!r}", hint="see docs/running.md for those that are supported"
            )
        wanted = check(value)
        if wanted:
            raise Invalid(f"{name!r} must be {wanted}")


def needs_of(body: Body) -> tuple[Ability, ...]:
    """What a request for text asks of a model; some parameters are named like the ability."""
    named = (Ability.TOOLS, Ability.REASONING_EFFORT)
    seen = (Ability.IMAGES,) if _has_images(body.get("messages")) else ()
    return (Ability.GENERATION, *(ability for ability in named if body.get(ability.value)), *seen)


def _has_images(messages: object) -> bool:
    parts = [
        part
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, dict) and isinstance(message.get("content"), list)
        for part in message["content"]
    ]
    return any(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)


def listed_messages(messages: object, name: str = "messages") -> list[object]:
    """A conversation of bearable length. Raises Invalid."""
    if not isinstance(messages, list) or not messages:
        raise Invalid(f"{name!r} must be a non-empty list")
    if len(messages) > MAX_MESSAGES:
        raise Invalid(f"{name!r} has {len(messages)} items; at most {MAX_MESSAGES} are accepted")
    return messages


def number(low: float, high: float) -> Check:
    """A number between two others, both included."""

    def check(value: object) -> str:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        return "" if fits else f"a number from {low:g} to {high:g}"

    return check


def integer(low: int, high: int) -> Check:
    """A whole number between two others, both included."""
    return lambda value: (
        "" if type(value) is int and low <= value <= high else f"an integer from {low} to {high}"
    )


def instance_of(kind: type, words: str) -> Check:
    """A value of one type, which `words` name."""
    return lambda value: "" if isinstance(value, kind) else words


def only(allowed: object) -> Check:
    """The one value that is supported."""
    return lambda value: "" if value == allowed else f"{allowed!r}: nothing else is supported"


def one_of(*allowed: str) -> Check:
    """One of a few words."""
    return lambda value: "" if isinstance(value, str) and value in allowed else f"one of {', '.join(allowed)}"


def stops(value: object) -> str:
    """Where to stop: one text or several."""
    texts = [value] if isinstance(value, str) else value
    fits = (
        isinstance(texts, list) and len(texts) <= MAX_STOPS and all(isinstance(s, str) and s for s in texts)
    )
    return "" if fits else f"a non-empty string or a list of at most {MAX_STOPS} of them"


def objects(value: object) -> str:
    """A list of objects."""
    fits = isinstance(value, list) and all(isinstance(item, dict) for item in value)
    return "" if fits else "a list of objects"


def text_or_object(value: object) -> str:
    """A string or an object."""
    return "" if isinstance(value, str | dict) else "a string or an object"


boolean, an_object, text = (
    instance_of(bool, "true or false"),
    instance_of(dict, "an object"),
    instance_of(str, "a string"),
)
tokens = integer(1, 1 << 24)  # the engine answers a request for 0 tokens with 1
