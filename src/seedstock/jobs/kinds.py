"""What kinds of job there are is the hub's business (`housekeeping.job_kinds`); this says what a kind is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
        """Add a line to the job's log; it is stored within a second."""

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the job is, from 0 to 1; the newest word is stored each second."""

    def cancelled(self) -> bool:
        """Whether the job should save its state and return.

        It was cancelled, its lease is lost, or its worker is stopping and will give it back to the queue.
        """


Work = Callable[[JobContext, dict[str, Any]], dict[str, Any] | None]


@dataclass(frozen=True)
class JobKind:
    """How jobs of one kind are run.

    A job that may take long is `slow`, so that quick ones do not wait behind it. One that takes minutes, or
    runs foreign code, is `isolated`: it gets its own process, which can be killed, limited in memory, and
    cannot take the worker down. That process starts in an empty folder, which is also its place for
    temporary files and vanishes with it.
    """

    name: str
    work: Work | None
    """Called in the worker itself; None for an isolated kind."""
    entry: str = ""
    """`module:function` that an isolated job's process calls, with the context and the spec."""
    services: str = ""
    """`module:function` that opens what the entry takes as a third argument and that has a `close()`."""
    services_options: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able keyword arguments for `services`."""
    lease_s: float = 30.0
    """How long a silent worker keeps the job."""
    max_attempts: int = 5
    slow: bool = False
    timeout_s: float = 24 * 3600.0
    """Isolated only."""
    grace_s: float = 5.0
    """Isolated only: time to save the state after `cancelled` turned true."""
    memory_bytes: int | None = None
    """Isolated only, on Linux: limit of what the job's processes take together."""
    every_s: float | None = None
    """Set for housekeeping: a job of this kind is queued so often."""

    @property
    def isolated(self) -> bool:
        """Whether jobs of this kind get a process of their own."""
        return self.work is None

    @property
    def takes_long(self) -> bool:
        """Whether quick jobs must not wait behind jobs of this kind."""
        return self.slow or self.isolated
