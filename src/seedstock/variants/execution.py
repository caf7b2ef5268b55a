"""Runs the stages of a recipe one after another, each in a folder of its own.

A stage that is done is never run again: its folder holds the output. One that was interrupted goes on from its
checkpoint, for its folder is laid out the same way and keeps what it saved.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.launch import Launcher, StageStopped
from seedstock.adapt.methods import GIVES_DATA
from seedstock.adapt.output import write_durably
from seedstock.adapt.stage import Event, Stage, find_stage, write_stage
from seedstock.jobs.kinds import JobContext
from seedstock.recipes.graph import as_stage, order
from seedstock.recipes.operations import script_of
from seedstock.recipes.outputs import content_digest
from seedstock.recipes.recipe import Recipe
from seedstock.variants.publishing import digests_of

_DONE = "done.json"
_SAID = "said.jsonl"
"""All events of a stage over all attempts, as they came."""
_MAX_POINTS = 500
_TOLD_AT_ONCE = 32
"""Stages of the graph in one event, which is bounded."""


_KEPT = ("result", "digest", "started_ms", "finished_ms", "curve", "said_sha256")


class StageRun(msgspec.Struct, frozen=True):
    """What a stage left."""

    stage: Stage
    name: str
    output: Path
    result: dict[str, Any]
    digest: str
    """Of the output's files."""
    started_ms: int
    finished_ms: int
    curve: list[dict[str, float]]
    """Metrics by step, thinned."""
    said_sha256: str
    """Of all that the stage said."""


class Execution:
    """The stages of one recipe, in one job."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        context: JobContext,
        launcher: Launcher,
        place: Callable[[str, Path], None],
        memory_bytes: int | None,
        label: str = "",
        checkpoint_bytes: Mapping[str, int] | None = None,
    ) -> None:
        """`folder` keeps one folder a stage; `place` fills a folder with the input of that name, or with the
        file of a stage (`script_of`).

        `label` tells the runs of one job apart; `checkpoint_bytes` names the stages whose checkpoints all stay in
        their folders, and what those may take.
        """
        self._recipe = recipe
        self._folder = folder
        self._context = context
        self._launcher = launcher
        self._place = place
        self._memory_bytes = memory_bytes
        self._label = {"run": label} if label else {}
        self._checkpoint_bytes = checkpoint_bytes or {}
        self._runs: dict[str, StageRun] = {}

    def run(self) -> list[StageRun]:
        """Run what has not run yet. Raises what the launcher raises."""
        names = order(self._recipe)
        self._tell_graph(names)
        for number, name in enumerate(names):
            self._runs[name] = self._run(name, number, len(names))
        return list(self._runs.values())

    def _tell_graph(self, names: list[str]) -> None:
        """What will run and from what, for whoever watches, before the first stage."""
        stages = self._recipe.stage
        told = [[name, stages[name].op, stages[name].inputs] for name in names]
        for first in range(0, len(told), _TOLD_AT_ONCE):
            part = {"graph": told[first : first + _TOLD_AT_ONCE], "first": first, "of": len(told)}
            self._context.event("stage", {**self._label, **part})

    def _tell(self, name: str, state: str, **more: Any) -> None:
        self._context.event("stage", {**self._label, "name": name, "state": state, **more})

    def _run(self, name: str, number: int, of_all: int) -> StageRun:
        work = self._folder / name
        contents = {name: item.digest for name, item in self._recipe.inputs.items()}
        contents |= {name: run.digest for name, run in self._runs.items()}
        stage = as_stage(self._recipe, name, contents, memory_bytes=self._memory_bytes)
        if name in self._checkpoint_bytes:
            allowed = self._checkpoint_bytes[name]
            stage = msgspec.structs.replace(stage, checkpoints=0, checkpoint_bytes=allowed)
        kept = _find_done(work, stage, name)
        if kept is not None:
            self._tell(name, "reused")
            return kept
        self._prepare(work, stage, name)
        self._tell(name, "running", op=stage.op, number=number + 1, of=of_all)
        started = _now_ms()
        _cut_torn_line(work / _SAID)
        with (work / _SAID).open("ab", buffering=0) as said:  # a killed job keeps all that was shown of it

            def say(event: Event) -> None:
                said.write(msgspec.json.encode(event) + b"\n")
                self._say(event, name, number / of_all, 1 / of_all)

            try:
                result = self._launcher.run(work, say, self._context.cancelled)
            except Exception as error:
                self._tell(name, "waiting" if isinstance(error, StageStopped) else "failed")
                raise
        run = self._finish(work, stage, name, result, started)
        self._tell(name, "done", seconds=round((run.finished_ms - started) / 1000, 1))
        return run

    def _finish(self, work: Path, stage: Stage, name: str, result: dict[str, Any], started: int) -> StageRun:
        output = work / "output"
        kind = "dataset" if stage.op in GIVES_DATA else "model"
        said = (work / _SAID).read_bytes()
        run = StageRun(
            stage=stage,
            name=name,
            output=output,
            result=result,
            digest=content_digest(digests_of(output), kind),
            started_ms=started,
            finished_ms=_now_ms(),
            curve=_curve(said),
            said_sha256=hashlib.sha256(said).hexdigest(),
        )
        write_durably(work / _DONE, msgspec.json.encode({key: getattr(run, key) for key in _KEPT}))
        if name not in self._checkpoint_bytes:
            shutil.rmtree(work / "state", ignore_errors=True)
        return run

    def _prepare(self, work: Path, stage: Stage, name: str) -> None:
        """Lay the folder out anew, but keep the checkpoints of the same stage."""
        if work.exists() and find_stage(work) != stage:
            shutil.rmtree(work)
        write_stage(work, stage)
        for role, source in self._recipe.stage[name].inputs.items():
            folder = work / "inputs" / role
            folder.parent.mkdir(parents=True, exist_ok=True)
            if source in self._runs:
                folder.unlink(missing_ok=True)
                folder.symlink_to(self._runs[source].output.absolute())
            else:
                self._place(source, folder)
        if stage.op == "script":
            self._place(script_of(name), work / "script")

    def _say(self, event: Event, name: str, done: float, share: float) -> None:
        if event.log is not None:
            self._context.log(event.log)
        if event.metrics is not None:
            step = int(event.metrics["step"])  # whole, which JSON of floats does not say
            said = {"stage": name, **event.metrics, "step": step}
            self._context.event("metrics", {**self._label, **said})
        if event.sample is not None:
            self._context.event("sample", {"stage": name, **event.sample})
        if event.fraction is not None:
            self._context.progress(done + share * event.fraction, event.message)


def _cut_torn_line(path: Path) -> None:
    """Remove what an attempt that was killed, or a full disk, left of its last line."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        said = file.read()
        file.truncate(said.rfind(b"\n") + 1)


def _find_done(work: Path, stage: Stage, name: str) -> StageRun | None:
    """The stage as an earlier attempt finished it."""
    if find_stage(work) != stage or not (work / _DONE).exists():
        return None
    done = msgspec.json.decode((work / _DONE).read_bytes())
    return StageRun(stage=stage, name=name, output=work / "output", **done)


def _curve(said: bytes) -> list[dict[str, float]]:
    """The last word on each step, evenly thinned; an attempt that went on from a checkpoint says steps again."""
    steps: dict[float, dict[str, float]] = {}
    for line in said.splitlines():
        event = msgspec.json.decode(line, type=Event)
        if event.metrics is not None:
            steps[event.metrics["step"]] = steps.get(event.metrics["step"], {}) | event.metrics
    points = [steps[step] for step in sorted(steps)]
    every = -(-len(points) // _MAX_POINTS) or 1
    return points[::every]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
