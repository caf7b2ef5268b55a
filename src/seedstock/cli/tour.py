"""`seedstock tour`."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import tempfile
import time
from pathlib import Path

import click

from seedstock.core.errors import Unavailable


@click.command()
@click.option(
    "--keep", is_flag=True, help="Leave the hub running at the end, until Ctrl-C, and its folder in place."
)
@click.option(
    "--cache", metavar="DIR", default=".cache/tour", show_default=True, help="Where the model is kept."
)
def tour(keep: bool, cache: str) -> None:
    """Publish, download and run a real model on a hub of its own, end to end.

    \b
    seedstock tour           everything is cleaned up at the end
    seedstock tour --keep    the hub stays up; sign in as demo with the password seedstock-demo
    """  # noqa: D301 - \b is click's
    for module in ("huggingface_hub", "openai", "xllamacpp", "torch", "trl"):
        if importlib.util.find_spec(module) is None:
            raise Unavailable(f"The tour needs {module}", hint="pip install 'seedstock[run,adapt,tour]'")
    from seedstock.tour import route, stops

    try:
        Path(cache).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"Cannot keep the model in {cache}: {error.strerror}", hint="choose another --cache"
        ) from None
    # Being told to stop is like Ctrl-C: the hub is stopped too, and not left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="seedstock-tour-"))
    route.prepare_environment(folder)
    trip = stops.Trip(folder)
    try:
        click.secho("Starting a hub", bold=True)
        with route.running_hub(trip):
            trip.note(f"ready on {trip.url}")
            stops.run(route.stops(Path(cache)), trip)
            click.secho(f"\nOpen {trip.url}/{trip.repo}", bold=True)
            if keep:
                _wait(trip.url, folder)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    if not keep:
        click.echo("The hub was stopped and its folder removed; `seedstock tour --keep` leaves it running.")


def _wait(url: str, folder: Path) -> None:
    click.echo(f"Sign in at {url}/login as demo, password seedstock-demo. The hub's folder is {folder}.")
    click.echo("Ctrl-C stops the hub.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo("stopped")
