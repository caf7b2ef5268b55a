"""Passing answers through, against every way that a network may cut them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import pairwise

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import EngineBusy, EngineFailed, HubError, Invalid
from seedstock.run.engines.base import SERVED_MODEL, Endpoint
from seedstock.run.exchange import complete, stream
from seedstock.run.messages_request import parse_messages_request
from seedstock.run.openai_request import Kind, parse_openai_request
from seedstock.run.request import EngineRequest

ENDPOINT = Endpoint("http://127.0.0.1:1", "key", 4, 64)
NAME = 'me/"quoted" ü'
REQUEST = parse_openai_request(
    Kind.COMPLETION, json.dumps({"model": NAME, "prompt": "hi", "stream": True}).encode()
)


class Pieces(httpx.AsyncByteStream):
    def __init__(self, pieces: list[bytes], *, dies: bool) -> None:
        self._pieces = pieces
        self._dies = dies

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._dies:
            raise httpx.RemoteProtocolError("gone")


def answering(status: int, pieces: list[bytes], *, dies: bool = False) -> httpx.AsyncClient:
    answer = httpx.Response(status, stream=Pieces(pieces, dies=dies))
    return httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer))


def events_of(pieces: list[bytes], *, dies: bool = False, request: EngineRequest = REQUEST) -> list[bytes]:
    async def collect() -> list[bytes]:
        async with answering(200, pieces, dies=dies) as client:
            return [event async for event in stream(client, ENDPOINT, request)]

    return anyio.run(collect)


def event(text: str) -> bytes:
    return f"data: {json.dumps({'text': text, 'model': SERVED_MODEL}, separators=(',', ':'))}\n\n".encode()


@given(
    st.lists(st.text(max_size=20) | st.just(f'"model":"{SERVED_MODEL}"'), max_size=5),
    st.sets(st.integers(0, 400)),
)
def test_a_stream_names_the_callers_model_however_it_is_cut(texts: list[str], cuts: set[int]) -> None:
    data = b"".join(map(event, texts)) + b"data: [DONE]\n\n"
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    events = events_of([data[start:stop] for start, stop in pairwise(places)])
    assert all(item.endswith(b"\n\n") for item in events)
    *answers, done = b"".join(events).decode().removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    parsed = [json.loads(answer.removeprefix("data: ")) for answer in answers]
    assert parsed == [{"text": text, "model": NAME} for text in texts]


@pytest.mark.parametrize("dies", [True, False])
def test_a_stream_that_breaks_off_ends_with_an_error_event(dies: bool) -> None:
    first, last = events_of([event("one"), b'data: {"tex'], dies=dies)
    assert json.loads(first[6:])["text"] == "one"
    assert json.loads(last[6:])["error"]["code"] == "engine_failed"


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("dies", [True, False])
def test_so_does_one_in_anthropics_shape(dies: bool, forced: bool) -> None:
    body = {"model": "m", "max_tokens": 5, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    if forced:
        body |= {"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "any"}}
    request = parse_messages_request(json.dumps(body).encode())
    *_, last = events_of([b'data: {"type":"message_stop'], dies=dies, request=request)
    head, _, data = last.partition(b"\ndata: ")
    assert head == b"event: error"
    assert json.loads(data)["error"]["type"] == "api_error"


@pytest.mark.parametrize(
    ("status", "error", "kind", "said"),
    [
        (
            400,
            {"type": "exceed_context_size_error", "n_prompt_tokens": 99, "n_ctx": 64},
            Invalid,
            "64 tokens.*99",
        ),
        (400, {"message": "bad grammar"}, Invalid, "bad grammar"),
        (500, {"message": "Failed to parse messages: no"}, Invalid, "no"),
        (500, {"message": "decode failed"}, EngineFailed, "500: decode failed"),
        (503, {"message": "Loading model"}, EngineBusy, "Loading"),
        (401, {"message": "Invalid API Key"}, EngineFailed, "401"),
        (400, None, EngineFailed, "400"),
    ],
)
def test_refusals_of_the_engine_become_ours(
    status: int, error: object, kind: type[HubError], said: str
) -> None:
    data = json.dumps({"error": error}).encode() if error else b"<html>"

    async def ask() -> None:
        async with answering(status, [data]) as client:
            await complete(client, ENDPOINT, REQUEST)

    with pytest.raises(kind, match=said):
        anyio.run(ask)


def test_an_answer_that_breaks_off_is_a_failure() -> None:
    async def ask() -> None:
        async with answering(200, [b"{"], dies=True) as client:
            await complete(client, ENDPOINT, REQUEST)

    with pytest.raises(EngineFailed):
        anyio.run(ask)
