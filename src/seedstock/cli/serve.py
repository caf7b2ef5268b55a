"""`seedstock serve`."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from seedstock import settings as config
from seedstock.cli.worker import SLOW_LANES, TRAINING_LANES


@click.command()
@click.option("--data", metavar="DIR", help="Folder of the hub. [default: ./seedstock-data]")
@click.option("--host", metavar="HOST", help="Address to listen on. [default: 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port to listen on; 0 picks a free one. [default: 8300]",
)
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Web worker processes. [default: 1]")
@click.option("--database-url", metavar="URL", help="postgresql://…  [default: SQLite in the folder]")
@click.option("--store-url", metavar="URL", help="s3://…, gs://…, az://…  [default: the folder]")
@click.option("--slow-lanes", type=click.IntRange(0, 64), metavar="N", help=SLOW_LANES)
@click.option("--training-lanes", type=click.IntRange(0, 64), metavar="N", help=TRAINING_LANES)
@click.option(
    "--launcher", metavar="L", help="Where training runs: local, or ray://host:10001. [default: local]"
)
@click.option(
    "--remotes",
    type=click.Choice(["on", "off"]),
    help="Whether models that run elsewhere may be used. [default: on]",
)
@click.option("--public-url", metavar="URL", help="How clients reach the hub, e.g. behind a proxy.")
def serve(**options: Any) -> None:
    """Run the hub until SIGTERM.

    Prints one line, `ready on URL`, when it accepts requests. Every option can also be given in the
    environment, as SEEDSTOCK_DATA, SEEDSTOCK_PORT, and so on.

    \b
    seedstock serve --data /srv/models --host 0.0.0.0
    seedstock serve --database-url postgresql://hub@db/hub --store-url s3://models --workers 4
    """  # noqa: D301 - \b is click's
    from seedstock.cli.companions import Companion, start_engines, start_worker
    from seedstock.http.server import claim_port
    from seedstock.http.server import serve as run
    from seedstock.places import check_places

    settings = config.load(**options)
    settings = msgspec.structs.replace(settings, port=claim_port(settings.host, settings.port))
    check_places(settings)
    companions = [Companion("engine supervisor", lambda: start_engines(settings))]

    def ready(url: str) -> None:
        click.echo(f"ready on {url}")
        # Not before: its start would take half of a small machine from the web worker's.
        companions.append(Companion("job worker", lambda: start_worker(settings)))

    try:
        run(settings, ready)
    finally:
        for companion in companions:
            companion.stop()
