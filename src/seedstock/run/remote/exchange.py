"""One request to an upstream, and its answer back.

Redirects are not followed: the key is for the address that it was given for. Answers are bounded. Errors that are
raised here hold neither the key, nor the address, nor headers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import httpx
import msgspec

from seedstock.core.errors import HubError, RemoteDown, RemoteFailed, RemoteSilent
from seedstock.run.remote.event_reader import EventReader
from seedstock.run.remote.refusals import MAX_ERROR_BYTES, refusal_of
from seedstock.run.remote.translation import Translation
from seedstock.run.remote.upstream import Upstream
from seedstock.run.request import Answers

MAX_ANSWER_BYTES = 64 << 20
CONNECT_TIMEOUT_S = 10.0


def open_client() -> httpx.AsyncClient:
    """The HTTP client for upstreams, closed by whoever opened it.

    Unlike the one for engines it heeds proxy settings and certificates of the environment: upstreams may lie
    beyond the local network.
    """
    # Not long: a request on a connection that its server closes just then fails, and is not sent twice.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=2)
    return httpx.AsyncClient(trust_env=True, limits=limits, follow_redirects=False)


async def complete(
    client: httpx.AsyncClient,
    upstream: Upstream,
    translation: Translation,
    answers: Answers,
    *,
    timeout_s: float,
) -> bytes:
    """The whole answer as JSON bytes, in the caller's API. Cancelling it hangs up.

    Raises Invalid, NotFound and TooLarge for what the upstream refuses, RemoteBusy and EngineBusy while it has no
    time, RemoteDown, RemoteSilent and RemoteFailed for what is wrong with it.
    """
    async with _send(client, upstream, translation, timeout_s) as response:
        data = upstream.scrub(await _read(upstream, response, MAX_ANSWER_BYTES))
    try:
        return upstream.scrub(answers.whole(translation.passage.whole(data)))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise _strange(upstream) from None


async def stream(
    client: httpx.AsyncClient,
    upstream: Upstream,
    translation: Translation,
    answers: Answers,
    *,
    timeout_s: float,
) -> AsyncGenerator[bytes]:
    """The answer as server-sent events of the caller's API, each item one or more whole events.

    Errors before the first item are raised as by `complete`; later ones become the caller's kind of error event,
    with which the stream ends. Closing the generator hangs up. `timeout_s` bounds the silence between two events.
    """
    begun = False
    try:
        async with (
            _send(client, upstream, translation, timeout_s) as response,
            aclosing(_events(upstream, response, translation, answers)) as events,
        ):
            async for told in events:
                begun = True
                yield upstream.scrub(told)
    except HubError as error:
        if not begun:
            raise
        yield answers.error_event(error)


async def _events(
    upstream: Upstream, response: httpx.Response, translation: Translation, answers: Answers
) -> AsyncGenerator[bytes]:
    reader, passed, events = EventReader(), translation.passage.events(), answers.events()
    try:
        async with aclosing(_chunks(upstream, response, MAX_ANSWER_BYTES)) as chunks:
            async for chunk in chunks:
                for data in reader.feed(chunk):
                    if told := events.feed(passed.feed(upstream.scrub(data))):
                        yield told
                    if events.finished:
                        return
        last = b"".join(passed.feed(upstream.scrub(data)) for data in reader.end()) + passed.end()
        if last and (told := events.feed(last)):
            yield told
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise _strange(upstream) from None
    if not events.finished:
        raise RemoteFailed(f"The remote {upstream.name!r} broke off while it answered")


@asynccontextmanager
async def _send(
    client: httpx.AsyncClient, upstream: Upstream, translation: Translation, timeout_s: float
) -> AsyncIterator[httpx.Response]:
    """An answer with status 200 whose body is still to be read. Leaving the block early hangs up."""
    name = f"The remote {upstream.name!r}"
    try:
        request = client.build_request(
            "POST",
            upstream.base_url + translation.path,
            content=translation.body,
            headers=upstream.headers
            | {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "seedstock"},
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S, pool=CONNECT_TIMEOUT_S),
        )
        response = await client.send(request, stream=True, follow_redirects=False)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise RemoteDown(f"{name} cannot be reached") from None
    except httpx.TimeoutException:
        raise RemoteSilent(f"{name} gave no answer within {timeout_s:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
        raise RemoteFailed(f"{name} gave no answer that is HTTP") from None
    try:
        if response.status_code != httpx.codes.OK:
            body = await _read_error(response)
            raise refusal_of(upstream, response.status_code, response.headers, body)
        yield response
    finally:
        await response.aclose()


async def _chunks(upstream: Upstream, response: httpx.Response, most_bytes: int) -> AsyncGenerator[bytes]:
    name, size = f"The remote {upstream.name!r}", 0
    try:
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > most_bytes:
                raise RemoteFailed(f"{name} gave an answer of more than {most_bytes} bytes")
            yield chunk
    except httpx.TimeoutException:
        raise RemoteSilent(f"{name} fell silent while it answered") from None
    except httpx.HTTPError:
        raise RemoteFailed(f"{name} broke off while it answered") from None


async def _read(upstream: Upstream, response: httpx.Response, most_bytes: int) -> bytes:
    return b"".join([chunk async for chunk in _chunks(upstream, response, most_bytes)])


async def _read_error(response: httpx.Response) -> bytes:
    """The beginning of the body of a refusal, as far as it comes."""
    found = b""
    try:
        async for chunk in response.aiter_bytes():
            found += chunk
            if len(found) >= MAX_ERROR_BYTES:
                break
    except httpx.HTTPError:
        pass
    return found[:MAX_ERROR_BYTES]


def _strange(upstream: Upstream) -> RemoteFailed:
    return RemoteFailed(f"The remote {upstream.name!r} gave an answer that is not of its API")
