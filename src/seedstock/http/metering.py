"""What surrounds every answer at `/v1`: limits before it, and counting when it has ended."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import TracebackType

from starlette.requests import ClientDisconnect

from seedstock.core.errors import HubError, NotFound
from seedstock.core.limits import LimitKind
from seedstock.http.call import Call
from seedstock.http.threads import in_thread
from seedstock.run.request import EngineRequest
from seedstock.run.service import EventStream
from seedstock.run.tally import Tally, measured
from seedstock.usage.limits import Admission, Standing
from seedstock.usage.metrics import Timing
from seedstock.usage.recorder import sums_of
from seedstock.usage.rules import caller_of

log = logging.getLogger("seedstock.usage")


def admit(call: Call) -> None:
    """Count a request against its caller's limits, and have its answer say what is left. Raises RateLimited."""
    caller = caller_of(call.viewer)
    if caller is None:
        return  # nothing is answered to strangers
    admission = call.hub.usage.limits.admit(caller)
    if admission.standings:
        now_ms = call.hub.clock()
        speaks_anthropic = call.request.url.path.startswith("/v1/messages")
        headers = anthropic_headers if speaks_anthropic else openai_headers
        call.headers |= headers(admission, now_ms)
    if admission.refusal is not None:
        call.hub.usage.metrics.refused(admission.refusal.kind)
        raise admission.refusal


def openai_headers(admission: Admission, now_ms: int) -> dict[str, str]:
    """The tightest limit of requests and of tokens, in OpenAI's headers."""
    found = {}
    for what, one in _tightest(admission).items():
        found[f"x-ratelimit-limit-{what}"] = str(one.rule.limit)
        found[f"x-ratelimit-remaining-{what}"] = str(one.left)
        found[f"x-ratelimit-reset-{what}"] = _duration(max(one.reset_at_ms - now_ms, 0))
    return found


def anthropic_headers(admission: Admission, _now_ms: int) -> dict[str, str]:
    """The same in Anthropic's."""
    found = {}
    for what, one in _tightest(admission).items():
        found[f"anthropic-ratelimit-{what}-limit"] = str(one.rule.limit)
        found[f"anthropic-ratelimit-{what}-remaining"] = str(one.left)
        moment = datetime.fromtimestamp(math.ceil(one.reset_at_ms / 1000), UTC)
        found[f"anthropic-ratelimit-{what}-reset"] = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    return found


def _tightest(admission: Admission) -> dict[str, Standing]:
    found: dict[str, Standing] = {}
    for one in admission.standings:
        what = "requests" if one.rule.kind is LimitKind.REQUESTS_PER_MINUTE else "tokens"
        if what not in found or one.left < found[what].left:
            found[what] = one
    return found


def _duration(ms: int) -> str:
    """As OpenAI writes it: `120ms`, `1s`, `6m0s`, `23h59m59s`."""
    if ms < 1000:
        return f"{ms}ms"
    minutes, seconds = divmod(-(-ms // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{seconds}s"


class MeteredAnswer:
    """One answer while it is given. As a context manager it counts what the block came to; a stream, when it ends."""

    def __init__(self, call: Call, request: EngineRequest) -> None:
        self._call = call
        self._tally = Tally(request)
        self._operation = call.request.url.path.removeprefix("/v1/")
        self._model = ""
        self._handed_over = False
        self._settled = False
        self.request = measured(request, self._tally)
        """The request to give to an engine: what it answers is counted on its way."""

    def of(self, model: str) -> None:
        """Say which model answers; a request that found none is no use of one."""
        self._model = model

    def until_closed(self, events: EventStream) -> EventStream:
        """The stream, counted when it is closed, however far it came."""
        self._handed_over = True
        return _MeteredStream(events, self)

    async def __aenter__(self) -> MeteredAnswer:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if not self._handed_over:
            await self.settle(error)

    async def settle(self, error: BaseException | None = None) -> None:
        """Count the answer as it is now; harmless when repeated."""
        caller = caller_of(self._call.viewer)
        if self._settled or not self._model or caller is None or isinstance(error, NotFound):
            return
        self._settled = True
        tally, usage = self._tally, self._call.hub.usage
        left = isinstance(error, ClientDisconnect | asyncio.CancelledError)
        gone = left or (error is None and not tally.finished)
        failed = tally.failed or (error is not None and not gone)
        timing = _timing(tally, time.monotonic())
        outcome = "failed" if failed else "abandoned" if gone else "ok"
        usage.metrics.generation(self._operation, outcome, timing)
        if not self.request.counts:
            return
        sums = sums_of(tally, failed=failed, duration_s=timing.whole_s)
        usage.metrics.tokens(sums.prompt_tokens, sums.cached_tokens, sums.completion_tokens)
        usage.recorder.record(caller, self._model, sums)
        if usage.limits.charges(caller):
            try:
                await in_thread(usage.limits.charge, caller, sums.prompt_tokens + sums.completion_tokens)
            except HubError as failure:  # the answer is made, and is its caller's
                log.warning("tokens are not charged: %s", failure.message)


def _timing(tally: Tally, ended_s: float) -> Timing:
    began_s, started_s, first_s = tally.began_s, tally.started_s, tally.first_s
    rate = None
    if first_s is not None and tally.completion_tokens > 1 and ended_s > first_s:
        rate = (tally.completion_tokens - 1) / (ended_s - first_s)
    return Timing(
        whole_s=ended_s - began_s,
        queue_s=None if started_s is None else started_s - began_s,
        first_token_s=None if first_s is None else first_s - began_s,
        tokens_per_s=rate,
    )


class _MeteredStream(EventStream):
    """A stream that is counted when it is closed."""

    def __init__(self, events: EventStream, answer: MeteredAnswer) -> None:
        self._events = events
        self._answer = answer
        self.error_event = events.error_event

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._events.__aiter__()

    async def aclose(self) -> None:
        """Hang up on the engine first: what it would go on to make is nobody's."""
        try:
            await self._events.aclose()
        finally:
            await self._answer.settle()
