"""How a tour is made: numbered stops that share a `Trip`, each shown while it runs.

A later part of the product adds a stop: a function that takes the trip, and a line in `ALL` of `route.py`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from seedstock.core.errors import HubError


class TourFailed(HubError):
    """A stop did not work out: says what failed and what to do."""


@dataclass
class Trip:
    """What stops know and leave for one another."""

    folder: Path
    url: str = ""
    token: str = ""
    model: Path = field(default_factory=Path)
    repo: str = "demo/SmolLM2-135M-Instruct-GGUF"
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a line to the stop that is running."""
        click.echo(f"      {text}")


@dataclass(frozen=True)
class Stop:
    """One stop."""

    title: str
    visit: Callable[[Trip], None]


def run(stops: Sequence[Stop], trip: Trip) -> None:
    """Visit the stops in order. Raises TourFailed, naming the stop."""
    for number, stop in enumerate(stops, 1):
        click.secho(f"[{number}/{len(stops)}] {stop.title}", bold=True)
        sys.stdout.flush()
        started = time.monotonic()
        try:
            stop.visit(trip)
        except TourFailed as error:
            raise TourFailed(
                f"The tour stopped at “{stop.title}”: {error.message}", hint=error.hint
            ) from error
        click.secho(f"      done in {time.monotonic() - started:.1f} s", fg="green")
