"""Prompts to be answered, with the columns that rewards look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import torch

from seedstock.adapt.stage import Event, Stopped
from seedstock.adapt.train.chat import Message, ensure_chat_template, render
from seedstock.adapt.train.model import Loaded, Say
from seedstock.adapt.train.save import end_tokens
from seedstock.core.errors import Invalid

_ASK_EVERY = 256


class Question(msgspec.Struct, frozen=True):
    """One prompt."""

    prompt: str | list[Message]
    text: str
    """As the model is given it, special tokens of the tokenizer apart."""
    ids: list[int]
    row: dict[str, Any]
    space: str = ""
    """The prompt's last one, where the tokenizer joins it to the word that follows: it is the model's to write."""


def read_questions(
    rows: Iterable[dict[str, Any]],
    tokenizer: Any,
    *,
    say: Say,
    stopping: Callable[[], bool],
    most_tokens: int,
) -> list[Question]:
    """All rows' prompts; those of more than `most_tokens` are left out, with a warning."""
    found: list[Question] = []
    number = 0
    for number, row in enumerate(rows, start=1):
        if number % _ASK_EVERY == 0 and stopping():
            raise Stopped
        question = _question(row, number, tokenizer, say)
        if len(question.ids) <= most_tokens:
            found.append(question)
    left_out = number - len(found)
    if left_out:
        kind = f"{left_out} of {number} prompts have more than {most_tokens} tokens and were left out"
        say(Event(log=f"Warning: {kind}"))
    if not found:
        raise Invalid(
            "There is no prompt to answer",
            hint="All are too long: raise max_length, or lower max_new_tokens"
            if number
            else "The dataset is empty",
        )
    return found


def question_of(prompt: str | list[Message], tokenizer: Any, row: dict[str, Any] | None = None) -> Question:
    """A prompt as tokens."""
    if isinstance(prompt, str):
        space = _space_of_the_answer(prompt, tokenizer)
        ids = list(tokenizer(prompt.removesuffix(space))["input_ids"])
        # Some tokenizers end every text: then nothing would be left to say.
        while len(ids) > 1 and ids[-1] == tokenizer.eos_token_id and not prompt.endswith(tokenizer.eos_token):
            ids.pop()
        return Question(prompt, prompt, ids or _beginning(tokenizer), row or {}, space)
    text = render(tokenizer, prompt, ask=True)
    return Question(prompt, text, list(tokenizer(text, add_special_tokens=False)["input_ids"]), row or {})


def _space_of_the_answer(prompt: str, tokenizer: Any) -> str:
    """The space that ends a prompt, where it belongs to the first token of what follows. In training it is part of
    that (`encode.encode_completion`); as a token of its own it would stand where the model has never seen one.
    """
    if not prompt.endswith(" "):
        return ""
    alone, followed = (
        list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (prompt, f"{prompt}<")
    )
    return "" if followed[: len(alone)] == alone else " "


def _beginning(tokenizer: Any) -> list[int]:
    first = tokenizer.bos_token_id
    return [tokenizer.eos_token_id if first is None else first]


def _question(row: dict[str, Any], number: int, tokenizer: Any, say: Say) -> Question:
    prompt = row.get("prompt", row.get("messages"))
    if isinstance(prompt, list):
        ensure_chat_template(tokenizer, say)
        while prompt and prompt[-1].get("role") == "assistant":
            prompt = prompt[:-1]
    if not isinstance(prompt, str | list) or prompt == []:
        raise Invalid(f"Row {number} has no prompt", hint="A row needs `prompt`, or `messages` of a user")
    return question_of(prompt, tokenizer, row)


def shown_questions(texts: Sequence[str], questions: Sequence[Question], tokenizer: Any) -> list[Question]:
    """What samples start from during training: the given texts, as the dataset's prompts are; else two of these."""
    chat = isinstance(questions[0].prompt, list)
    given = [question_of([{"role": "user", "content": text}] if chat else text, tokenizer) for text in texts]
    return given or list(questions[:2])


def said(tokenizer: Any, question: Question, ids: Sequence[int], ends: Sequence[int]) -> str:
    """What follows the question's prompt. The last token is left out if it is an end; other special tokens stay visible
    to rewards.
    """
    kept = list(ids[:-1] if ids and ids[-1] in ends else ids)
    text = str(tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))
    return text.removeprefix(question.space)


def most_prompt_tokens(config: Any, max_length: int, max_new_tokens: int) -> int:
    """What is left for a prompt. Raises Invalid where nothing is."""
    window = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    limit = min(max_length, window) if isinstance(window, int) and window > 0 else max_length
    if max_new_tokens >= limit:
        which = "max_length" if limit == max_length else "the model's window"
        raise Invalid(
            f"max_new_tokens is {max_new_tokens}, and {which} of {limit} tokens leaves nothing for the prompt",
            hint="Lower max_new_tokens" + (" or raise max_length" if limit == max_length else ""),
        )
    return limit - max_new_tokens


def ends_of(loaded: Loaded) -> list[int]:
    """Tokens that end a completion: the tokenizer's, and those that the model's own settings name."""
    settings = getattr(loaded.model, "generation_config", None)
    known = getattr(settings, "eos_token_id", None)
    more = [] if known is None else [known] if isinstance(known, int) else list(known)
    return list(dict.fromkeys([*end_tokens(loaded.tokenizer), *more]))


def order(rows: int, wanted: int, seed: int) -> list[int]:
    """Questions in the order they are asked: every one once, in an order of its own, before any is asked again."""
    random = torch.Generator().manual_seed(seed)
    found: list[int] = []
    while len(found) < wanted:
        found += torch.randperm(rows, generator=random).tolist()
    return found[:wanted]
