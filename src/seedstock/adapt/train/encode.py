"""Rows as token ids and labels: -100 where a token carries no loss."""

from __future__ import annotations

from typing import Any

import msgspec

from seedstock.adapt.train.chat import Message, Span, assistant_spans, has_marks, marked, render, shared
from seedstock.core.errors import Invalid

IGNORED = -100
Row = dict[str, Any]


class Encoded(msgspec.Struct, frozen=True):
    """One sequence."""

    input_ids: list[int]
    labels: list[int]

    def cut(self, length: int) -> Encoded:
        """Its first tokens."""
        return (
            self if len(self.input_ids) <= length else Encoded(self.input_ids[:length], self.labels[:length])
        )

    def pieces(self, length: int) -> list[Encoded]:
        """All of it, in pieces of at most so many tokens."""
        steps = range(0, len(self.input_ids), length)
        return [Encoded(self.input_ids[at : at + length], self.labels[at : at + length]) for at in steps]

    @property
    def learns(self) -> bool:
        """Whether any token carries loss: the first of a sequence never does, nothing predicts it."""
        return any(label != IGNORED for label in self.labels[1:])


def encode_row(tokenizer: Any, row: Row, *, assistant_only: bool) -> Encoded:
    """A row of any shape that supervised training takes."""
    if "messages" in row:
        return encode_messages(tokenizer, row["messages"], assistant_only=assistant_only)
    if "prompt" in row and "completion" in row:
        return encode_completion(tokenizer, row["prompt"], row["completion"], assistant_only=assistant_only)
    return encode_text(tokenizer, row["text"])


def encode_text(tokenizer: Any, text: str) -> Encoded:
    """Plain text with its end marked; all of it carries loss."""
    ids = _ended(tokenizer, list(tokenizer(text)["input_ids"]))
    return Encoded(ids, list(ids))


def encode_messages(tokenizer: Any, messages: list[Message], *, assistant_only: bool) -> Encoded:
    """A conversation; `assistant_only`: what others say carries no loss."""
    if not assistant_only:
        ids, _ = _tokens(tokenizer, render(tokenizer, messages), special=False)
        return Encoded(ids, list(ids))
    if not any(message["role"] == "assistant" for message in messages):
        raise Invalid("The conversation has no turn of the assistant to learn from")
    if has_marks(tokenizer):
        ids, mask = marked(tokenizer, messages)
        if any(mask):
            return Encoded(ids, [i if bit else IGNORED for i, bit in zip(ids, mask, strict=True)])
    text = render(tokenizer, messages)
    return _labelled(tokenizer, text, assistant_spans(tokenizer, messages, text), special=False)


def encode_completion(tokenizer: Any, prompt: Any, completion: Any, *, assistant_only: bool) -> Encoded:
    """A prompt and what follows it, as strings or as lists of messages."""
    if not isinstance(prompt, str):
        messages = [*prompt, *_as_messages(completion)]
        if not assistant_only:
            return encode_messages(tokenizer, messages, assistant_only=False)
        text, before = render(tokenizer, messages), render(tokenizer, prompt, ask=True)
        return _labelled(tokenizer, text, [(shared(before, text), len(text.rstrip()))], special=False)
    text = prompt + completion
    spans = [(len(prompt) if assistant_only else 0, len(text))]
    made = _labelled(tokenizer, text, spans, special=True)
    if made.input_ids[-1] == tokenizer.eos_token_id:
        return made
    end = tokenizer.eos_token_id
    return Encoded([*made.input_ids, end], [*made.labels, end])


def encode_pair(
    tokenizer: Any, prompt: Any, chosen: Any, rejected: Any
) -> tuple[list[int], list[int], list[int]]:
    """Token ids of a prompt and of its two answers."""
    if isinstance(prompt, str):
        before = list(tokenizer(prompt)["input_ids"])
        both = [
            _ended(tokenizer, list(tokenizer(prompt + answer)["input_ids"])) for answer in (chosen, rejected)
        ]
    else:
        before, _ = _tokens(tokenizer, render(tokenizer, prompt, ask=True), special=False)
        texts = [render(tokenizer, [*prompt, *_as_messages(answer)]) for answer in (chosen, rejected)]
        both = [_tokens(tokenizer, text, special=False)[0] for text in texts]
    # Tokens may merge across the border: the answers begin where they leave the prompt's tokens.
    start = min(shared(before, ids) for ids in both)
    return before[:start], both[0][start:], both[1][start:]


def _as_messages(answer: Any) -> list[Message]:
    return [{"role": "assistant", "content": answer}] if isinstance(answer, str) else list(answer)


def _labelled(tokenizer: Any, text: str, spans: list[Span], *, special: bool) -> Encoded:
    """The tokens of a text, those of the spans with loss. A token across a border belongs to the span."""
    ids, offsets = _tokens(tokenizer, text, special=special)
    labels = [IGNORED] * len(ids)
    for at, (start, stop) in enumerate(offsets):
        if start < stop and any(stop > first and start < last for first, last in spans):
            labels[at] = ids[at]
    return Encoded(ids, labels)


def _tokens(tokenizer: Any, text: str, *, special: bool) -> tuple[list[int], list[Span]]:
    if not tokenizer.is_fast:
        raise Invalid(
            "The tokenizer cannot say where in the text a token stands",
            hint="It needs a tokenizer.json: save it once with a current version of transformers",
        )
    found = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True)
    return list(found["input_ids"]), [(int(start), int(stop)) for start, stop in found["offset_mapping"]]


def _ended(tokenizer: Any, ids: list[int]) -> list[int]:
    return ids if ids and ids[-1] == tokenizer.eos_token_id else [*ids, tokenizer.eos_token_id]
