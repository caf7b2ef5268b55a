"""`seedstock worker`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import Any

import click

from seedstock import settings as config

SLOW_LANES = "Analyses and conversions at a time. [default: 1]"
TRAINING_LANES = "Trainings at a time. [default: 1]"


@click.command()
@click.option("--data", metavar="DIR", help="Folder of the hub. [default: ./seedstock-data]")
@click.option("--database-url", metavar="URL", help="Database of the hub, if not in the folder.")
@click.option("--store-url", metavar="URL", help="Object store of the hub, if not in the folder.")
@click.option("--slow-lanes", type=click.IntRange(0, 64), metavar="N", help=SLOW_LANES)
@click.option("--training-lanes", type=click.IntRange(0, 64), metavar="N", help=TRAINING_LANES)
@click.option(
    "--launcher", metavar="L", help="Where training runs: local, or ray://host:10001. [default: local]"
)
@click.option("--exit-with-stdin", is_flag=True, hidden=True, help="Stop when standard input ends.")
def worker(exit_with_stdin: bool, **options: Any) -> None:
    """Run background jobs of a hub until SIGTERM.

    `seedstock serve` runs one of these itself; more may run beside it, on this or other machines.

    \b
    seedstock worker --data /srv/models
    seedstock worker --data /srv/models --slow-lanes 0 --training-lanes 2
    """  # noqa: D301 - \b is click's
    from seedstock.housekeeping import job_kinds
    from seedstock.jobs.kinds import Lane
    from seedstock.jobs.worker import Worker
    from seedstock.wiring import open_hub

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    settings = config.load(**options)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if exit_with_stdin:
        threading.Thread(target=_watch_stdin, args=(stop,), daemon=True).start()
    hub = open_hub(settings)
    Worker(
        hub.database,
        job_kinds(hub),
        settings.data_dir / "jobs",
        hub.clock,
        stop,
        lanes={Lane.SLOW: settings.slow_lanes, Lane.TRAINING: settings.training_lanes},
        most_per_account=settings.jobs_running_per_account,
    ).run()
    hub.close()


def _watch_stdin(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()
