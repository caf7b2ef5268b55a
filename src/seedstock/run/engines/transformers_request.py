"""What a request asks of transformers, out of the body that the hub has checked."""

from __future__ import annotations

from typing import Any

import msgspec

from seedstock.core.errors import Invalid
from seedstock.run.engines.transformers_adapters import Asked
from seedstock.run.engines.transformers_grammar import read_grammar
from seedstock.run.engines.transformers_images import read_images, urls_of
from seedstock.run.engines.transformers_memory import CHOICES
from seedstock.run.engines.transformers_model import Loaded
from seedstock.run.engines.transformers_template import render


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
    pixels: dict[str, Any] = {}
    """What a model that sees takes beside the tokens, of the one prompt."""
    adapters: Asked = Asked()
    grammar: str | None = None
    """What answers are held to, as llguidance takes it."""
    tools: list[str] = []
    """The functions whose calls are told from text."""
    parallel_calls: bool = True
    """Whether an answer may hold several."""


def read_request(loaded: Loaded, body: dict[str, Any], *, chat: bool) -> Wanted:
    """Read a body. Raises Invalid for what this engine cannot do."""
    tokenizer, sees = loaded.tokenizer, loaded.processor is not None
    if body.get("reasoning_effort"):
        raise Invalid("'reasoning_effort' cannot be used with models that run with transformers")
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
    tools = body.get("tools") or [] if body.get("tool_choice") != "none" else []
    written = render(tokenizer, body, tools, sees=sees) if chat else ""
    images = read_images(urls_of(body["messages"])) if chat and sees else []
    if images:
        prompts, pixels = _seen(loaded, written, images)
    else:
        prompts, pixels = _prompts(tokenizer, body, written if chat else None), {}
    logprobs = body.get("top_logprobs", 0) if chat and body.get("logprobs") else None
    if not chat and body.get("logprobs"):
        logprobs = int(body["logprobs"])
    try:
        sampling = msgspec.convert(given, Sampling)
    except msgspec.ValidationError as error:
        raise Invalid(f"Not a request for text: {error}") from None
    return Wanted(
        prompts=prompts,
        pixels=pixels,
        sampling=sampling,
        choices=choices,
        max_tokens=body.get("max_tokens"),
        stops=[stops] if isinstance(stops, str) else stops,
        logprobs=logprobs,
        thinks=chat and body.get("reasoning_format") != "none",
        thought_begun=written.rstrip().endswith("<think>"),
        chat=chat,
        usage_in_stream=bool((body.get("stream_options") or {}).get("include_usage")),
        tells_prompt=bool(body.get("return_progress")),
        adapters=msgspec.convert(body.get("adapters") or {}, Asked),
        grammar=grammar,
        # What is held to a schema is no call, though it may look like one.
        tools=[tool["function"]["name"] for tool in tools] if grammar is None else [],
        parallel_calls=body.get("parallel_tool_calls") is not False,
    )


def _seen(loaded: Loaded, written: str, images: list[Any]) -> tuple[list[list[int]], dict[str, Any]]:
    """The tokens of a prompt in which images stand for their marks, and what else the model takes."""
    mark = getattr(loaded.processor, "image_token", None)
    if mark and written.count(str(mark)) != len(images):
        raise Invalid(f"The messages write {mark!r}, which stands for an image in this model's prompts")
    try:
        made = loaded.processor(text=[written], images=images, return_tensors="pt", add_special_tokens=False)
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        raise Invalid(f"This model cannot take these images: {str(error)[:300]}") from None
    model = loaded.model
    pixels = {
        name: value.to(model.device, model.dtype) if value.is_floating_point() else value.to(model.device)
        for name, value in made.items()
        if name not in {"input_ids", "attention_mask"}
    }
    return [made["input_ids"][0].tolist()], pixels


def _prompts(tokenizer: Any, body: dict[str, Any], written: str | None) -> list[list[int]]:
    if written is not None:
        return [tokenizer(written, add_special_tokens=False)["input_ids"]]
    prompt = body["prompt"]
    if isinstance(prompt, str):
        return [tokenizer(prompt)["input_ids"]]
    if isinstance(prompt[0], int):
        return [prompt]
    return [tokenizer(one)["input_ids"] for one in prompt]
