"""Follows a job over the network: server-sent events, taken up again after the last id when a connection is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click
import msgspec

from seedstock.cli.hub_client import HubClient, refusal
from seedstock.core.errors import Conflict, HubError, Invalid, LimitExceeded, Unavailable

_SILENCE_S = 60.0  # the hub gives a sign of life each 15 s
_FIRST_PAUSE_S, _MOST_PAUSE_S = 0.25, 10.0
_PATIENCE_S = 600.0

Told = Callable[[str, dict[str, Any]], None]
"""Hears each event: its name and data."""


def follow(client: HubClient, job_id: int, told: Told, after: int = 0) -> dict[str, Any]:
    """Tell what a job says until it is over: the data of its `end`. No entry is told twice, and none is left out.

    Raises as the hub refuses, and Unavailable when it cannot be reached for ten minutes.
    """
    last, pause_s, lost_at_s = after, _FIRST_PAUSE_S, 0.0
    while True:
        try:
            for name, number, data in _events(client, job_id, last):
                last = number if number is not None else last
                if name == "end":
                    return data
                told(name, data)
                pause_s, lost_at_s = _FIRST_PAUSE_S, 0.0
        except (Unavailable, LimitExceeded) as error:
            lost_at_s = lost_at_s or time.monotonic()
            if time.monotonic() - lost_at_s > _PATIENCE_S:
                raise
            if pause_s == _FIRST_PAUSE_S:
                click.echo(f"connection lost, trying again: {error.message}", err=True)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _MOST_PAUSE_S)


def outcome_of(job_id: int, end: dict[str, Any]) -> HubError | None:
    """What a command ends with: exit code 0 for done, 1 for failed, 5 for cancelled."""
    if end["state"] == "done":
        return None
    if end["state"] == "cancelled":
        return Conflict(f"Job {job_id} was cancelled")
    return Invalid(f"Job {job_id} failed: {end['error'] or end['state']}")


def _events(client: HubClient, job_id: int, after: int) -> Iterator[tuple[str, int | None, dict[str, Any]]]:
    import httpx

    headers = client.headers | {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
    timeout = httpx.Timeout(30, read=_SILENCE_S)
    url = f"{client.url}/api/jobs/{job_id}/events"
    try:
        with httpx.stream("GET", url, headers=headers, timeout=timeout) as answer:
            if answer.status_code != 200:
                raise refusal(answer.status_code, answer.read().decode(errors="replace"))
            yield from parse_events(answer.iter_lines())
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise client.silent(error) from None


def parse_events(lines: Iterable[str]) -> Iterator[tuple[str, int | None, dict[str, Any]]]:
    """Name, id and JSON data of each whole event. Raises Unavailable for what is no event stream of a hub."""
    name, number, data = "message", None, ""
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "id" and value.isdigit():
            number = int(value)
        elif field == "data":
            data += value
        elif not line and data:
            try:
                yield name, number, msgspec.json.decode(data, type=dict[str, Any])
            except msgspec.DecodeError:
                raise Unavailable("The stream of events is damaged") from None
            name, number, data = "message", None, ""
