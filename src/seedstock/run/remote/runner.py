"""Answering with a remote model: the counterpart of `run.service.ModelRunner` for models that run elsewhere."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import httpx
import msgspec

from seedstock.core.errors import HubError, RemoteDown, RemoteFailed, RemoteRefused
from seedstock.run.remote import exchange
from seedstock.run.remote.breaker import Breakers
from seedstock.run.remote.translation import Translation, translate
from seedstock.run.remote.upstream import Upstream
from seedstock.run.request import EngineRequest
from seedstock.run.service import EventStream


class LocatedRemote(msgspec.Struct, frozen=True):
    """A model of an upstream, under the name that it has there."""

    upstream: Upstream
    model: str


class RemoteRunner:
    """Per web worker: a pool of connections to upstreams, and what is known of their health."""

    def __init__(self, timeout_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._breakers = Breakers(clock_s)
        self._client: httpx.AsyncClient | None = None

    async def complete(self, at: LocatedRemote, request: EngineRequest) -> bytes:
        """The whole answer as JSON bytes; raises as `exchange.complete` does, and Invalid."""
        translation = self._ready(at, request)
        try:
            answer = await exchange.complete(
                self._open(), at.upstream, translation, request.answers, timeout_s=self._timeout_s
            )
        except HubError as error:
            self._note(at.upstream, error)
            raise
        self._breakers.answered(at.upstream)
        return answer

    async def open_stream(self, at: LocatedRemote, request: EngineRequest) -> EventStream:
        """The answer as events. Waits for the first one, so that errors are raised here, before a status is sent."""
        translation = self._ready(at, request)
        events = self._events(at, translation, request)
        try:
            first = await anext(events)
        except HubError as error:
            await events.aclose()
            self._note(at.upstream, error)
            raise
        except BaseException:
            await events.aclose()
            raise
        self._breakers.answered(at.upstream)
        return EventStream(first, events, request.answers.error_event)

    async def aclose(self) -> None:
        """Close the pooled connections."""
        if self._client is not None:
            await self._client.aclose()

    def _ready(self, at: LocatedRemote, request: EngineRequest) -> Translation:
        """What to send; a request that cannot be sent is no failure of the upstream's."""
        translation = translate(at.upstream, at.model, request)
        self._breakers.check(at.upstream)
        if request.on_start is not None:
            request.on_start()
        return translation

    def _open(self) -> httpx.AsyncClient:
        """The client, made when it is first needed: reading certificates takes longer than a request."""
        if self._client is None:
            try:
                self._client = exchange.open_client()
            except (OSError, ValueError):
                raise RemoteFailed(
                    "This hub cannot reach remotes: its settings of proxies or certificates are wrong",
                    hint="see HTTPS_PROXY and SSL_CERT_FILE",
                ) from None
        return self._client

    def _note(self, upstream: Upstream, error: HubError) -> None:
        """An upstream that refuses is well."""
        if isinstance(error, RemoteDown | RemoteFailed) and not isinstance(error, RemoteRefused):
            self._breakers.failed(upstream, error)
        else:
            self._breakers.answered(upstream)

    async def _events(
        self, at: LocatedRemote, translation: Translation, request: EngineRequest
    ) -> AsyncGenerator[bytes]:
        events = exchange.stream(
            self._open(), at.upstream, translation, request.answers, timeout_s=self._timeout_s
        )
        async with aclosing(events):
            async for event in events:
                yield event
