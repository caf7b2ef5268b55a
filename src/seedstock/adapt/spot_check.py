"""A spot check: one segment of a long run, between two checkpoints, run again and held against the run's chain.

It shows that this segment was computed as the record says. Of the segments that nobody ran again it shows nothing, so
it is never called a proof.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from seedstock.adapt.launch import Launcher, StageStopped
from seedstock.adapt.output import RESULT_FILE, write_durably
from seedstock.adapt.stage import STAGE_FILE, Event
from seedstock.adapt.train.checkpoints import UNTIL, Link, Until, checkpoints, last_checkpoint, read_until
from seedstock.core.errors import Invalid, NotFound


class SpotCheck(msgspec.Struct, frozen=True):
    """The segment from `start` to `stop`: the link of its end as recorded, and as it came out now."""

    start: int
    stop: int
    recorded: str
    seen: str
    start_as_recorded: bool
    """Whether the checkpoint that it began from is the state that its own link is of; the run's beginning needs none."""
    platform: dict[str, str]
    """What it ran on now."""

    @property
    def agrees(self) -> bool:
        """Whether the segment is as recorded."""
        return self.start_as_recorded and self.recorded == self.seen


class _Result(msgspec.Struct):
    chain: list[Link] = []


def recorded_chain(work: Path) -> list[Link]:
    """The chain of a stage's folder: of its result, else as far as its checkpoints go. Raises NotFound."""
    file = work / RESULT_FILE
    if file.is_file():
        found = msgspec.json.decode(file.read_bytes(), type=_Result).chain
    else:
        kept = checkpoints(work / "state")
        found = kept[-1][1].chain if kept else []
    if not found:
        raise NotFound(f"{work} holds no chain of checkpoints", hint="only runs that train have one")
    return found


def segments(work: Path, chain: Sequence[Link]) -> list[tuple[int, int]]:
    """First and last step of every segment that can be run again: the first one, and those whose checkpoint is kept."""
    kept = {0, *(progress.step for _, progress in checkpoints(work / "state"))}
    return [(start, stop) for start, stop in pairwise([0, *(link.step for link in chain)]) if start in kept]


def spot_check(
    work: Path,
    scratch: Path,
    chain: Sequence[Link],
    segment: tuple[int, int],
    launcher: Launcher,
    say: Callable[[Event], None],
    stopping: Callable[[], bool] = lambda: False,
) -> SpotCheck:
    """Run a segment again in `scratch`, which is empty or as an attempt that was stopped left it; `work` is only read.

    Raises what the launcher raises.
    """
    start, stop = segment
    recorded = {link.step: link.digest for link in chain}
    if segment not in pairwise([0, *recorded]):
        raise Invalid(f"The chain has no segment from step {start} to step {stop}")
    state = scratch / "state"
    if read_until(state) is None:
        _lay_out(work, scratch, Until(step=stop, link=recorded[start] if start else None), start)
    try:
        result = launcher.run(scratch, say, stopping)
        links, began, platform = result["chain"], result["began_as_recorded"], result["platform"]
        found = msgspec.convert(links, list[Link])
    except StageStopped:
        newest = last_checkpoint(state)
        if newest is None or newest[1].step != stop:
            raise
        found, began, platform = newest[1].chain, newest[1].began_as_recorded, newest[1].platform
    seen = next((link.digest for link in found if link.step == stop), "")
    return SpotCheck(start, stop, recorded[stop], seen, start_as_recorded=bool(began), platform=platform)


def _lay_out(work: Path, scratch: Path, until: Until, start: int) -> None:
    """The run as it was at step `start`; what says how far to go comes last, so that what has it is whole."""
    shutil.rmtree(scratch, ignore_errors=True)
    state = scratch / "state"
    state.mkdir(parents=True)
    shutil.copyfile(work / STAGE_FILE, scratch / STAGE_FILE)
    (scratch / "inputs").symlink_to((work / "inputs").absolute())
    if start:
        for path in (work / "state").iterdir():
            if path.is_file() and path.name != RESULT_FILE.name:
                shutil.copyfile(path, state / path.name)
        shutil.copytree(work / "state" / f"checkpoint-{start}", state / f"checkpoint-{start}")
    write_durably(state / UNTIL, msgspec.json.encode(until))
