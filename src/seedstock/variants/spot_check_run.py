"""The work of one spot check: the stage laid out as the job's plan has it, one segment run again, the finding signed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.launch import Launcher
from seedstock.adapt.methods import GIVES_DATA
from seedstock.adapt.spot_check import SpotCheck, spot_check
from seedstock.adapt.stage import Event, write_stage
from seedstock.adapt.train.checkpoints import Link
from seedstock.core.errors import NotFound
from seedstock.jobs.kinds import JobContext
from seedstock.recipes.graph import as_stage
from seedstock.recipes.outputs import content_digest
from seedstock.recipes.record import RunRecord
from seedstock.variants.kept import Kept
from seedstock.variants.plan import Input, Plan
from seedstock.variants.publishing import digests_of
from seedstock.variants.recipe import recipe_of

PREDICATE = "urn:seedstock:spot-check:1"


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """What is checked. It is chosen when the check is asked for and stays the job's, so that nobody draws again."""

    job: int
    """The one whose training it is of."""
    commit: str
    """Where that published."""
    stage: str
    start: int
    stop: int
    segments: int
    """Of the whole run."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: the link of the segment's end as published, and as it came out."""

    agrees: bool
    start_as_recorded: bool
    recorded: str
    seen: str
    same_platform: bool
    """Whether it ran on the run's class of platforms; between two, bytes may differ."""
    record: str = ""
    """All this as a signed statement."""


def chain_of(record: RunRecord, stage: str) -> list[Link]:
    """The chain that a published record has for a stage. Raises NotFound."""
    links = next((fact.chain for fact in record.stages if fact.stage == stage), [])
    if not links:
        raise NotFound(f"The record of the run has no chain of stage {stage}")
    return [Link(step=link.step, digest=link.digest) for link in links]


class SegmentRun(msgspec.Struct, frozen=True):
    """One segment of a run whose checkpoints are kept at `place`.

    Only those are taken from there: the arguments are the plan's, the inputs are placed anew from their pins.
    """

    context: JobContext
    plan: Plan
    target: str
    kept: Kept
    place: Path
    segment: Segment
    put: Callable[[Input, Path], None]
    """Fill a folder with a pinned input."""

    def run(self, chain: list[Link], launcher: Launcher, memory_bytes: int | None) -> SpotCheck:
        """Run it again. Raises what the launcher raises, and FileNotFoundError if what is kept goes meanwhile."""
        work, again = (self.context.state_dir / name for name in ("original", "again"))
        self._lay_out(work, memory_bytes)
        start, stop = self.segment.start, self.segment.stop
        self.context.log(f"Running steps {start} to {stop} of stage {self.segment.stage} again")
        return spot_check(work, again, chain, (start, stop), launcher, self._say, self.context.cancelled)

    def _lay_out(self, work: Path, memory_bytes: int | None) -> None:
        plan = msgspec.structs.replace(self.plan, device=self.kept.device)
        recipe, ops = recipe_of(plan, self.target), {stage.name: stage.op for stage in plan.stages}
        contents = {name: item.digest for name, item in recipe.inputs.items()}
        made = {role: source for role, source in plan.last.inputs.items() if source in ops}
        for role, source in made.items():
            kind = "dataset" if ops[source] in GIVES_DATA else "model"
            contents[source] = content_digest(digests_of(self.place / "made" / role), kind)
        shutil.rmtree(work, ignore_errors=True)
        write_stage(work, as_stage(recipe, self.segment.stage, contents, memory_bytes=memory_bytes))
        (work / "state").rmdir()
        (work / "state").symlink_to((self.place / "state").absolute())
        for role, source in plan.last.inputs.items():
            if role in made:
                (work / "inputs" / role).symlink_to((self.place / "made" / role).absolute())
            else:
                self.put(plan.inputs[source], work / "inputs" / role)

    def _say(self, event: Event) -> None:
        if event.log is not None:
            self.context.log(event.log)


def statement_of(segment: Segment, finding: Finding, repo: str, ran_by: str) -> dict[str, Any]:
    """What is signed: about the commit that the run published, in the words of the finding."""
    about = {name: value for name, value in msgspec.to_builtins(finding).items() if name != "record"}
    predicate = {
        "kind": "spot check of one segment",
        "verdict": "agrees" if finding.agrees else "does not agree",
        "ran_by": ran_by,
        **msgspec.to_builtins(segment),
        **about,
    }
    subject = {"name": f"{repo}@{segment.commit}", "digest": {"gitCommit": segment.commit}}
    return {"subject": [subject], "predicateType": PREDICATE, "predicate": predicate}
