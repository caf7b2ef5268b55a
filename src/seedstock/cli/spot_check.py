"""`seedstock spot-check`."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import click

from seedstock.cli.hub_client import HubClient, hub_options, print_json
from seedstock.cli.job_follower import follow, outcome_of
from seedstock.cli.jobs import EventScreen
from seedstock.core.errors import Integrity, Invalid, NotFound

_OTHER_PLATFORM = "; it ran on another class of platforms than the run, where equal bytes are not promised"


@click.command("spot-check")
@click.argument("what", metavar="JOB|WORK")
@click.option(
    "--step", type=int, help="With WORK: begin at the checkpoint of this step. [default: at random]"
)
@hub_options
def spot_check(what: str, step: int | None, endpoint: str | None, token: str | None, as_json: bool) -> None:
    """Run one segment of a training run again, from a checkpoint that it kept, and compare with its chain.

    JOB is the number of a job of a hub that made a variant and kept its checkpoints (`seedstock adapt
    --keep-checkpoints`): the hub picks a segment at random and runs it. WORK is the folder of a stage that was run here
    with `"checkpoints": 0` in its stage.json, which keeps them all (`./12` for a folder whose name is a number).

    Exit code 0: the segment is as recorded, which is no proof of the rest of the run. 6: it is not.

    \b
    seedstock spot-check 12
    seedstock spot-check runs/poet --step 400
    """  # noqa: D301 - \b is click's
    if what.isdecimal():
        if step is not None:
            raise Invalid("The hub picks the segment of a job", hint="leave --step out")
        _of_job(int(what), HubClient(endpoint, token, "A spot check"), as_json=as_json)
        return
    if not Path(what).is_dir():
        raise NotFound(f"{what} is neither the number of a job nor a folder")
    _of_folder(Path(what), step)


def _of_job(number: int, client: HubClient, *, as_json: bool) -> None:
    answer = client.send("POST", f"/api/jobs/{number}/spot-check")
    segment = answer["segment"]
    if not as_json:
        click.echo(
            f"job {answer['job']}: steps {segment['start']} to {segment['stop']} of job {number}", err=True
        )
    end = follow(client, answer["job"], (lambda _name, _data: None) if as_json else EventScreen().tell)
    answer["state"] = end
    if as_json:
        print_json(answer)
    if error := outcome_of(answer["job"], end):
        raise error
    _tell(segment, segment["segments"], end["result"], quiet=as_json)


def _of_folder(work: Path, step: int | None) -> None:
    import msgspec

    from seedstock.adapt.launch import LocalLauncher
    from seedstock.adapt.spot_check import recorded_chain, segments
    from seedstock.adapt.spot_check import spot_check as check

    chain = recorded_chain(work)
    possible = [segment for segment in segments(work, chain) if step is None or segment[0] == step]
    if not possible:
        raise NotFound(f"{work} keeps no checkpoint that a segment of its chain begins at")
    segment = random.SystemRandom().choice(possible)
    with tempfile.TemporaryDirectory(prefix="spot-check-") as folder:
        found = check(work, Path(folder) / "work", chain, segment, LocalLauncher(), lambda _event: None)
    about = msgspec.to_builtins(found)
    _tell(about, len(chain), about | {"agrees": found.agrees}, quiet=False)


def _tell(segment: dict[str, Any], of_all: int, found: dict[str, Any], *, quiet: bool) -> None:
    """Say how it came out; raise Integrity if otherwise than recorded."""
    where = f"steps {segment['start']} to {segment['stop']}, one of {of_all} segments"
    note = "" if found.get("same_platform", True) else _OTHER_PLATFORM
    if not found["start_as_recorded"]:
        start = segment["start"]
        raise Integrity(f"{where}: the checkpoint at step {start} is not the state of its link{note}")
    if not found["agrees"]:
        seen, recorded = found["seen"][:12], found["recorded"][:12]
        raise Integrity(f"{where}: came out as {seen}, recorded is {recorded}{note}")
    if not quiet:
        click.echo(f"spot-checked: {where}, came out as recorded ({found['seen'][:12]})")
