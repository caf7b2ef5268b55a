"""A chat as a tree of messages: what one may hold, and the branch that ends with a message.

Editing a message or asking for another answer adds a sibling, so that nothing said is lost. Questions follow
answers or begin the chat, answers follow questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from seedstock.core.errors import Invalid, TooLarge

MAX_TEXT_BYTES = 1 << 20
"""Of one message, with what is attached to it."""
MAX_ATTACHMENTS = 10
_KEY = re.compile(r"[0-9a-f]{8,32}\Z")


class Attachment(msgspec.Struct, frozen=True):
    """A text file that goes with a question."""

    name: str
    text: str


class Figures(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How an answer came."""

    tokens: int | None = None
    first_ms: float | None = None
    """From the question to the first token."""
    seconds: float | None = None
    """From the first token to the last."""
    stopped: bool = False
    """By the reader, before it was whole."""


class Message(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A question or an answer. `id` is 8 to 32 hexadecimal digits that the writer draws."""

    id: str
    role: Literal["user", "assistant"]
    content: str
    parent: str | None = None
    reasoning: str = ""
    model: str | None = None
    attachments: tuple[Attachment, ...] = ()
    figures: Figures | None = None
    created_at: str | None = None
    """Set by the hub."""


def size_of(message: Message) -> int:
    """Bytes of text in a message."""
    texts = [message.content, message.reasoning]
    texts += [text for attachment in message.attachments for text in (attachment.name, attachment.text)]
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot store: NUL and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def cleaned(message: Message) -> Message:
    """A message from outside, ready to be stored. Raises Invalid and TooLarge, naming it."""
    if not _KEY.match(message.id):
        raise Invalid(f"A message's id is 8 to 32 hexadecimal digits, not {message.id[:40]!r}")
    if len(message.attachments) > MAX_ATTACHMENTS:
        raise Invalid(f"Message {message.id} has more than {MAX_ATTACHMENTS} attachments")
    if len(message.model or "") > 300 or any(len(file.name) > 250 for file in message.attachments):
        raise Invalid(f"A name in message {message.id} is too long")
    if size_of(message) > MAX_TEXT_BYTES:
        raise TooLarge(
            f"Message {message.id} has more than {MAX_TEXT_BYTES >> 20} MiB of text", hint="attach less to it"
        )
    return msgspec.structs.replace(
        message,
        content=storable(message.content),
        reasoning=storable(message.reasoning),
        model=storable(message.model) if message.model else None,
        attachments=tuple(Attachment(storable(a.name), storable(a.text)) for a in message.attachments),
    )


def check_tree(messages: Iterable[Message]) -> dict[str, Message]:
    """Messages by id, every parent before its children. Raises Invalid for what is no such tree."""
    found: dict[str, Message] = {}
    for message in messages:
        if message.id in found:
            raise Invalid(f"There are two messages {message.id}")
        parent = found.get(message.parent) if message.parent is not None else None
        if message.parent is not None and parent is None:
            raise Invalid(f"Message {message.id} follows {message.parent[:40]!r}, which is not before it")
        if (parent.role if parent else "assistant") == message.role:
            where = f"after {parent.id}" if parent else "at the beginning"
            raise Invalid(f"Message {message.id} is out of turn {where}: questions and answers alternate")
        found[message.id] = message
    return found


def branch(messages: Sequence[Message], end: str | None) -> list[Message]:
    """From the first message to the one called `end`, or to the last leaf if there is none of that name."""
    by_id = {message.id: message for message in messages}
    message = by_id.get(end or "") or (messages[-1] if messages else None)
    found = []
    while message is not None:
        found.append(message)
        message = by_id.get(message.parent or "")
    return found[::-1]


def question_text(message: Message) -> str:
    """What the model is given for a question: the files that go with it, then the text."""
    files = "".join(f"File {file.name}:\n\n{file.text}\n\n" for file in message.attachments)
    return files + message.content
