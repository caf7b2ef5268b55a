"""The process of one stage: `python -m seedstock.adapt.run_stage WORK` (see `stage` for the folder and the events).

Light until it knows the operation. What an operation prints goes to standard error; standard output carries events
alone. Exit status: 0 with a result, 1 with an error, 75 when it was stopped and has saved its state.
"""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from seedstock.adapt.methods import METHODS
from seedstock.adapt.output import finish_output, finished_result
from seedstock.adapt.platform_facts import platform_facts
from seedstock.adapt.stage import LESS_MEMORY, Event, Stage, Stopped, read_stage
from seedstock.core.errors import HubError, Invalid

# `run(stage, work, say, stopping)` writes into `output.begin_output(work)` and returns the figures of the run.
OPERATIONS = {
    "sft": "seedstock.adapt.train.sft:run",
    "pretrain": "seedstock.adapt.train.pretrain:run",
    "dpo": "seedstock.adapt.train.dpo:run",
    "grpo": "seedstock.adapt.train.grpo:run",
    "distil": "seedstock.adapt.train.distil:run",
    "sample": "seedstock.adapt.train.sample:run",
    "eval": "seedstock.adapt.train.evaluate:run",
    "merge": "seedstock.adapt.merge.stage:run",
    "quantize": "seedstock.adapt.gguf_stage:run",
    "convert": "seedstock.adapt.gguf_stage:run",
    "script": "seedstock.adapt.script_stage:run",
}
STOPPED_STATUS = 75  # EX_TEMPFAIL


class Operation(Protocol):
    """What an entry of `OPERATIONS` names."""

    def __call__(
        self, stage: Stage, work: Path, say: Callable[[Event], None], stopping: Callable[[], bool]
    ) -> dict[str, Any]:
        """Do the work; raise `Stopped` once the state is saved after `stopping()` became true."""


class Voice:
    """Writes events. A reader who is gone counts as a wish to stop: the state is saved, for nobody listens."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._lock = threading.Lock()
        self.deaf = False

    def __call__(self, event: Event) -> None:
        """Say one event."""
        line = msgspec.json.encode(event) + b"\n"
        with self._lock:
            try:
                while line:
                    line = line[os.write(self._handle, line) :]
            except OSError:
                self.deaf = True


def main(arguments: list[str]) -> int:
    """Run the stage of a folder to its end."""
    say = Voice(_take_standard_output())
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    if len(arguments) != 1:
        say(Event(error="One argument is expected: the folder of the stage"))
        return 1
    return run_stage(Path(arguments[0]), say, lambda: asked.is_set() or say.deaf)


def run_stage(work: Path, say: Callable[[Event], None], stopping: Callable[[], bool]) -> int:
    """Run a stage; its end is always said, and the exit status returned."""
    stage: Stage | None = None
    try:
        stage = _checked_stage(work)
        result = finished_result(work)
        if result is None:
            prepare_environment(stage, os.environ)
            result = operation(stage.op)(stage, work, say, stopping)
            result |= {"process_cpu_seconds": round(time.process_time(), 3), "platform": platform_facts()}
            finish_output(work, result)
        say(Event(result=result, fraction=1.0))
    except Stopped:
        say(Event(stopped=True))
        return STOPPED_STATUS
    except HubError as error:
        say(Event(error=_one_line(error.message), hint=error.hint))
        return 1
    except BaseException as error:  # noqa: BLE001 - the end of a process: whatever it was is said in one line
        traceback.print_exc(file=sys.stderr)
        say(_unexpected(error, stage, work))
        return 1
    return 0


def operation(op: str) -> Operation:
    """The function that does an operation, with what it needs imported."""
    module, _, name = OPERATIONS[op].partition(":")
    try:
        found: Operation = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise Invalid(
            f"{op} needs the package {error.name}, which is not installed",
            hint="Install seedstock with its training extra: pip install 'seedstock[adapt]'",
        ) from error
    return found


def prepare_environment(stage: Stage, environment: Any) -> None:
    """Settings that libraries read when they are imported, before any of them is."""
    threads = str(stage.threads)
    environment.update(
        OMP_NUM_THREADS=threads,
        MKL_NUM_THREADS=threads,
        OPENBLAS_NUM_THREADS=threads,
        TOKENIZERS_PARALLELISM="false",
        HF_HUB_OFFLINE="1",
        HF_DATASETS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        DO_NOT_TRACK="1",
        TRANSFORMERS_VERBOSITY="error",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        CUBLAS_WORKSPACE_CONFIG=":4096:8",  # cuBLAS is deterministic with it alone
    )
    for name in ("WANDB_PROJECT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "ACCELERATE_USE_DEEPSPEED"):
        environment.pop(name, None)
    # What libraries say to their own developers is no part of a job's log.
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    if stage.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""


def _checked_stage(work: Path) -> Stage:
    try:
        stage = read_stage(work)
    except OSError as error:
        raise Invalid(f"The stage cannot be read: {error}") from error
    except msgspec.MsgspecError as error:
        raise Invalid(f"The stage is malformed: {error}") from error
    if stage.op not in OPERATIONS:
        raise Invalid(f"There is no operation {stage.op!r}", hint=f"Known: {', '.join(OPERATIONS)}")
    try:
        msgspec.convert(stage.args, METHODS[stage.op])
    except msgspec.ValidationError as error:
        raise Invalid(f"The arguments of {stage.op} are wrong: {error}") from error
    return stage


def _take_standard_output() -> int:
    """The real standard output, for events; whatever prints from now on writes to standard error."""
    handle = os.dup(1)
    os.dup2(2, 1)
    return handle


def _unexpected(error: BaseException, stage: Stage | None, work: Path) -> Event:
    if disk_is_full(error, work):
        free = _free_bytes(work)
        return Event(
            error=f"The disk is full: {free / 1e6:,.1f} MB are free where the job keeps its checkpoints",
            hint="free some space and retry the job: it goes on from its last checkpoint",
            again=True,
        )
    if not out_of_memory(error):
        return Event(error=f"{type(error).__name__}: {_one_line(str(error))}")
    allowed = stage.memory_bytes if stage else None
    limit = f" of {allowed / 2**20:.0f} MiB" if allowed else ""
    return Event(error=f"Out of memory: the stage needed more than its limit{limit}", hint=LESS_MEMORY)


_LEAST_FREE_BYTES = 1 << 20


def disk_is_full(error: BaseException | None, folder: Path) -> bool:
    """Whether an error comes of a full disk. Torch does not say so when its files cannot be written, so we look."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT} or "No space left" in str(error):
            return True
        if isinstance(error, OSError | RuntimeError) and _free_bytes(folder) < _LEAST_FREE_BYTES:
            return True
        error = error.__cause__ or error.__context__
    return False


def _free_bytes(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return sys.maxsize


_MEMORY_WORDS = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "can't start new thread",
)


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is a want of memory, in the various ways libraries say so."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if type(error).__name__ == "OutOfMemoryError":  # torch's, known without importing it
            return True
        if isinstance(error, RuntimeError | OSError) and any(
            words in str(error).lower() for words in _MEMORY_WORDS
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines)[:500] or "no reason was given"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
