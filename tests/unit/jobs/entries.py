"""What the isolated jobs of the tests do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from seedstock.core.errors import Invalid, Unavailable
from seedstock.jobs.kinds import JobContext


def add(context: JobContext, spec: dict[str, Any]) -> dict[str, Any]:
    print("noise on standard output must not disturb the protocol")
    context.log("adding")
    context.progress(0.5, "half")
    return {"sum": spec["a"] + spec["b"]}


def die(_context: JobContext, _spec: dict[str, Any]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(_context: JobContext, _spec: dict[str, Any]) -> None:
    raise Invalid("this spec is no good", hint="write another")


def be_busy(_context: JobContext, _spec: dict[str, Any]) -> None:
    raise Unavailable("the store is away")


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


def sleep_with_child(context: JobContext, _spec: dict[str, Any]) -> None:
    """Sleep beside a process of its own."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(context.state_dir, "other").write_text(str(other.pid))
    sleep(context, {})


def die_with_child(_context: JobContext, _spec: dict[str, Any]) -> None:
    """Die and leave a process that holds the pipes open."""
    if os.fork() == 0:
        time.sleep(600)
    os.kill(os.getpid(), signal.SIGKILL)


def save_and_stop(context: JobContext, _spec: dict[str, Any]) -> dict[str, Any]:
    """Count until told to stop, then save; go on from there next time."""
    saved = Path(context.state_dir, "saved")
    if saved.exists():
        return {"resumed": saved.read_text()}
    Path(context.state_dir, "pid").write_text(str(os.getpid()))
    while not context.cancelled():
        time.sleep(0.005)
    saved.write_text("yes")
    return {}


def share_memory_use(_context: JobContext, spec: dict[str, Any]) -> None:
    """Let several processes use memory, each less than the limit."""
    for _ in range(spec["processes"]):
        if os.fork() == 0:
            held = bytearray(b"x") * spec["each_bytes"]
            time.sleep(600)
            del held
    time.sleep(600)


def use_scratch(_context: JobContext, _spec: dict[str, Any]) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(delete=False) as file:
        return {"cwd": os.getcwd(), "file": file.name}


class Services:
    """What a job may need, made in its own process."""

    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    def close(self) -> None:
        print("closed")


def greet(_context: JobContext, spec: dict[str, Any], services: Services) -> dict[str, Any]:
    return {"said": f"{services.greeting} {spec['name']}"}


def train(context: JobContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Say what a training says, with a checkpoint at each step; die once after `die_after` steps."""
    checkpoint = Path(context.state_dir, "checkpoint")
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    context.event("stage", {"name": "train", "from": done})
    for step in range(done + 1, spec["steps"] + 1):
        context.event("metrics", {"step": step, "loss": 3.0 / step, "eval_loss": float("nan")})
        if step % 10 == 0:
            context.event("sample", {"step": step, "prompt": "1 + 1 =", "text": "two " * 3})
        context.log(f"step {step}")
        context.progress(step / spec["steps"], f"step {step}")
        if step == spec.get("die_after") and done == 0:
            checkpoint.write_text(str(step))
            time.sleep(spec.get("linger_s", 0))
            os.kill(os.getpid(), signal.SIGKILL)
        if context.cancelled():
            checkpoint.write_text(str(step))
            return {}
        time.sleep(spec.get("pause_s", 0))
    return {"steps": spec["steps"], "resumed": done}
