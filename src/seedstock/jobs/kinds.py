"""What kinds of job there are is the hub's business (`housekeeping.job_kinds`); this says what a kind is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
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

    def event(self, kind: str, data: dict[str, Any]) -> None:
        """Say something that is no text: `metrics` (always with `step`), a `sample` or the `stage` that begins.

        Stored and shown in the order said, among the log lines. Raises Invalid as `events.checked_event` does.
        """

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the job is, from 0 to 1; the newest word is stored each second."""

    def cancelled(self) -> bool:
        """Whether the job should save its state and return.

        It was cancelled, its lease is lost, or its worker is stopping and will give it back to the queue.
        """


class Lane(StrEnum):
    """Where jobs of a kind wait for each other, and for no others."""

    QUICK = "quick"
    """Milliseconds to seconds, in the worker itself."""
    SLOW = "slow"
    """Seconds to minutes, such as an analysis or a conversion."""
    TRAINING = "training"
    """Minutes to days."""


Work = Callable[[JobContext, dict[str, Any]], dict[str, Any] | None]


@dataclass(frozen=True)
class JobKind:
    """How jobs of one kind are run.

    Its lane says how long jobs of a kind may take, so that quick ones do not wait behind them. One that takes
    minutes, or runs foreign code, is `isolated`: it gets its own process, which can be killed, limited in memory, and
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
    lane: Lane | None = None
    """None: `quick`, or `slow` for an isolated kind."""
    timeout_s: float = 24 * 3600.0
    """Isolated only."""
    grace_s: float = 5.0
    """Isolated only: time to save the state after `cancelled` turned true."""
    memory_bytes: int | None = None
    """Isolated only, on Linux: limit of what the job's processes take together."""
    memory_hint: str = ""
    """What to change about a job that needs more."""
    every_s: float | None = None
    """Set for housekeeping: a job of this kind is queued so often."""
    lasting: bool = False
    """Whether jobs of this kind are not forgotten some days after their end: their results are looked up."""

    @property
    def isolated(self) -> bool:
        """Whether jobs of this kind get a process of their own."""
        return self.work is None

    @property
    def runs_in(self) -> Lane:
        """The lane, whether named or not."""
        return self.lane or (Lane.SLOW if self.isolated else Lane.QUICK)
