"""Answering requests with a model file: a lease around each answer, to its very end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

import httpx
import msgspec

from seedstock.core.errors import EngineFailed, HubError, Invalid
from seedstock.run.client import fetch_status, lease
from seedstock.run.engines.base import Ability, Dialect, Endpoint, ModelFile
from seedstock.run.exchange import complete, open_client, stream
from seedstock.run.messages_by_chat import as_chat
from seedstock.run.request import EngineRequest
from seedstock.run.vllm_dialect import as_vllm, lack_of
from seedstock.run.wire import Status

_REAP_S = 0.2  # a dead child's port closes some milliseconds before its parent hears of the death
_TEMPLATE = "cannot be used with this model: its chat template has no place for it"
_LACKS = {
    Ability.GENERATION: "This model makes embeddings and no text",
    Ability.EMBEDDINGS: "This model makes no embeddings: its file names no way of pooling",
    Ability.TOOLS: f"'tools' {_TEMPLATE}",
    Ability.REASONING_EFFORT: f"'reasoning_effort' {_TEMPLATE}",
    Ability.IMAGES: "This model takes no images",
}
_TELL_PROMPT = frozenset({"/v1/chat/completions", "/v1/completions"})
_Answer = TypeVar("_Answer")


class EventStream:
    """Server-sent events of one answer. Whoever iterates must `aclose` in a `finally`.

    Starlette's StreamingResponse does not: when the client hangs up, the lease would live on until the
    garbage collector finds the traceback that holds the iterator.
    """

    def __init__(
        self, first: bytes, rest: AsyncGenerator[bytes], error_event: Callable[[HubError], bytes]
    ) -> None:
        self._first: bytes | None = first
        self._rest = rest
        self.error_event = error_event

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await anext(self._rest)

    async def aclose(self) -> None:
        """Hang up on the engine and give the lease back; harmless when repeated."""
        await self._rest.aclose()


class ModelRunner:
    """Per web worker: the way to the supervisor and a pool of connections to engines."""

    def __init__(
        self, socket_path: Path, *, lease_timeout_s: float = 300.0, answer_timeout_s: float = 600.0
    ) -> None:
        self._socket_path = socket_path
        self._lease_timeout_s = lease_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._client = open_client()

    async def complete(self, model: ModelFile, request: EngineRequest) -> bytes:
        """The whole answer as JSON bytes; raises as `client.lease` and `exchange.complete` do."""
        return await _again_if_unreached(lambda: self._complete(model, request))

    async def open_stream(self, model: ModelFile, request: EngineRequest) -> EventStream:
        """The answer as events. Waits for the first one, so that errors are raised here, before a status is sent."""
        return await _again_if_unreached(lambda: self._open_stream(model, request))

    async def status(self) -> Status:
        """What the supervisor holds now."""
        return await fetch_status(self._socket_path)

    async def aclose(self) -> None:
        """Close the pooled connections."""
        await self._client.aclose()

    async def _complete(self, model: ModelFile, request: EngineRequest) -> bytes:
        async with lease(self._socket_path, model, timeout_s=self._lease_timeout_s) as endpoint:
            request = _started(request, endpoint)
            return await complete(self._client, endpoint, request, timeout_s=self._answer_timeout_s)

    async def _open_stream(self, model: ModelFile, request: EngineRequest) -> EventStream:
        events = self._events(model, request)
        try:
            return EventStream(await anext(events), events, request.answers.error_event)
        except BaseException:
            await events.aclose()
            raise

    async def _events(self, model: ModelFile, request: EngineRequest) -> AsyncGenerator[bytes]:
        async with lease(self._socket_path, model, timeout_s=self._lease_timeout_s) as endpoint:
            request = _started(request, endpoint)
            events = stream(self._client, endpoint, request, timeout_s=self._answer_timeout_s)
            async with aclosing(events):
                async for event in events:
                    yield event


def _started(request: EngineRequest, endpoint: Endpoint) -> EngineRequest:
    """The request as this model's engine gets it, now that it is its turn. Raises Invalid."""
    _check(request, endpoint)
    if not endpoint.speaks_messages:
        request = as_chat(request)
    by_vllm = endpoint.dialect is Dialect.VLLM
    if by_vllm:
        request = as_vllm(request, endpoint)
    if request.on_start is not None:
        request.on_start()
    if by_vllm:
        return request
    if request.tells_prompt and request.stream and request.path in _TELL_PROMPT:
        request = _with(request, {"return_progress": True})
    return _with_adapter(request, endpoint)


def _with(request: EngineRequest, more: dict[str, object]) -> EngineRequest:
    """The request with more parameters."""
    added = msgspec.json.encode(more)
    return msgspec.structs.replace(request, body=added[:-1] + b"," + request.body[1:])


def _check(request: EngineRequest, endpoint: Endpoint) -> None:
    """Refuse what this model would silently ignore. Raises Invalid."""
    for ability in request.needs:
        if ability not in endpoint.abilities:
            by_vllm = endpoint.dialect is Dialect.VLLM and ability is Ability.REASONING_EFFORT
            raise Invalid(lack_of(ability.value) if by_vllm else _LACKS[ability])


def _with_adapter(request: EngineRequest, endpoint: Endpoint) -> EngineRequest:
    """The request with the adapter that it is for; where there are some, "none" has to be said too.

    A request that says nothing is answered without any, but after the cached prompt of one that said something
    (llama.cpp 2026.10): its answer would be another model's.
    """
    if not endpoint.adapters or not request.generates:
        return request
    if endpoint.held:
        used = None if endpoint.adapter is None else endpoint.held[endpoint.adapter]
        keep = [one.key for one in endpoint.held]
        return _with(request, {"adapters": {"keep": keep, "use": used}})
    number, scale = (0, 0.0) if endpoint.adapter is None else (endpoint.adapter, 1.0)
    return _with(request, {"lora": [{"id": number, "scale": scale}]})


async def _again_if_unreached(attempt: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Try twice if nobody listens at the endpoint: its engine died, and the supervisor has not seen it yet."""
    try:
        return await attempt()
    except EngineFailed as error:
        if not isinstance(error.__cause__, httpx.ConnectError):
            raise
    await asyncio.sleep(_REAP_S)
    return await attempt()
