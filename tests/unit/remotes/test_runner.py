"""One request to an upstream that behaves, or does not: who is told what, and who has hung up."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from seedstock.core.errors import (
    EngineBusy,
    HubError,
    Invalid,
    NotFound,
    RemoteBusy,
    RemoteDown,
    RemoteFailed,
    RemoteRefused,
    RemoteSilent,
    TooLarge,
)
from seedstock.run.apis import Api, parse_request
from seedstock.run.remote import exchange
from seedstock.run.remote.breaker import THRESHOLD
from seedstock.run.remote.runner import LocatedRemote, RemoteRunner
from seedstock.run.remote.upstream import ApiKind, Upstream, UpstreamKey
from seedstock.run.request import EngineRequest
from tests.factories.upstream import Exchange, ScriptedUpstream, scripted_upstream, wire
from tests.unit.remotes.test_answers import CHAT, MESSAGE, OURS, THEIRS

pytestmark = pytest.mark.anyio
KEY = "sk-very-secret-0123456789"


def answer_chat(asked: Exchange) -> None:
    asked.answer(200, CHAT)


@pytest.fixture
def there() -> Iterator[ScriptedUpstream]:
    with scripted_upstream(answer_chat) as upstream:
        yield upstream


def located(
    there: ScriptedUpstream | str, kind: ApiKind = ApiKind.OPENAI, revision: int = 1
) -> LocatedRemote:
    url = there if isinstance(there, str) else there.url
    return LocatedRemote(Upstream("there", kind, f"{url}/v1", UpstreamKey(KEY), revision), "m")


def request(api: Api = Api.CHAT, *, stream: bool = False) -> EngineRequest:
    body = {"model": "remote/there/m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    return parse_request(api, json.dumps(body | {"stream": stream}).encode())


async def ask(at: LocatedRemote, asked: EngineRequest, runner: RemoteRunner | None = None) -> Any:
    mine = runner or RemoteRunner(5)
    try:
        if not asked.stream:
            return json.loads(await mine.complete(at, asked))
        events = await mine.open_stream(at, asked)
        try:
            return b"".join([event async for event in events])
        finally:
            await events.aclose()
    finally:
        if runner is None:
            await mine.aclose()


@pytest.mark.parametrize("kind", list(ApiKind))
@pytest.mark.parametrize("api", [Api.CHAT, Api.MESSAGE])
@pytest.mark.parametrize("stream", [False, True])
async def test_either_api_to_either_upstream(
    there: ScriptedUpstream, kind: ApiKind, api: Api, stream: bool
) -> None:
    def script(asked: Exchange) -> None:
        ours = kind is ApiKind.OPENAI
        if stream:
            asked.events(*(OURS if ours else THEIRS))
        else:
            asked.answer(200, CHAT if ours else MESSAGE)

    there.script = script
    told = await ask(located(there, kind), request(api, stream=stream))
    (asked,) = there.asked
    if kind is ApiKind.OPENAI:
        assert asked.path == "/v1/chat/completions"
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        assert "x-api-key" not in asked.headers
    else:
        assert asked.path == "/v1/messages"
        assert (asked.headers["x-api-key"], asked.headers["anthropic-version"]) == (KEY, "2023-06-01")
        assert "authorization" not in asked.headers
    assert asked.json["model"] == "m"
    if stream:
        assert told.endswith(b"data: [DONE]\n\n" if api is Api.CHAT else b'{"type":"message_stop"}\n\n')
        assert b"let " in told
        assert b'"error"' not in told
    else:
        assert told["model"] == "remote/there/m"
        assert "let me see" in json.dumps(told)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, Invalid, "too long (said by the remote 'there')"),
        (422, Invalid, "too long"),
        (404, NotFound, "too long"),
        (413, TooLarge, "too long"),
        (401, RemoteRefused, "refuses the key that this hub has for it (status 401)"),
        (403, RemoteRefused, "(status 403)"),
        (402, RemoteRefused, "no credit"),
        (429, RemoteBusy, "limits how often"),
        (503, EngineBusy, "overloaded"),
        (529, EngineBusy, "overloaded"),
        (500, RemoteFailed, "answers with status 500"),
        (418, RemoteRefused, "answers with status 418"),
        (408, RemoteSilent, "did not answer in time"),
        (504, RemoteSilent, "did not answer in time"),
        (307, RemoteRefused, "redirect (status 307), which is not followed"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_refusals(
    there: ScriptedUpstream, status: int, kind: type[HubError], words: str, stream: bool
) -> None:
    there.script = lambda asked: asked.answer(
        status,
        {"error": {"message": f"too long, {KEY}", "type": "x"}},
        location=f"{there.url}/elsewhere",
        x_account="org-123",
    )
    with pytest.raises(kind) as raised:
        await ask(located(there), request(stream=stream))
    assert type(raised.value) is kind
    said = f"{raised.value.message} {raised.value.hint}"
    for part in words.split(" (said"):
        assert part.removesuffix(")") in said.replace(", [key]", "")
    assert len(there.asked) == 1, "nothing is followed, nothing is tried twice"
    _check_secret(raised.value)


def _check_secret(error: BaseException) -> None:
    told = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__)
    assert KEY not in told
    assert "org-123" not in told


@pytest.mark.parametrize(
    "body", [b"", b"<html>bad gateway</html>", b'{"error": 5}', b"[1]", b"\xff" * 100, b"[" * 5000]
)
async def test_refusals_without_words(there: ScriptedUpstream, body: bytes) -> None:
    for status, kind in ((400, RemoteRefused), (404, RemoteRefused), (502, RemoteFailed)):
        there.script = lambda asked, status=status: asked.answer(status, body)  # type: ignore[misc]
        with pytest.raises(kind, match=f"status {status}"):
            await ask(located(there), request())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("999999", 3600),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        (None, None),
        ("-3", None),
    ],
)
async def test_how_long_to_wait_passes(
    there: ScriptedUpstream, header: str | None, seconds: int | None
) -> None:
    there.script = lambda asked: asked.answer(429, {}, **({"retry_after": header} if header else {}))
    with pytest.raises(RemoteBusy) as raised:
        await ask(located(there), request())
    assert raised.value.retry_after_s == seconds


async def test_a_key_that_is_said_back_is_left_out(there: ScriptedUpstream) -> None:
    choice = CHAT["choices"][0] | {"message": {"role": "assistant", "content": f"it is {KEY}"}}
    there.script = lambda asked: asked.answer(200, CHAT | {"choices": [choice]})
    told = await ask(located(there), request())
    assert told["choices"][0]["message"]["content"] == "it is [key]"
    echo = {"choices": [{"index": 0, "delta": {"content": KEY}, "finish_reason": "stop"}]}
    there.script = lambda asked: asked.events(echo)
    assert KEY.encode() not in await ask(located(there), request(stream=True))


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{"message": {"content": 5}}]}']
)
async def test_what_is_no_answer_is_not_handed_on(there: ScriptedUpstream, data: bytes) -> None:
    there.script = lambda asked: asked.answer(200, data)
    for stream in (False, True):
        with pytest.raises(RemoteFailed):
            await ask(located(there), request(stream=stream))


async def test_answers_are_bounded(there: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_ANSWER_BYTES", 100_000)
    gone = threading.Event()

    def script(asked: Exchange) -> None:
        asked.begin()
        with suppress(ConnectionError):
            for _ in range(10_000):
                asked.send(b"x" * 10_000)
        gone.set()

    there.script = script
    with pytest.raises(RemoteFailed, match="more than 100000 bytes"):
        await ask(located(there), request())
    assert await asyncio.to_thread(gone.wait, 20), "it was not read to its end"


async def test_a_stream_that_breaks_off_ends_with_an_error(there: ScriptedUpstream) -> None:
    there.script = lambda asked: asked.events(*OURS[:5])
    told = await ask(located(there), request(stream=True))
    assert b'"let "' in told
    assert told.rstrip().splitlines()[-1].startswith(b'data: {"error":')
    assert b"broke off" in told
    there.script = lambda asked: asked.events(*THEIRS[:5])
    told = await ask(located(there, ApiKind.ANTHROPIC), request(Api.MESSAGE, stream=True))
    assert b"event: error\n" in told
    there.script = lambda asked: asked.events(OURS[0], {"error": {"message": "prompt too long", "code": 400}})
    assert b"prompt too long" in await ask(located(there), request(stream=True))


async def test_a_stream_that_begins_with_an_error_is_no_stream(there: ScriptedUpstream) -> None:
    there.script = lambda asked: asked.events({"error": {"message": "prompt too long", "code": 400}})
    with pytest.raises(Invalid, match="prompt too long"):
        await ask(located(there), request(stream=True))
    there.script = lambda asked: asked.events()
    with pytest.raises(RemoteFailed, match="broke off"):
        await ask(located(there), request(stream=True))


async def test_silence_has_an_end(there: ScriptedUpstream) -> None:
    def silent(asked: Exchange) -> None:
        asked.gone(30)

    def falls_silent(asked: Exchange) -> None:
        asked.events(OURS[0])
        asked.gone(30)

    quick, slower = RemoteRunner(0.2), RemoteRunner(2)
    try:
        there.script = silent
        with pytest.raises(RemoteSilent, match=r"no answer within 0\.2 s"):
            await ask(located(there), request(), quick)
        there.script = falls_silent
        assert b"fell silent" in await ask(located(there), request(stream=True), slower)
    finally:
        await quick.aclose()
        await slower.aclose()


@pytest.mark.parametrize("stream", [False, True])
async def test_who_hangs_up_here_hangs_up_there(there: ScriptedUpstream, stream: bool) -> None:
    reached, gone = threading.Event(), threading.Event()

    def script(asked: Exchange) -> None:
        if stream:
            # In one piece: the client hangs up at the first event, and a second write would find it gone already.
            asked.events(b"".join(map(wire, OURS[:4])))
        reached.set()
        if asked.gone(30):
            gone.set()

    there.script = script
    runner = RemoteRunner(30)
    if stream:
        events = await runner.open_stream(located(there), request(stream=True))
        await events.aclose()
    else:
        task = asyncio.create_task(runner.complete(located(there), request()))
        assert await asyncio.to_thread(reached.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await asyncio.to_thread(gone.wait, 20)
    await runner.aclose()


async def test_an_upstream_that_is_down_is_left_alone() -> None:
    now_s = 100.0
    runner = RemoteRunner(5, lambda: now_s)
    with scripted_upstream(answer_chat) as there:
        url = there.url
    for _ in range(THRESHOLD):
        with pytest.raises(RemoteDown, match="cannot be reached"):
            await ask(located(url), request(), runner)
    with pytest.raises(
        RemoteDown, match=r"failed 3 times in a row; next try in 5 s\. Last: .* cannot be reached"
    ) as refused:
        await ask(located(url), request(stream=True), runner)
    assert refused.value.retry_after_s == 5
    with pytest.raises(RemoteDown, match="cannot be reached"):
        await ask(located(url, revision=2), request(), runner)  # it was changed: another address, say
    await runner.aclose()


async def test_one_may_try_whether_it_is_well_again(there: ScriptedUpstream) -> None:
    now_s = 100.0
    runner = RemoteRunner(5, lambda: now_s)
    there.script = lambda asked: asked.answer(500, {})
    for _ in range(THRESHOLD):
        with pytest.raises(RemoteFailed):
            await ask(located(there), request(), runner)
    now_s += 5.1
    begun, go = threading.Event(), threading.Event()

    def slow(asked: Exchange) -> None:
        begun.set()
        go.wait(10)
        asked.answer(200, CHAT)

    there.script = slow
    trial = asyncio.create_task(runner.complete(located(there), request()))
    assert await asyncio.to_thread(begun.wait, 20)
    with pytest.raises(RemoteDown):  # one at a time
        await ask(located(there), request(), runner)
    go.set()
    await trial
    await ask(located(there), request(), runner)
    assert len(there.asked) == THRESHOLD + 2
    await runner.aclose()


async def test_refusals_are_no_failures(there: ScriptedUpstream) -> None:
    runner = RemoteRunner(5)
    for status in (400, 401, 404, 429, 503) * 2:
        there.script = lambda asked, status=status: asked.answer(status, {"message": "no"})  # type: ignore[misc]
        with pytest.raises(HubError) as raised:
            await ask(located(there), request(), runner)
        assert not isinstance(raised.value, RemoteDown)
    await runner.aclose()


async def test_nothing_that_is_logged_holds_the_key(
    there: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await ask(located(there), request())
    there.script = lambda asked: asked.answer(401, {"error": {"message": f"wrong: {KEY}"}})
    with pytest.raises(RemoteRefused):
        await ask(located(there), request())
    assert caplog.records, "libraries do say something"
    assert KEY not in caplog.text
    assert KEY not in repr(located(there))


def test_events_on_the_wire_are_what_the_tests_think() -> None:
    assert wire({"type": "ping"}) == b'event: ping\ndata: {"type": "ping"}\n\n'
