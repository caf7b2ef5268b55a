"""`/metrics`, for Prometheus."""

from __future__ import annotations

import hmac
import ipaddress
from collections import Counter

from starlette.responses import Response

from seedstock.core.errors import EngineFailed, Forbidden, Unauthenticated
from seedstock.http.call import Call, identify_caller
from seedstock.http.routing import Routes
from seedstock.http.threads import in_thread
from seedstock.run.wire import Status
from seedstock.usage.metrics import Gauge

_HINT = "read them on the hub's machine, or with SEEDSTOCK_METRICS_TOKEN or an admin's token"
# What a proxy adds: behind one on this machine everybody comes from loopback.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "via")


def identify_reader(call: Call) -> None:
    """Let in who may read metrics. Raises Unauthenticated and Forbidden."""
    configured = call.hub.settings.metrics_token
    kind, _, sent = call.request.headers.get("authorization", "").partition(" ")
    if (
        configured
        and kind.lower() == "bearer"
        and hmac.compare_digest(sent.strip().encode(), configured.encode())
    ):
        return
    if configured is None and _is_local(call):
        return
    identify_caller(call)
    if call.viewer.anonymous:
        raise Unauthenticated("Metrics are not for everybody", hint=_HINT)
    if not call.viewer.is_admin:
        raise Forbidden("Metrics are for administrators", hint=_HINT)


def _is_local(call: Call) -> bool:
    client, headers = call.request.client, call.request.headers
    if client is None or any(name in headers for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(client.host.strip("[]")).is_loopback
    except ValueError:
        return False


routes = Routes(identify=identify_reader)


@routes.add("GET", "/metrics")
async def metrics(call: Call) -> Response:
    """What this server and its engines do, in Prometheus' text format."""
    try:
        engines = _engine_gauges(await call.hub.runner.status())
    except EngineFailed:
        engines = [_up(0)]
    jobs = await in_thread(call.hub.queue.waiting)
    counts = tuple(((kind, state), float(number)) for kind, state, number in jobs)
    gauges = [*engines, Gauge("seedstock_jobs", "Jobs that are not over", counts, ("kind", "state"))]
    text, content_type = await in_thread(call.hub.usage.metrics.exposition, gauges)
    return Response(text, headers={"content-type": content_type, "cache-control": "no-store"})


def _up(up: int) -> Gauge:
    return _one("seedstock_engines_up", "Whether the engine supervisor of this machine answers", up)


def _one(name: str, text: str, number: float) -> Gauge:
    return Gauge(name, text, (((), float(number)),))


def _engine_gauges(status: Status) -> list[Gauge]:
    """All engines together: which models are loaded is not everybody's to know."""
    states = Counter(model.state for model in status.models)
    samples = tuple(
        ((state,), float(states[state])) for state in ("loading", "ready", "retiring", "stopping")
    )
    return [
        _up(1),
        Gauge("seedstock_engine_models", "Models in memory", samples, ("state",)),
        _one("seedstock_engine_memory_bytes", "Memory that they take, as estimated", status.memory_bytes),
        _one("seedstock_engine_memory_limit_bytes", "Memory that they may take", status.memory_limit_bytes),
        _one("seedstock_engine_waiting", "Requests that wait for an engine", status.waiting),
        _one("seedstock_engine_busy_slots", "Answers under way", sum(one.leases for one in status.models)),
        _one(
            "seedstock_engine_slots", "Answers that can be under way", sum(one.slots for one in status.models)
        ),
    ]
