"""What one answer takes: its tokens and its moments, read off the answer while it passes.

`measured` puts a tally around a request's `Answers`, so that every engine and every API is counted alike. The engine's
own numbers count where it gives them. A stream that ends before has one token for each piece of text; engines are asked
to tell of the prompt when they begin. For a prompt that nothing was said of, a quarter of its bytes are counted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import msgspec

from seedstock.core.errors import HubError
from seedstock.run.request import Answers, EngineRequest, Events

_BYTES_PER_TOKEN = 4
# Quotes inside a JSON string are escaped: text that a model makes never looks like these.
_PIECES = {
    "/v1/completions": re.compile(rb'"text": ?"[^"]'),
    "/v1/messages": re.compile(rb'^data: \{"type": ?"content_block_delta"', re.MULTILINE),
}
_CHAT_PIECE = re.compile(rb'"delta": ?\{(?!\}|"role": ?"assistant", ?"content": ?(?:null|""))')
_FIGURES = re.compile(rb'"(?:usage|timings)": ?\{')
_PROGRESS = b'"prompt_progress":{'
_FAILURE = re.compile(rb'^data: \{"(?:error"|type": ?"error")', re.MULTILINE)


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    """Both APIs' names; OpenAI's prompt includes what was cached, Anthropic's does not."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Timings(msgspec.Struct):
    cache_n: int = 0
    prompt_n: int = 0
    predicted_n: int = 0


class _Progress(msgspec.Struct):
    """How far llama.cpp is with a prompt."""

    total: int = 0
    cache: int = 0


class _Message(msgspec.Struct):
    usage: _Usage | None = None


class _Figures(msgspec.Struct):
    """As much of an answer or an event as is counted."""

    choices: list[msgspec.Raw] = []
    usage: _Usage | None = None
    timings: _Timings | None = None
    message: _Message | None = None
    prompt_progress: _Progress | None = None


class Tally:
    """Counts of one answer. Moments are None as long as they have not come."""

    def __init__(self, request: EngineRequest, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.finished = False
        self.failed = False
        self.began_s = clock_s()
        self.started_s: float | None = None
        self.first_s: float | None = None
        self._clock_s = clock_s
        self._piece = _PIECES.get(request.path, _CHAT_PIECE)
        self._texts = request.path == "/v1/completions"
        self._body_bytes = len(request.body)
        self._pieces = 0
        self._told_tokens = 0

    @property
    def completion_tokens(self) -> int:
        """Tokens that were made, as the engine says or else as they passed."""
        return (
            self._told_tokens if self.finished and self._told_tokens else max(self._told_tokens, self._pieces)
        )

    def start(self) -> None:
        """Note that an engine takes the request up."""
        self.started_s = self._clock_s()
        if not self.prompt_tokens:
            self.prompt_tokens = self._body_bytes // _BYTES_PER_TOKEN

    def read_whole(self, answer: bytes) -> None:
        """Count a whole answer. llama.cpp (which gives timings) speaks of one choice; the others are taken for as long."""
        self.finished = True
        figures = _decoded(answer)
        if figures is not None:
            choices = max(1, len(figures.choices)) if figures.timings is not None else 1
            self._read(figures, choices, choices if self._texts else 1)

    def read_events(self, events: bytes) -> None:
        """Count some whole events of a stream; of several choices, each says its own figures at its end."""
        pieces = len(self._piece.findall(events))
        if pieces and self.first_s is None:
            self.first_s = self._clock_s()
        self._pieces += pieces
        if _FIGURES.search(events):
            for line in events.split(b"\n"):
                if line.startswith(b"data: {") and (figures := _decoded(line[6:])) is not None:
                    self._read(figures, 1, 1)
        if _FAILURE.search(events):
            self.failed = True

    def without_progress(self, events: bytes) -> bytes:
        """The events but for those that tell of the prompt, which are counted."""
        kept = []
        for event in events.split(b"\n\n"):
            figures = _decoded(event[6:]) if _PROGRESS in event else None
            if figures is None or figures.prompt_progress is None:
                kept.append(event)
            else:
                progress = figures.prompt_progress
                self.prompt_tokens, self.cached_tokens = progress.total, progress.cache
                self._read(figures, 1, 1)
        return b"\n\n".join(kept)

    def _read(self, figures: _Figures, choices: int, prompts: int) -> None:
        usage = figures.usage or (figures.message.usage if figures.message else None)
        if usage is not None:
            self._read_usage(usage, choices, prompts)
        elif figures.timings is not None:
            timings = figures.timings
            self.cached_tokens = timings.cache_n * prompts
            self.prompt_tokens = (timings.cache_n + timings.prompt_n) * prompts
            self._told_tokens += timings.predicted_n * choices

    def _read_usage(self, usage: _Usage, choices: int, prompts: int) -> None:
        details = usage.prompt_tokens_details
        if usage.prompt_tokens is not None:
            self.prompt_tokens = usage.prompt_tokens * prompts
            self.cached_tokens = ((details.cached_tokens or 0) if details else 0) * prompts
            self._told_tokens += (usage.completion_tokens or 0) * choices
        if usage.input_tokens or usage.cache_read_input_tokens:  # 0 at first where it is told of in the end
            self.cached_tokens = usage.cache_read_input_tokens or 0
            written = usage.cache_creation_input_tokens or 0
            self.prompt_tokens = (usage.input_tokens or 0) + self.cached_tokens + written
        if usage.output_tokens is not None:
            self._told_tokens = usage.output_tokens


def _decoded(data: bytes) -> _Figures | None:
    """The figures; None for what has another shape. Counting never fails an answer."""
    try:
        return msgspec.json.decode(data, type=_Figures)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def measured(request: EngineRequest, tally: Tally) -> EngineRequest:
    """The request with its answers counted."""
    answers = _MeasuredAnswers(request.answers, tally)
    return msgspec.structs.replace(request, answers=answers, on_start=tally.start, tells_prompt=True)


class _MeasuredAnswers:
    """Answers that pass as they are."""

    def __init__(self, answers: Answers, tally: Tally) -> None:
        self._answers = answers
        self._tally = tally

    def whole(self, answer: bytes) -> bytes:
        """The caller's JSON for the engine's."""
        told = self._answers.whole(answer)
        self._tally.read_whole(answer)
        return told

    def events(self) -> Events:
        """A fresh stream."""
        return _MeasuredEvents(self._answers.events(), self._tally)

    def error_event(self, error: HubError) -> bytes:
        """The event that ends a stream which failed on its way."""
        self._tally.failed = True
        return self._answers.error_event(error)


class _MeasuredEvents:
    """A stream that passes as it is."""

    def __init__(self, events: Events, tally: Tally) -> None:
        self._events = events
        self._tally = tally

    @property
    def finished(self) -> bool:
        """Whether the answer is whole."""
        return self._events.finished

    def feed(self, events: bytes) -> bytes:
        """What the caller gets."""
        if _PROGRESS in events:
            events = self._tally.without_progress(events)
            if not events:
                return b""
        self._tally.read_events(events)
        told = self._events.feed(events)
        self._tally.finished = self._events.finished and not self._tally.failed
        return told
