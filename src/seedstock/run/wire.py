"""The lines that a web worker and the supervisor exchange over the Unix socket, one JSON object each.

A connection is a lease: one `Ask`, then `Told` lines until `ready` or `error`; after `ready` the lease
holds a slot of the model until either side closes. An `error` after `ready` says that the engine died.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from seedstock.core.errors import (
    EngineBusy,
    EngineFailed,
    HubError,
    Invalid,
    ModelNotRunnable,
    UnsupportedFormat,
)
from seedstock.run.engines.base import Endpoint, ModelFile

MAX_LINE_BYTES = 64 * 1024


class State(StrEnum):
    """Where a lease stands."""

    QUEUED = "queued"
    LOADING = "loading"
    READY = "ready"
    ERROR = "error"


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """First line from the web worker: a lease on `model`, or the supervisor's status."""

    model: ModelFile | None = None
    op: Literal["lease", "status"] = "lease"


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line from the supervisor."""

    state: State
    detail: str = ""
    endpoint: Endpoint | None = None
    code: str = ""
    message: str = ""
    hint: str | None = None


class ModelStatus(msgspec.Struct, frozen=True):
    """One model that occupies memory."""

    key: str
    state: str
    pid: int | None
    memory_bytes: int
    leases: int
    slots: int
    context_tokens: int
    idle_s: float
    adapters: list[str] = []


class Status(msgspec.Struct, frozen=True):
    """What the supervisor holds now."""

    engine: str
    memory_limit_bytes: int
    memory_bytes: int
    waiting: int
    models: list[ModelStatus]


_CODES: dict[str, type[HubError]] = {
    "engine_busy": EngineBusy,
    "engine_failed": EngineFailed,
    "model_not_runnable": ModelNotRunnable,
    "unsupported_format": UnsupportedFormat,
    "invalid": Invalid,
}


def tell_error(error: HubError) -> Told:
    """The line for `error`; a class without a code of its own travels as its nearest ancestor."""
    code = next((code for code, kind in _CODES.items() if isinstance(error, kind)), "engine_failed")
    return Told(State.ERROR, code=code, message=error.message, hint=error.hint)


def error_of(told: Told) -> HubError:
    """The exception that an `error` line stands for."""
    return _CODES.get(told.code, EngineFailed)(told.message, hint=told.hint)
