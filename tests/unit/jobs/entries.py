"""What the isolated jobs of the tests do."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from seedstock.core.errors import Invalid
from seedstock.jobs.kinds import JobContext


def add(context: JobContext, spec: dict[str, Any]) -> dict[str, Any]:
    print("noise on standard output must not disturb the protocol")
    context.log("adding")
    context.progress(0.5, "half")
    return {"sum": spec["a"] + spec["b"]}


def die(_context: JobContext, _spec: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(_context: JobContext, _spec: dict[str, Any]) -> None:
    raise Invalid("this spec is no good")


def eat_memory(_context: JobContext, _spec: dict[str, Any]) -> None:
    bytearray(1 << 31)


def sleep(context: JobContext, _spec: dict[str, Any]) -> None:
    Path(context.state_dir, "pid").write_text(str(os.getpid()))
    time.sleep(600)


def resume(context: JobContext, _spec: dict[str, Any]) -> dict[str, Any]:
    """Checkpoint and die at the first attempt, go on from the checkpoint at the second."""
    mark = Path(context.state_dir, "checkpoint")
    if not mark.exists():
        mark.write_text("7")
        os.kill(os.getpid(), signal.SIGKILL)
    return {"from": int(mark.read_text())}
