"""A branch of a chat as a Markdown file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from seedstock.chats.messages import Message


def to_markdown(title: str, system: str, messages: Sequence[Message]) -> str:
    """The branch to read: texts as they are, attached files and reasoning as fenced blocks."""
    parts = [f"# {_line(title)}"]
    if system:
        parts.append(f"## System\n\n{system}")
    for message in messages:
        if message.role == "user":
            parts.append("## You")
            parts += [
                f"Attached: `{_line(file.name)}`\n\n{_fenced(file.text)}" for file in message.attachments
            ]
        else:
            parts.append(f"## {_line(message.model or 'Model')}")
            if message.reasoning:
                parts.append(f"Reasoning:\n\n{_fenced(message.reasoning)}")
        parts.append(message.content)
    return "\n\n".join(parts) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split())


def _fenced(text: str) -> str:
    """A block that nothing in the text can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
