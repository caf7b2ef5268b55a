"""What a benchmark hands to the report."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One thing that was measured several times."""

    name: str
    unit: str
    samples: list[float]


class Goal(msgspec.Struct, frozen=True):
    """A figure that there is a target for, or a ratio worth knowing (no target)."""

    name: str
    unit: str
    samples: list[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def value(self) -> float:
        """The figure that is judged: the median of the rounds."""
        return median(self.samples)

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None if there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.value <= self.at_most if self.at_most is not None else None


class Table(msgspec.Struct, frozen=True):
    """Counts or words that are not samples of one measure. The first column is text, the others stand to the right."""

    title: str
    head: list[str]
    rows: list[list[str]]


class Section(msgspec.Struct, frozen=True):
    """One question and its answer."""

    title: str
    note: str
    rows: list[Row] = []
    goals: list[Goal] = []
    tables: list[Table] = []


class Part(msgspec.Struct, frozen=True):
    """What one command measured, when, and on what."""

    title: str
    command: str
    machine: dict[str, str]
    sections: list[Section]


class Plan(msgspec.Struct, frozen=True):
    """How much is measured."""

    folder: Path
    """Where files and hubs go; on the disk that is measured."""
    quick: bool
    rounds: int
    transfer_rounds: int
    """Of whole uploads and stock clients, which take long."""
    seconds: float
    """Of each stretch of requests."""
    file_bytes: int
    big_file_bytes: int
    commits: int


def full_plan(folder: Path) -> Plan:
    """What `make bench` measures."""
    return Plan(
        folder,
        False,
        rounds=3,
        transfer_rounds=3,
        seconds=2.0,
        file_bytes=1 << 30,
        big_file_bytes=4 << 30,
        commits=100,
    )


def quick_plan(folder: Path) -> Plan:
    """A smoke run: every line of the benchmarks, no figure worth quoting."""
    return Plan(
        folder,
        True,
        rounds=1,
        transfer_rounds=1,
        seconds=0.2,
        file_bytes=12 << 20,
        big_file_bytes=24 << 20,
        commits=3,
    )


def ratios(above: Row, below: Row) -> list[float]:
    """Round by round, because rounds are interleaved and the machine drifts."""
    return [a / b for a, b in zip(above.samples, below.samples, strict=True)]


def size_text(size_bytes: int) -> str:
    """A size in the largest whole unit."""
    for unit, shift in (("GiB", 30), ("MiB", 20)):
        if size_bytes >> shift:
            return f"{size_bytes >> shift} {unit}"
    return f"{size_bytes} bytes"
