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
from seedstock.adapt.output import RESULT_FILE
from seedstock.adapt.stage import STAGE_FILE, Event
from seedstock.adapt.train.checkpoints import UNTIL, Link, Until, checkpoints, last_checkpoint
from seedstock.core.errors import Invalid, NotFound


class SpotCheck(msgspec.Struct, frozen=True):
    """The segment from `start` to `stop`: the link of its end as recorded, and as it came out now."""

    start: int
    stop: int
    recorded: str
    seen: str
    start_as_recorded: bool
    """Whether the checkpoint that it began from is the state that its own link is of."""

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
    """First and last step of every segment that can be run again: its first checkpoint is kept."""
    kept = {progress.step for _, progress in checkpoints(work / "state")}
    steps = [link.step for link in chain]
    return [(start, stop) for start, stop in pairwise(steps) if start in kept]


def spot_check(
    work: Path,
    scratch: Path,
    chain: Sequence[Link],
    segment: tuple[int, int],
    launcher: Launcher,
    say: Callable[[Event], None],
) -> SpotCheck:
    """Run a segment again in an empty folder, `scratch`; `work` is only read. Raises what the launcher raises."""
    start, stop = segment
    recorded = {link.step: link.digest for link in chain}
    if start not in recorded or stop not in recorded:
        raise Invalid(f"The chain has no segment from step {start} to step {stop}")
    state = scratch / "state"
    state.mkdir(parents=True)
    shutil.copyfile(work / STAGE_FILE, scratch / STAGE_FILE)
    (scratch / "inputs").symlink_to((work / "inputs").absolute())
    for path in (work / "state").iterdir():
        if path.is_file() and path.name != RESULT_FILE.name:
            shutil.copyfile(path, state / path.name)
    shutil.copytree(work / "state" / f"checkpoint-{start}", state / f"checkpoint-{start}")
    until = Until(step=stop, link=recorded[start])
    (state / UNTIL).write_bytes(msgspec.json.encode(until))
    try:
        result = launcher.run(scratch, say, lambda: False)
        links, began = result["chain"], result["began_as_recorded"]
        found = msgspec.convert(links, list[Link])
    except StageStopped:
        newest = last_checkpoint(state)
        assert newest is not None
        found, began = newest[1].chain, newest[1].began_as_recorded
    seen = next((link.digest for link in found if link.step == stop), "")
    return SpotCheck(start, stop, recorded[stop], seen, start_as_recorded=bool(began))
