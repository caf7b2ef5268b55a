"""Back-off: what went wrong with a model lately, and when it may be tried again.

A crash is retried at once; crashes in a row wait 1, 2, 4 … 60 s, so that a model that kills its engine
costs little. A file that the engine refuses will be refused again: it is remembered for a minute.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from seedstock.core.errors import EngineFailed, HubError, ModelNotRunnable

MAX_DELAY_S = 60.0
STEADY_S = 30.0
_MAX_REMEMBERED = 1000


class _Failure(msgspec.Struct, frozen=True):
    count: int
    retry_s: float
    error: HubError


class FailureLog:
    """Failures by model, on a clock that the caller reads."""

    def __init__(self) -> None:
        self._failures: dict[Hashable, _Failure] = {}

    def add(self, model: Hashable, error: HubError, now_s: float, *, ran_s: float = 0.0) -> None:
        """Note a failure; one that ran for `STEADY_S` before it died counts as a first one."""
        earlier = self._failures.pop(model, None)
        count = 1 if earlier is None or ran_s >= STEADY_S else earlier.count + 1
        delay_s = 0.0 if count == 1 else min(MAX_DELAY_S, 2.0 ** min(count - 2, 10))
        if isinstance(error, ModelNotRunnable):
            delay_s = MAX_DELAY_S
        self._failures[model] = _Failure(count, now_s + delay_s, error)
        if len(self._failures) > _MAX_REMEMBERED:
            del self._failures[next(iter(self._failures))]

    def find(self, model: Hashable, now_s: float) -> HubError | None:
        """The error to answer with, or None if the model may be tried."""
        failure = self._failures.get(model)
        if failure is None or now_s >= failure.retry_s:
            return None
        if isinstance(failure.error, ModelNotRunnable):
            return ModelNotRunnable(failure.error.message, hint=failure.error.hint)
        wait_s = failure.retry_s - now_s
        return EngineFailed(
            f"The engine failed {failure.count} times in a row for this model; next try in {wait_s:.0f} s."
            f" Last: {failure.error.message}"
        )
