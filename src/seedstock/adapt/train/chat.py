"""Conversations as text, and which of its characters the assistant said.

Where a template marks the assistant's part (`{% generation %}`), its marks count. Where it does not, the conversation
is rendered once more up to each of the assistant's turns, before and after it: what the second has and the first has
not, the assistant said, its end-of-turn token included.
"""

from __future__ import annotations

from typing import Any

from seedstock.adapt.chat_template import CHATML, PLAIN
from seedstock.adapt.stage import Event
from seedstock.adapt.train.model import Say
from seedstock.core.errors import Invalid

Message = dict[str, Any]
Span = tuple[int, int]


def ensure_chat_template(tokenizer: Any, say: Say) -> None:
    """Give a tokenizer without a chat template a plain one; it is saved with the result."""
    if tokenizer.chat_template:
        return
    known = tokenizer.get_vocab()
    chatml = "<|im_start|>" in known and "<|im_end|>" in known
    tokenizer.chat_template = CHATML if chatml else PLAIN
    kind = "ChatML" if chatml else "plain lines, as in `User:` and `Assistant:`"
    say(
        Event(log=f"The base model has no chat template: this one is used, and saved with the result: {kind}")
    )


def render(tokenizer: Any, messages: list[Message], *, ask: bool = False) -> str:
    """A conversation as the template writes it; `ask`: up to where the assistant begins."""
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise Invalid(
            f"The chat template does not take this conversation: {lines[0][:200]}",
            hint="Many templates want the roles to alternate, beginning with user or system",
        ) from error
    return str(text)


def has_marks(tokenizer: Any) -> bool:
    """Whether the template marks what the assistant says."""
    return "{% generation" in tokenizer.chat_template or "{%- generation" in tokenizer.chat_template


def marked(tokenizer: Any, messages: list[Message]) -> tuple[list[int], list[bool]]:
    """Token ids, and which of them the template's own marks give to the assistant."""
    found = tokenizer.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    return list(found["input_ids"]), [bool(bit) for bit in found["assistant_masks"]]


def assistant_spans(tokenizer: Any, messages: list[Message], text: str) -> list[Span]:
    """Where in the rendered conversation the assistant speaks."""
    spans = []
    for at, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        span = _span(tokenizer, messages, at, text)
        if span is None:
            raise Invalid(
                f"The chat template writes turn {at + 1} differently inside a conversation: "
                "it cannot be told which tokens the assistant said",
                hint="Set assistant_only_loss to false, or mark the assistant's part in the template "
                "with {% generation %} ... {% endgeneration %}",
            )
        spans.append(span)
    return spans


def shared(left: Any, right: Any) -> int:
    """Length of what two sequences begin with in common."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


def _span(tokenizer: Any, messages: list[Message], at: int, text: str) -> Span | None:
    before = render(tokenizer, messages[:at], ask=True)
    after = render(tokenizer, messages[: at + 1])
    start, stop = shared(before, text), shared(after, text)
    content = str(messages[at]["content"]).strip()
    if start >= stop or content not in text[start:stop]:
        return None
    # What separates turns belongs to nobody: the assistant stops at its end-of-turn token.
    trimmed = text[start:stop].rstrip()
    ends = {*tokenizer.all_special_tokens, *map(str, tokenizer.added_tokens_decoder.values())}
    if any(trimmed.endswith(end) for end in ends if end):
        stop = start + len(trimmed)
    return start, stop
