"""`seedstock jobs`: what a hub does for you in the background."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click
import msgspec

from seedstock.cli.hub_client import HubClient, hub_options, print_json
from seedstock.cli.job_follower import follow as follow_events
from seedstock.cli.job_follower import outcome_of

_WHAT = "Looking at jobs"
_TAIL_LINES = 20
_SHOWN_PROMPT = 60
# What people look at while a model learns; the rest is in the page's plots and in --json.
_FIRST = (
    "step", "loss", "eval_loss", "reward", "eval_reward", "eval_pass", "kl", "completion_length", "kept", "score", "tokens_per_s",
)  # fmt: skip


@click.group(invoke_without_command=True)
@click.option(
    "--state", "states", multiple=True, metavar="S", help="queued, running, done, dead or cancelled."
)
@click.option("--kind", "kinds", multiple=True, metavar="K", help="Such as convert_model.")
@click.option("--all", "everyone", is_flag=True, help="Of all accounts; for admins.")
@click.option(
    "--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="The newest so many."
)
@hub_options
@click.pass_context
def jobs(
    context: click.Context, /, endpoint: str | None, token: str | None, as_json: bool, **wanted: Any
) -> None:
    """List your jobs on a hub, newest first; or show, follow, cancel or retry one.

    \b
    seedstock jobs
    seedstock jobs --state running --json
    seedstock jobs follow 12
    seedstock jobs cancel 12
    """  # noqa: D301 - \b is click's
    if context.invoked_subcommand:
        return
    client = HubClient(endpoint, token, _WHAT)
    query = {"state": wanted["states"], "kind": wanted["kinds"], "limit": wanted["limit"]}
    found = client.send("GET", "/api/jobs", params=query | ({"all": "1"} if wanted["everyone"] else {}))
    if as_json:
        print_json(found)
        return
    for job in found:
        owner = f"{job['account'] or '-':<16} " if wanted["everyone"] else ""
        click.echo(f"{job['id']:>6}  {_standing(job):<14} {owner}{job['kind']:<18} {job['createdAt'][:16]}Z")
    if not found:
        click.echo("no jobs", err=True)


@jobs.command()
@click.argument("job_id", type=click.IntRange(1), metavar="ID")
@hub_options
def show(job_id: int, endpoint: str | None, token: str | None, as_json: bool) -> None:
    """Say how a job stands, with the end of its log.

    \b
    seedstock jobs show 12
    seedstock jobs show 12 --json | jq .result
    """  # noqa: D301 - \b is click's
    client = HubClient(endpoint, token, _WHAT)
    job = client.send("GET", f"/api/jobs/{job_id}")
    if as_json:
        print_json(job)
        return
    click.echo(
        f"job {job['id']}, {job['kind']}: {_standing(job)}, attempt {job['attempts']} of {job['maxAttempts']}"
    )
    for label in ("createdAt", "startedAt", "finishedAt"):
        if job[label]:
            click.echo(f"  {label.removesuffix('At'):<9} {job[label]}")
    if job["error"]:
        click.echo(f"  error     {job['error']}")
    if job["result"]:
        click.echo(f"  result    {msgspec.json.encode(job['result']).decode()}")
    text = client.ask("GET", f"/api/jobs/{job_id}/log", params={"format": "text", "limit": 10_000}).text
    for line in text.splitlines()[-_TAIL_LINES:]:
        click.echo(f"  {line}")


@jobs.command()
@click.argument("job_id", type=click.IntRange(1), metavar="ID")
@click.option(
    "--after", type=click.IntRange(0), default=0, metavar="N", help="Only what came after that entry."
)
@hub_options
def follow(job_id: int, after: int, endpoint: str | None, token: str | None, as_json: bool) -> None:
    """Print what a job says as it says it, from its beginning to its end.

    A lost connection is taken up again where it broke. Exit code 0 when the job is done, 1 when it failed, 5 when it
    was cancelled. With --json, each event is a line.

    \b
    seedstock jobs follow 12
    seedstock jobs follow 12 --json | jq -c 'select(.kind == "metrics") | .data'
    """  # noqa: D301 - \b is click's
    client = HubClient(endpoint, token, "Following a job")
    teller = _print_event if as_json else EventScreen().tell
    end = follow_events(client, job_id, teller, after)
    if as_json:
        _print_event("end", end)
    if error := outcome_of(job_id, end):
        raise error
    if not as_json:
        click.echo(f"done: {msgspec.json.encode(end['result']).decode()}" if end["result"] else "done")


@jobs.command()
@click.argument("job_id", type=click.IntRange(1), metavar="ID")
@hub_options
def cancel(job_id: int, endpoint: str | None, token: str | None, as_json: bool) -> None:
    """Stop a job; one that runs may save its state first.

    \b
    seedstock jobs cancel 12
    """  # noqa: D301 - \b is click's
    _act("cancel", job_id, HubClient(endpoint, token, "Cancelling a job"), as_json=as_json)


@jobs.command()
@click.argument("job_id", type=click.IntRange(1), metavar="ID")
@hub_options
def retry(job_id: int, endpoint: str | None, token: str | None, as_json: bool) -> None:
    """Queue a job again that failed or was cancelled; one that failed goes on from its last checkpoint.

    \b
    seedstock jobs retry 12
    """  # noqa: D301 - \b is click's
    _act("retry", job_id, HubClient(endpoint, token, "Starting a job again"), as_json=as_json)


@jobs.command()
@click.argument("job_id", type=click.IntRange(1), metavar="ID")
@hub_options
def forget(job_id: int, endpoint: str | None, token: str | None, as_json: bool) -> None:
    """Remove the checkpoints that are kept of a job for spot checks; what those showed stays.

    \b
    seedstock jobs forget 12
    """  # noqa: D301 - \b is click's
    client = HubClient(endpoint, token, "Removing checkpoints")
    client.ask("DELETE", f"/api/jobs/{job_id}/checkpoints")
    if as_json:
        print_json({"job": job_id, "kept": None})
    else:
        click.echo(f"job {job_id}: its checkpoints are removed")


def _act(verb: str, job_id: int, client: HubClient, *, as_json: bool) -> None:
    job = client.send("POST", f"/api/jobs/{job_id}/{verb}")
    if as_json:
        print_json(job)
    elif verb == "cancel" and job["state"] == "running":
        click.echo(f"job {job_id}: asked to stop")
    else:
        click.echo(f"job {job_id}: {job['state']}")


def _standing(job: dict[str, Any]) -> str:
    fraction = (job["progress"] or {}).get("fraction")
    if job["state"] == "running" and fraction is not None:
        return f"running {fraction:.0%}"
    return "failed" if job["state"] == "dead" else str(job["state"])


def _print_event(name: str, data: dict[str, Any]) -> None:
    click.echo(msgspec.json.encode({"event": name} | data))


class EventScreen:
    """Events as lines to read: what the job says on standard output, how it stands on standard error."""

    def __init__(self) -> None:
        self._percent = -1

    def tell(self, name: str, data: dict[str, Any]) -> None:
        """Print one event."""
        if name == "state":
            error = f": {data['error']}" if data["error"] and data["state"] == "queued" else ""
            click.echo(f"{data['state']}{error}", err=True)
        elif name == "progress":
            self._progress(data)
        else:
            moment = datetime.fromisoformat(data["at"]).astimezone()
            click.echo(f"{moment:%H:%M:%S} {_in_words(name, data)}")
            sys.stdout.flush()

    def _progress(self, data: dict[str, Any]) -> None:
        percent = int(100 * data["fraction"])
        if percent == self._percent:
            return
        self._percent = percent
        left = f", about {_duration(data['eta_s'])} left" if "eta_s" in data else ""
        click.echo(f"{percent} %{left} {data['message']}".rstrip(), err=True)


def _in_words(name: str, data: dict[str, Any]) -> str:
    if name == "log":
        return str(data["text"])
    said = dict(data["data"])
    if name == "sample":
        return f"sample at step {said.get('step', '?')}: {_end(said.get('prompt', ''))} -> {said.get('text', '')!r}"
    if name == "stage":
        return _stage_in_words(said)
    shown = [key for key in _FIRST if key in said] or [key for key in said if key not in {"stage", "run"}]
    return "  ".join(f"{key} {_figure(said[key])}" for key in shown)


def _stage_in_words(said: dict[str, Any]) -> str:
    run = f" (run {said['run']})" if "run" in said else ""
    if "graph" in said:
        return f"stages{run}: {', '.join(str(stage[0]) for stage in said['graph'])}"
    if said.get("state", "running") == "running":
        place = f"{said.get('number', '?')} of {said.get('of', '?')}"
        return f"stage {place}{run}: {said.get('name')} ({said.get('op')})"
    took = f" in {_duration(said['seconds'])}" if "seconds" in said else ""
    return f"stage {said.get('name')}{run}: {said['state']}{took}"


def _end(prompt: object) -> str:
    """The last part of a prompt: templates begin all alike."""
    text = str(prompt).strip()
    return repr(text if len(text) <= _SHOWN_PROMPT else f"...{text[-_SHOWN_PROMPT:]}")


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
