"""One request to a running model over loopback HTTP, and its answer back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec

from seedstock.core.errors import EngineBusy, EngineFailed, HubError, Invalid
from seedstock.run.engines.base import Endpoint
from seedstock.run.request import EngineRequest

_MAX_ERROR_BYTES = 64 * 1024
_DEAD = "The engine stopped while it answered"


class _UpstreamError(msgspec.Struct, frozen=True):
    message: str = ""
    type: str = ""
    n_prompt_tokens: int = 0
    n_ctx: int = 0


class _UpstreamAnswer(msgspec.Struct, frozen=True):
    error: _UpstreamError


def open_client() -> httpx.AsyncClient:
    """The HTTP client for engine children: one per web worker, closed by whoever opened it.

    It ignores proxy settings of the environment: children are on loopback. No connection is used twice:
    llama.cpp closes one shortly after a stream on it has ended, and a request that is sent in between fails.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(trust_env=False, limits=limits, timeout=httpx.Timeout(5, read=None))


async def complete(
    client: httpx.AsyncClient, endpoint: Endpoint, request: EngineRequest, *, timeout_s: float = 600.0
) -> bytes:
    """The whole answer as JSON bytes.

    Cancelling it hangs up. llama.cpp notices that only in a second in which no other request yields a
    token (measured), so beside busy streams an abandoned answer runs to its end; a stream stops at once.
    Raises Invalid for what the engine refuses, EngineFailed if it dies or exceeds `timeout_s`.
    """
    async with _send(client, endpoint, request, timeout_s) as response:
        try:
            answer = await response.aread()
        except httpx.HTTPError as error:
            raise EngineFailed(_DEAD) from error
    return request.answers.whole(answer)


async def stream(
    client: httpx.AsyncClient, endpoint: Endpoint, request: EngineRequest, *, timeout_s: float = 600.0
) -> AsyncGenerator[bytes]:
    """The answer as server-sent events, each item one or more whole events.

    Errors before the first item are raised as by `complete`; later ones become the caller's kind of error
    event, with which the stream ends. Closing the generator frees the engine's slot. `timeout_s` bounds the
    silence between two events.
    """
    async with _send(client, endpoint, request, timeout_s) as response:
        events = request.answers.events()
        rest = b""
        finished = False
        try:
            async for chunk in response.aiter_raw():
                whole, border, rest = (rest + chunk).rpartition(b"\n\n")
                if border and (told := events.feed(whole + border)):
                    yield told
            finished = events.finished
        except httpx.HTTPError:
            finished = False
        if not finished:
            yield request.answers.error_event(EngineFailed(_DEAD))


@asynccontextmanager
async def _send(
    client: httpx.AsyncClient, endpoint: Endpoint, request: EngineRequest, timeout_s: float
) -> AsyncIterator[httpx.Response]:
    """An answer with status 200 whose body is still to be read. Leaving the block early hangs up."""
    upstream = client.build_request(
        "POST",
        f"{endpoint.base_url}{request.path}",
        content=request.body,
        headers={"Authorization": f"Bearer {endpoint.api_key}", "Content-Type": "application/json"},
        timeout=httpx.Timeout(5, read=timeout_s),
    )
    try:
        response = await client.send(upstream, stream=True)
    except httpx.ReadTimeout as error:
        raise EngineFailed(f"The engine gave no answer within {timeout_s:g} s") from error
    except httpx.HTTPError as error:
        raise EngineFailed(_DEAD) from error
    try:
        if response.status_code != httpx.codes.OK:
            raise await _error_of(response)
        yield response
    finally:
        await response.aclose()


async def _error_of(response: httpx.Response) -> HubError:
    """What a refusal by the engine means to our caller."""
    try:
        data = await response.aread()
        error = msgspec.json.decode(data[:_MAX_ERROR_BYTES], type=_UpstreamAnswer).error
    except (httpx.HTTPError, msgspec.MsgspecError):
        return EngineFailed(f"The engine answered with status {response.status_code}")
    if (refusal := _refusal_of(error)) is not None:
        return refusal
    if response.status_code in {429, 503}:
        return EngineBusy(error.message)
    if 400 <= response.status_code < 500 and response.status_code != 401:
        return Invalid(error.message)
    return EngineFailed(f"The engine answered with status {response.status_code}: {error.message}")


def _refusal_of(error: _UpstreamError) -> Invalid | None:
    """What llama.cpp refuses with words for its developers, or blames itself (500) for."""
    if error.type == "exceed_context_size_error":
        return Invalid(
            f"This model's context holds {error.n_ctx} tokens, and the request has {error.n_prompt_tokens}",
            hint="shorten the messages",
        )
    if error.message.startswith("Failed to initialize samplers"):
        # llama.cpp 2026.10 cannot follow a schema where the tokenizer puts a space before every text.
        return Invalid("This model's tokenizer cannot be held to a JSON schema", hint="a 'grammar' works")
    if "_M_range_check" in error.message:  # an index by a token id
        return Invalid("'tokens' holds numbers that are no tokens of this model")
    if "too large to process" in error.message:
        return Invalid(error.message.partition(". ")[0])
    return Invalid(error.message) if error.message.startswith("Failed to parse") else None
