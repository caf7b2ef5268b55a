"""Checkpoints that outlive their job, for spot checks: a folder a job, in so many bytes, the oldest removed first.

kept/<job>/kept.json      Kept; a folder without it is not whole
kept/<job>/state/         the checkpoints of the stage whose output was published, and the files beside them
kept/<job>/made/<role>/   inputs of that stage that the job itself made; all others are pinned and can be had again
"""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.output import RESULT_FILE, write_durably
from seedstock.adapt.spot_check import segments
from seedstock.adapt.train.checkpoints import Link, checkpoints, folder_bytes
from seedstock.jobs.kinds import JobContext
from seedstock.variants.execution import StageRun
from seedstock.variants.plan import Plan

_FILE = "kept.json"
_NAME = re.compile(r"(\d+)(?:\.part)?")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a job's run."""

    repo_id: int
    """Where its result was published, and in which commit."""
    commit: str
    stage: str
    device: str
    at_ms: int
    segments: int
    """Of the whole run."""
    checkable: int
    """Those of them that can be run again: where checkpoints took too much, they were thinned."""
    size_bytes: int = 0


class KeptRuns:
    """The folder; any number of processes may use it."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self.limit_bytes = limit_bytes
        """0: nothing is kept."""

    def place(self, job_id: int) -> Path:
        """Where the run of a job is kept, if it is."""
        return self._folder / str(job_id)

    def find(self, job_id: int) -> Kept | None:
        """What is kept of a job."""
        try:
            return msgspec.json.decode((self.place(job_id) / _FILE).read_bytes(), type=Kept)
        except (OSError, msgspec.MsgspecError):
            return None

    def keep(
        self, job_id: int, kept: Kept, work: Path, made: Mapping[str, Path], tell: Callable[[str], None]
    ) -> bool:
        """Move a stage's checkpoints out of its folder, `work`, and copy what the job `made` for it; False if too large.

        Done again by an attempt that did not know of it, it changes what is said of the run alone.
        """
        with self._lock():
            place, part = self.place(job_id), self._folder / f"{job_id}.part"
            if not place.exists():
                for role, output in made.items():
                    shutil.copytree(output, part / "made" / role, dirs_exist_ok=True)
                _move_state(work / "state", part / "state")
                if not self._make_room(folder_bytes(part), tell):
                    shutil.rmtree(part)
                    return False
                part.rename(place)
            kept = msgspec.structs.replace(kept, size_bytes=folder_bytes(place))
            write_durably(place / _FILE, msgspec.json.encode(kept))
        return True

    def forget(self, job_id: int) -> bool:
        """Remove what is kept of a job; whether there was anything."""
        with self._lock():
            there = self.find(job_id) is not None
            self._remove(job_id)
        return there

    def sweep(self, known: Callable[[Collection[int]], Collection[int]]) -> int:
        """Remove what is kept of jobs that are `known` no more; of how many."""
        if not self._folder.is_dir():
            return 0
        found = {
            int(match[1])
            for path in self._folder.iterdir()
            if (match := _NAME.fullmatch(path.name)) is not None
        }
        with self._lock():
            gone = found - set(known(found))
            for job_id in gone:
                self._remove(job_id)
        return len(gone)

    def _make_room(self, needed: int, tell: Callable[[str], None]) -> bool:
        if needed > self.limit_bytes:
            tell(
                f"The checkpoints are not kept: they take {needed / 1e6:,.1f} MB, and {self.limit_bytes / 1e6:,.1f} MB "
                "may be kept of all jobs (SEEDSTOCK_KEPT_BYTES)"
            )
            return False
        older = sorted(self._entries())
        held, removed = sum(size for _, size, _ in older), 0
        for _, size, job_id in older:
            if held + needed <= self.limit_bytes:
                break
            self._remove(job_id)
            held, removed = held - size, removed + 1
        if removed:
            tell(f"To make room, the checkpoints that were kept longest were removed, of {removed} job(s)")
        return True

    def _entries(self) -> Iterator[tuple[int, int, int]]:
        """Since when each is kept, its size, and its job."""
        for path in self._folder.iterdir():
            if path.name.isdigit():
                kept = self.find(int(path.name))
                yield (kept.at_ms if kept else 0), folder_bytes(path), int(path.name)

    def _remove(self, job_id: int) -> None:
        """What says that it is whole goes first."""
        (self.place(job_id) / _FILE).unlink(missing_ok=True)
        shutil.rmtree(self.place(job_id), ignore_errors=True)
        shutil.rmtree(self._folder / f"{job_id}.part", ignore_errors=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _move_state(source: Path, target: Path) -> None:
    """Checkpoints and the files beside them; what a stage prepares in folders it prepares again."""
    target.mkdir(parents=True, exist_ok=True)
    whole = [path for path, _ in checkpoints(source)]
    for path in [
        *whole,
        *(path for path in source.glob("*") if path.is_file() and path.name != RESULT_FILE.name),
    ]:
        shutil.move(path, target / path.name)


def keep_run(
    kept: KeptRuns, context: JobContext, plan: Plan, runs: Sequence[StageRun], repo_id: int, commit: str
) -> dict[str, Any]:
    """Keep the checkpoints of the last of a job's stages, whose output was published; what the job says of it.

    The variant is there already, so that whatever comes between is a line in the log and no failure.
    """
    run, outputs = runs[-1], {run.name: run.output for run in runs}
    chain = msgspec.convert(run.result.get("chain", []), list[Link])
    about = Kept(
        repo_id=repo_id,
        commit=commit,
        stage=run.name,
        device=plan.device,
        at_ms=run.finished_ms,
        segments=len(chain),
        checkable=len(segments(run.output.parent, chain)),
    )
    made = {role: outputs[source] for role, source in plan.last.inputs.items() if source in outputs}
    try:
        whole = kept.keep(context.job_id, about, run.output.parent, made, context.log)
    except OSError as error:
        context.log(f"The checkpoints are not kept: {error.strerror or error}")
        return {}
    return {"checkpoints": {"repo_id": repo_id, "segments": about.segments}} if whole else {}
