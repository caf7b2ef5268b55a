"""`seedstock spot-check`."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import click


@click.command("spot-check")
@click.argument("work", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--step", type=int, help="Begin at the checkpoint of this step. [default: at random]")
def spot_check(work: Path, step: int | None) -> None:
    """Run one segment of a stage again, from a checkpoint that it kept, and compare with its chain.

    WORK is the folder of a stage that was run with `"checkpoints": 0` in its stage.json, which keeps them all. Exit
    code 0: the segment is as recorded. That is no proof of the rest of the run.
    """
    from seedstock.adapt.launch import LocalLauncher
    from seedstock.adapt.spot_check import recorded_chain, segments
    from seedstock.adapt.spot_check import spot_check as check
    from seedstock.core.errors import Integrity, NotFound

    chain = recorded_chain(work)
    possible = [segment for segment in segments(work, chain) if step is None or segment[0] == step]
    if not possible:
        raise NotFound(f"{work} keeps no checkpoint that a segment of its chain begins at")
    segment = random.SystemRandom().choice(possible)
    with tempfile.TemporaryDirectory(prefix="spot-check-") as folder:
        found = check(work, Path(folder) / "work", chain, segment, LocalLauncher(), lambda _event: None)
    where = f"steps {found.start} to {found.stop}, one of {len(chain)} segments"
    if not found.start_as_recorded:
        raise Integrity(f"{where}: the checkpoint at step {found.start} is not the state of its link")
    if not found.agrees:
        raise Integrity(f"{where}: came out as {found.seen[:12]}, recorded is {found.recorded[:12]}")
    click.echo(f"spot-checked: {where}, came out as recorded ({found.seen[:12]})")
