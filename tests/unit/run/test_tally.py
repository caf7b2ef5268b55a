"""What is counted of answers in every shape that engines give."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from seedstock.core.errors import EngineFailed
from seedstock.run.messages_answers import MessagesAnswers
from seedstock.run.openai_answers import OpenAiAnswers
from seedstock.run.request import EngineRequest
from seedstock.run.tally import Tally, measured

CHAT, TEXT, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/messages"
TIMINGS = {"cache_n": 20, "prompt_n": 8, "predicted_n": 3, "prompt_ms": 1.0}
OPENAI = {
    "completion_tokens": 3,
    "prompt_tokens": 28,
    "total_tokens": 31,
    "prompt_tokens_details": {"cached_tokens": 20},
}
ANTHROPIC = {"cache_read_input_tokens": 20, "input_tokens": 8, "output_tokens": 3}


def _moments() -> Iterator[float]:
    moment = 0.0
    while True:
        yield moment
        moment += 1


def _counted(path: str, *, stream: bool = False, body: bytes = b"{}") -> tuple[EngineRequest, Tally]:
    answers = MessagesAnswers("a/b") if path == MESSAGES else OpenAiAnswers("a/b")
    request = EngineRequest(path, "a/b", stream, body, answers)
    clock = _moments()
    tally = Tally(request, lambda: next(clock))
    return measured(request, tally), tally


def _numbers(tally: Tally) -> tuple[int, int, int]:
    return tally.prompt_tokens, tally.cached_tokens, tally.completion_tokens


def _event(data: object) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


def _piece(text: str, index: int = 0) -> bytes:
    return _event({"choices": [{"finish_reason": None, "index": index, "delta": {"content": text}}]})


ROLE = _event(
    {"choices": [{"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": None}}]}
)
END = {"choices": [{"finish_reason": "stop", "index": 0, "delta": {}}]}
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (CHAT, {"choices": [{"message": {}}], "usage": OPENAI, "timings": TIMINGS}),
        (TEXT, {"choices": [{"text": '"usage":{"prompt_tokens":9}'}], "usage": OPENAI}),
        (MESSAGES, {"type": "message", "id": "x", "usage": ANTHROPIC, "content": []}),
    ],
)
def test_a_whole_answer(path: str, answer: object) -> None:
    request, tally = _counted(path)
    request.answers.whole(msgspec.json.encode(answer))
    assert _numbers(tally) == (28, 20, 3)
    assert tally.finished


def test_embeddings_are_prompts_alone() -> None:
    request, tally = _counted("/v1/embeddings")
    request.answers.whole(b'{"data":[{"embedding":[1.5]}],"usage":{"prompt_tokens":7,"total_tokens":7}}')
    assert _numbers(tally) == (7, 0, 0)


def test_several_choices_are_taken_for_as_long_as_the_one_that_is_told_of() -> None:
    request, tally = _counted(CHAT)
    request.answers.whole(msgspec.json.encode({"choices": [{}, {}], "usage": OPENAI}))
    assert _numbers(tally) == (28, 20, 3), "an engine that gives no timings speaks of all"
    request, tally = _counted(CHAT)
    request.answers.whole(msgspec.json.encode({"choices": [{}, {}], "usage": OPENAI, "timings": TIMINGS}))
    assert _numbers(tally) == (28, 20, 6)
    request, tally = _counted(TEXT)
    request.answers.whole(msgspec.json.encode({"choices": [{}, {}], "usage": OPENAI, "timings": TIMINGS}))
    assert _numbers(tally) == (56, 40, 6)


@pytest.mark.parametrize(
    "last", [END | {"timings": TIMINGS}, {"choices": [], "usage": OPENAI, "timings": TIMINGS}]
)
def test_a_stream_says_its_figures_whether_the_caller_asked_for_them_or_not(last: object) -> None:
    request, tally = _counted(CHAT, stream=True)
    events = request.answers.events()
    for data in (ROLE + _piece("a"), _piece("b") + _piece("c"), _event(last), DONE):
        assert events.feed(data) == data
    assert events.finished
    assert _numbers(tally) == (28, 20, 3)
    assert (tally.finished, tally.failed) == (True, False)


def test_each_choice_of_a_stream_says_its_own() -> None:
    request, tally = _counted(CHAT, stream=True)
    events = request.answers.events()
    for number in range(2):
        events.feed(_piece("a", number) + _event(END | {"timings": TIMINGS | {"predicted_n": number + 1}}))
    events.feed(DONE)
    assert _numbers(tally) == (28, 20, 3)


def test_a_stream_of_anthropics() -> None:
    request, tally = _counted(MESSAGES, stream=True)
    events = request.answers.events()
    start = {"type": "message_start", "message": {"id": "x", "usage": ANTHROPIC | {"output_tokens": 0}}}
    begun = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    piece = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": '"text":"x"'}}
    events.feed(b"event: message_start\n" + _event(start) + _event(begun))
    events.feed(b"event: content_block_delta\n" + _event(piece))
    events.feed(b"event: content_block_delta\n" + _event(piece))
    assert _numbers(tally) == (28, 20, 2), "so far"
    events.feed(_event({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 5}}))
    events.feed(_event({"type": "message_stop"}))
    assert _numbers(tally) == (28, 20, 5)
    assert tally.finished


def test_a_stream_that_is_abandoned_counts_what_passed() -> None:
    request, tally = _counted(CHAT, stream=True, body=b"x" * 400)
    assert _numbers(tally) == (0, 0, 0), "nobody took it up"
    assert request.on_start is not None
    request.on_start()
    events = request.answers.events()
    events.feed(ROLE + _piece("a") + _piece('b "delta":{"content":"c"}'))
    assert _numbers(tally) == (100, 0, 2)
    assert not tally.finished
    assert (tally.started_s, tally.first_s) == (1, 2)


def test_the_prompt_is_told_of_when_it_begins_and_the_caller_does_not_hear_it() -> None:
    request, tally = _counted(CHAT, stream=True, body=b"x" * 400)
    assert request.tells_prompt
    assert request.on_start is not None
    request.on_start()
    events = request.answers.events()
    role = {"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": None}}
    progress = {
        "choices": [role],
        "prompt_progress": {"total": 28, "cache": 20, "processed": 24, "time_ms": 0},
    }
    assert events.feed(_event(progress)) == b""
    assert events.feed(_event(progress) + ROLE + _piece("a")) == ROLE + _piece("a")
    last = {"choices": [], "prompt_progress": {"total": 28, "cache": 0}, "usage": OPENAI}
    assert events.feed(_event(last)) == b"", "so do engines whose streams say no more"
    assert events.feed(said := _piece('"prompt_progress":{"total":1}')) == said
    assert _numbers(tally) == (28, 20, 3)


@pytest.mark.parametrize(
    "event",
    [b'data: {"error":{"message":"boom"}}\n\n', b'event: error\ndata: {"type":"error","error":{}}\n\n'],
)
def test_a_stream_that_fails(event: bytes) -> None:
    request, tally = _counted(CHAT, stream=True)
    request.answers.events().feed(_piece("a") + event)
    assert (tally.failed, tally.finished) == (True, False)
    request, tally = _counted(CHAT, stream=True)
    assert b"died" in request.answers.error_event(EngineFailed("died"))
    assert tally.failed


@pytest.mark.parametrize(
    "answer", [b"", b"[1]", b'{"usage":{"prompt_tokens":"many"}}', b'{"choices":7}', b"\xff"]
)
def test_what_cannot_be_counted_passes_all_the_same(answer: bytes) -> None:
    request, tally = _counted(CHAT)
    assert request.answers.whole(answer) == answer
    assert _numbers(tally) == (0, 0, 0)
