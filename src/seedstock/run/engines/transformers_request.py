"""What a request asks of transformers, out of the body that the hub has checked."""

from __future__ import annotations

from typing import Any

import msgspec

from seedstock.core.errors import Invalid
from seedstock.run.engines.transformers_grammar import read_grammar
from seedstock.run.engines.transformers_memory import CHOICES

_REFUSED = ("tools", "tool_choice", "parallel_tool_calls", "reasoning_effort")
_NEEDS_GGUF = "cannot be used with models that run with transformers; a GGUF of this model could"
# What `apply_chat_template` takes itself, and a template must not be told in its place.
_TEMPLATE_OWN = frozenset(
    [
        "conversation", "tools", "documents", "chat_template", "add_generation_prompt", "continue_final_message",
        "tokenize", "padding", "truncation", "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask",
        "tokenizer_kwargs", "processor_kwargs",
    ]
)  # fmt: skip


class Sampling(msgspec.Struct, frozen=True):
    """How tokens are drawn; none given: as the model's own settings say, else at temperature 1."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[str, float] = {}
    seed: int | None = None
    ignore_eos: bool = False


class Wanted(msgspec.Struct, frozen=True):
    """One request for text."""

    prompts: list[list[int]]
    sampling: Sampling
    choices: int
    max_tokens: int | None
    stops: list[str]
    logprobs: int | None
    """How many other tokens' log-probabilities go with each; None for none at all."""
    thinks: bool
    """Whether thoughts are told apart."""
    thought_begun: bool
    chat: bool
    usage_in_stream: bool
    tells_prompt: bool = False
    """Whether a stream tells of the prompt's tokens, for the hub."""
    grammar: str | None = None
    """What answers are held to, as llguidance takes it."""


def read_request(tokenizer: Any, body: dict[str, Any], *, chat: bool) -> Wanted:
    """Read a body. Raises Invalid for what this engine cannot do."""
    for name in _REFUSED:
        if body.get(name):
            raise Invalid(f"'{name}' {_NEEDS_GGUF}")
    choices = body.get("n") or 1
    if choices > CHOICES:
        raise Invalid(f"'n' can be {CHOICES} at most for this model")
    stops = body.get("stop") or []
    grammar = read_grammar(body)
    if grammar is not None and body.get("ignore_eos"):
        raise Invalid(
            "'ignore_eos' cannot be used together with a schema or grammar, which say where an answer ends"
        )
    given = {name: value for name, value in body.items() if value is not None}
    prompts, begun = _chat_prompt(tokenizer, body) if chat else (_prompts(tokenizer, body["prompt"]), False)
    logprobs = body.get("top_logprobs", 0) if chat and body.get("logprobs") else None
    if not chat and body.get("logprobs"):
        logprobs = int(body["logprobs"])
    try:
        sampling = msgspec.convert(given, Sampling)
    except msgspec.ValidationError as error:
        raise Invalid(f"Not a request for text: {error}") from None
    return Wanted(
        prompts=prompts,
        sampling=sampling,
        choices=choices,
        max_tokens=body.get("max_tokens"),
        stops=[stops] if isinstance(stops, str) else stops,
        logprobs=logprobs,
        thinks=chat and body.get("reasoning_format") != "none",
        thought_begun=begun,
        chat=chat,
        usage_in_stream=bool((body.get("stream_options") or {}).get("include_usage")),
        tells_prompt=bool(body.get("return_progress")),
        grammar=grammar,
    )


def _chat_prompt(tokenizer: Any, body: dict[str, Any]) -> tuple[list[list[int]], bool]:
    """The chat as the model's template writes it, and whether it ends inside a thought."""
    if not tokenizer.chat_template:
        raise Invalid("This model has no chat template", hint="use /v1/completions")
    more = body.get("chat_template_kwargs") or {}
    if taken := sorted(_TEMPLATE_OWN & more.keys()):
        raise Invalid(f"'chat_template_kwargs.{taken[0]}' is not a setting of the template")
    messages = [message | {"content": _text(message.get("content"))} for message in body["messages"]]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **more)
    except Exception as error:  # noqa: BLE001 - templates are programs of their own, and refuse what they do not know
        raise Invalid(f"This model's chat template refuses the messages: {str(error)[:300]}") from None
    begun = text.rstrip().endswith("<think>")
    return [tokenizer(text, add_special_tokens=False)["input_ids"]], begun


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or ""


def _prompts(tokenizer: Any, prompt: Any) -> list[list[int]]:
    if isinstance(prompt, str):
        return [tokenizer(prompt)["input_ids"]]
    if isinstance(prompt[0], int):
        return [prompt]
    return [tokenizer(one)["input_ids"] for one in prompt]
