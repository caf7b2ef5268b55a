"""Writing text with `transformers`' own `generate`, told token by token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
)

from seedstock.run.engines.transformers_choice import Choice, Tell
from seedstock.run.engines.transformers_grammar import Held
from seedstock.run.engines.transformers_model import Loaded
from seedstock.run.engines.transformers_request import Sampling, Wanted

_Config: Any = GenerationConfig  # untyped where it is defined
_FROM_MODEL = ("temperature", "top_p", "top_k", "min_p", "typical_p")


@torch.inference_mode()
def write(
    loaded: Loaded,
    wanted: Wanted,
    prompt: list[int],
    first: int,
    most: int,
    tell: Tell,
    gone: Callable[[], bool],
) -> int:
    """Write all choices of one prompt, numbered from `first`, of at most `most` tokens; the number of tokens written.

    `gone` says that nobody waits for the answer any more.
    """
    choices = [Choice(first + number, loaded, wanted, tell) for number in range(wanted.choices)]
    recorder = _Recorder(loaded.tokenizer, wanted.logprobs)
    settings = _settings(loaded, wanted.sampling, wanted.choices, most)
    ends = set() if wanted.sampling.ignore_eos else _end_tokens(loaded)
    settings.eos_token_id = None
    held = None
    if wanted.grammar is not None:
        rows = settings.num_return_sequences
        held = loaded.grammars.hold(wanted.grammar, ends, rows, thinks=wanted.thought_begun)
    processors = [recorder, *_processors(wanted.sampling, len(prompt)), *([held] if held else [])]
    if wanted.sampling.seed is not None:
        torch.manual_seed(wanted.sampling.seed % (1 << 63))
    ids = torch.tensor([prompt], device=loaded.model.device)
    loaded.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        **wanted.pixels,
        generation_config=settings,
        logits_processor=LogitsProcessorList(processors),
        stopping_criteria=StoppingCriteriaList([_Tap(choices, ends, recorder, held, gone)]),
    )
    for choice in choices:
        if not choice.done:
            choice.end("length")
    return sum(choice.tokens for choice in choices)


def _settings(loaded: Loaded, sampling: Sampling, choices: int, most: int) -> Any:
    values = {name: getattr(sampling, name) for name in _FROM_MODEL}
    values = {name: loaded.defaults.get(name) if value is None else value for name, value in values.items()}
    greedy = values["temperature"] == 0 or values["top_k"] == 1
    if greedy:
        values = {}
    elif values["top_k"] is None or values["top_k"] < 1:
        values["top_k"] = 0  # else transformers takes 50
    given = {name: value for name, value in values.items() if value is not None}
    if given.get("top_p") == 0:
        given["top_p"] = 1e-6
    return _Config(
        do_sample=not greedy,
        max_new_tokens=most,
        num_return_sequences=1 if greedy else choices,
        num_beams=1,
        pad_token_id=loaded.tokenizer.pad_token_id or 0,
        **given,
    )


def _end_tokens(loaded: Loaded) -> set[int]:
    named = loaded.model.generation_config.eos_token_id
    found = set(named) if isinstance(named, list) else {named}
    return {token for token in found | {loaded.tokenizer.eos_token_id} if token is not None}


def _processors(sampling: Sampling, prompt_tokens: int) -> list[LogitsProcessor]:
    found: list[LogitsProcessor] = []
    if sampling.repeat_penalty not in {None, 0, 1}:
        found.append(RepetitionPenaltyLogitsProcessor(penalty=float(sampling.repeat_penalty or 1)))
    if sampling.presence_penalty or sampling.frequency_penalty or sampling.logit_bias:
        found.append(_Penalties(sampling, prompt_tokens))
    return found


class _Penalties(LogitsProcessor):
    """OpenAI's penalties on what was written so far, and its biases."""

    def __init__(self, sampling: Sampling, prompt_tokens: int) -> None:
        self._presence = sampling.presence_penalty
        self._frequency = sampling.frequency_penalty
        self._bias = {int(token): bias for token, bias in sampling.logit_bias.items() if token.isdecimal()}
        self._prompt_tokens = prompt_tokens

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        written = input_ids[:, self._prompt_tokens :]
        counts = torch.zeros_like(scores).scatter_add_(
            1, written, torch.ones_like(written, dtype=scores.dtype)
        )
        scores = scores - self._presence * (counts > 0) - self._frequency * counts
        for token, bias in self._bias.items():
            if token < scores.shape[1]:
                scores[:, token] += bias
        return scores


class _Recorder(LogitsProcessor):
    """Keeps the model's own log-probabilities of a step, before anything acts on them."""

    def __init__(self, tokenizer: Any, others: int | None) -> None:
        self._tokenizer = tokenizer
        self._others = others
        self._step: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002 - the library's interface
        if self._others is not None:
            self._step = torch.log_softmax(scores.float(), dim=-1)
        return scores

    def of(self, row: int, token: int) -> dict[str, Any] | None:
        """In OpenAI's shape."""
        if self._others is None:
            return None
        step = self._step[row]
        best = torch.topk(step, min(self._others, step.shape[0]))
        others = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return self._named(token, float(step[token])) | {
            "top_logprobs": [self._named(other, value) for other, value in others]
        }

    def _named(self, token: int, value: float) -> dict[str, Any]:
        text = self._tokenizer.decode([token])
        # JSON has no infinity, which a token masked by the model has.
        return {"token": text, "logprob": max(value, -1e9), "bytes": list(text.encode())}


class _Tap(StoppingCriteria):
    """Sees every token when it is written."""

    def __init__(
        self,
        choices: list[Choice],
        ends: set[int],
        recorder: _Recorder,
        held: Held | None,
        gone: Callable[[], bool],
    ) -> None:
        self._choices = choices
        self._ends = ends
        self._recorder = recorder
        self._held = held
        self._gone = gone

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002 - the library's interface
        drawn = input_ids[:, -1].tolist()
        complete = self._held.take(drawn) if self._held else [False] * len(drawn)
        for number, choice in enumerate(self._choices):
            row = min(number, len(drawn) - 1)  # without chance one row is every choice
            token = drawn[row]
            if choice.done:
                continue
            if token in self._ends:
                choice.tokens += 1
                choice.end("stop")
            else:
                choice.take(token, self._recorder.of(row, token))
                if complete[row] and not choice.done:
                    choice.end("stop")
        over = self._gone()
        done = [over or choice.done for choice in self._choices[: input_ids.shape[0]]]
        return torch.tensor(done, device=input_ids.device)
