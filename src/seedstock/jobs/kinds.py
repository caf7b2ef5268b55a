"""What kinds of job there are is the hub's business (`wiring.job_kinds`); this says what a kind is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class JobContext(Protocol):
    """What a running job is given."""

    @property
    def job_id(self) -> int:
        """Number of the job."""

    @property
    def state_dir(self) -> Path:
        """A folder that survives retries of this job: where checkpoints go."""

    def log(self, text: str) -> None:
        """Add a line to the job's log."""

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the job is, from 0 to 1."""

    def cancelled(self) -> bool:
        """Whether the job should stop: it was cancelled, or its lease is lost."""


Work = Callable[[JobContext, dict[str, Any]], dict[str, Any] | None]


@dataclass(frozen=True)
class JobKind:
    """How jobs of one kind are run.

    A job that takes longer than seconds, or runs foreign code, is `isolated`: it gets its own process, which
    can be killed, limited in memory, and cannot take the worker down.
    """

    name: str
    work: Work | None
    """Called in the worker itself; None for an isolated kind."""
    entry: str = ""
    """`module:function` that an isolated job's process calls, with the context and the spec."""
    lease_s: float = 30.0
    max_attempts: int = 5
    timeout_s: float = 24 * 3600.0
    """Isolated only."""
    memory_bytes: int | None = None
    """Isolated only: limit of the address space."""
    every_s: float | None = None
    """Set for housekeeping: a job of this kind is queued so often."""

    @property
    def isolated(self) -> bool:
        """Whether jobs of this kind get a process of their own."""
        return self.work is None
