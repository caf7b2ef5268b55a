"""What operators watch, in Prometheus' words.

No label names a user, a token or a model: ids of private models would tell that they exist. Web workers share their
numbers through files in a folder, which `share` names; without it they are this process's alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics import Counter

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_RATES = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 250, 500, 1000, 2500, 5000)
_OPERATIONS = frozenset(
    "chat/completions completions responses embeddings tokenize detokenize messages messages/count_tokens".split()
)


class Timing(msgspec.Struct, frozen=True):
    """The moments of one answer as spans; None for what did not come to pass or cannot be told."""

    whole_s: float
    queue_s: float | None = None
    first_token_s: float | None = None
    tokens_per_s: float | None = None


class Gauge(msgspec.Struct, frozen=True):
    """A number as it is now; `samples` by the values of `labels`."""

    name: str
    help: str
    samples: tuple[tuple[tuple[str, ...], float], ...]
    labels: tuple[str, ...] = ()


class Metrics:
    """The metrics of one process; its library is loaded with the first."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._requests_by: dict[tuple[str, str, int], Counter] = {}

    def share(self, folder: Path) -> None:
        """Keep numbers in files of a folder that other workers use too; to be called before anything is counted."""
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(
            folder
        )  # the library's only way, read when it is imported
        self._folder = folder

    def request(self, method: str, route: str, status: int) -> None:
        """Count an answer to a request; `route` is the pattern, so that there are few."""
        key = (method, route, status)
        child = self._requests_by.get(key)
        if child is None:
            child = self._all.requests.labels(method, route, str(status))
            self._requests_by[key] = child
        child.inc()

    def generation(self, operation: str, outcome: str, timing: Timing) -> None:
        """Observe an answer of a model, or a failure to give one."""
        operation = operation if operation in _OPERATIONS else "other"
        found = self._all
        found.generations.labels(operation, outcome).inc()
        found.durations.labels(operation).observe(timing.whole_s)
        if timing.queue_s is not None:
            found.queues.labels(operation).observe(timing.queue_s)
        if timing.first_token_s is not None:
            found.firsts.labels(operation).observe(timing.first_token_s)
        if timing.tokens_per_s is not None:
            found.rates.labels(operation).observe(timing.tokens_per_s)

    def refused(self, kind: str) -> None:
        """Count a request over a limit."""
        self._all.refusals.labels(kind).inc()

    def tokens(self, prompt: int, cached: int, completion: int) -> None:
        """Count tokens."""
        for kind, amount in (("prompt", prompt), ("cached", cached), ("completion", completion)):
            if amount:
                self._all.tokens.labels(kind).inc(amount)

    def exposition(self, gauges: Iterable[Gauge]) -> tuple[bytes, str]:
        """All workers' numbers and the given gauges, as text, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.core import GaugeMetricFamily
        from prometheus_client.multiprocess import MultiProcessCollector

        own = self._all.registry
        if self._folder is not None:
            own = CollectorRegistry()
            MultiProcessCollector(own, str(self._folder))  # type: ignore[no-untyped-call]
        now = CollectorRegistry()

        class _Now:
            def collect(self) -> Iterable[GaugeMetricFamily]:
                for gauge in gauges:
                    family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
                    for values, number in gauge.samples:
                        family.add_metric(values, number)
                    yield family

        now.register(_Now())
        return generate_latest(own) + generate_latest(now), CONTENT_TYPE_LATEST

    @cached_property
    def _all(self) -> _Declared:
        return _Declared()


class _Declared:
    """Every metric that is counted as things happen."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self.registry: CollectorRegistry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter(
            "seedstock_http_requests", "Answers to requests", ["method", "route", "status"], registry=registry
        )
        self.generations = Counter(
            "seedstock_generations",
            "Answers of models: ok, failed, or abandoned by the client",
            ["operation", "outcome"],
            registry=registry,
        )
        self.durations = Histogram(
            "seedstock_generation_seconds",
            "From the request to the end of the answer",
            ["operation"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.queues = Histogram(
            "seedstock_generation_queue_seconds",
            "Until an engine took the request up, loading the model included",
            ["operation"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.firsts = Histogram(
            "seedstock_generation_first_token_seconds",
            "From the request to the first token of a stream",
            ["operation"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.rates = Histogram(
            "seedstock_generation_tokens_per_second",
            "Tokens per second of a stream after its first",
            ["operation"],
            buckets=_RATES,
            registry=registry,
        )
        self.tokens = Counter(
            "seedstock_tokens",
            "Tokens of prompts (cached ones among them) and answers",
            ["kind"],
            registry=registry,
        )
        self.refusals = Counter(
            "seedstock_rate_limited", "Requests refused by a limit", ["limit"], registry=registry
        )
