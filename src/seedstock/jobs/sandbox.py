"""Jobs in a process of their own.

The child gets one JSON line on its standard input (entry, job id, spec, state folder, memory limit) and
answers with JSON lines: log, progress, and at last a result or an error. It dies with its worker: the
kernel signals it when the parent ends, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seedstock.core.errors import HubError
from seedstock.jobs.kinds import JobKind

if TYPE_CHECKING:
    from seedstock.jobs.worker import Attempt

_POLL_S = 0.2
_PR_SET_PDEATHSIG = 1


class Interrupted(Exception):
    """The worker is stopping; the job goes back to the queue and this attempt does not count."""


class JobFailed(HubError):
    """An isolated job ended badly; the message says how, in one line."""


class Order(msgspec.Struct):
    """What the child is told."""

    entry: str
    job_id: int
    spec: dict[str, Any]
    state_dir: str
    memory_bytes: int | None


class Line(msgspec.Struct, omit_defaults=True):
    """What the child says."""

    log: str | None = None
    fraction: float | None = None
    message: str = ""
    result: dict[str, Any] | None = None
    done: bool = False
    error: str | None = None


def run_isolated(kind: JobKind, attempt: Attempt) -> dict[str, Any] | None:
    """Run the job in a child and return its result. Raises JobFailed or Interrupted."""
    order = Order(kind.entry, attempt.job_id, attempt.job.spec, str(attempt.state_dir), kind.memory_bytes)
    child = subprocess.Popen(
        [sys.executable, "-m", "seedstock.jobs.sandbox"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(msgspec.json.encode(order) + b"\n")
            child.stdin.close()
        return _follow(child, kind, attempt)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def _follow(child: subprocess.Popen[bytes], kind: JobKind, attempt: Attempt) -> dict[str, Any] | None:
    deadline = time.monotonic() + kind.timeout_s
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    waiting = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            ready = selector.select(_POLL_S)
            _check(attempt, kind, deadline)
            if not ready:
                continue
            data = child.stdout.read()
            if not data:
                raise JobFailed(_death(child.wait()))
            *lines, waiting = (waiting + data).split(b"\n")
            for text in lines:
                line = msgspec.json.decode(text, type=Line)
                if line.error is not None:
                    raise JobFailed(line.error)
                if line.done:
                    return line.result
                _relay(line, attempt)


def _check(attempt: Attempt, kind: JobKind, deadline: float) -> None:
    if attempt.interrupted():
        raise Interrupted
    if attempt.cancelled():
        raise JobFailed("The job was cancelled")
    if time.monotonic() > deadline:
        raise JobFailed(f"The job ran longer than its limit of {kind.timeout_s:g} s")


def _relay(line: Line, attempt: Attempt) -> None:
    if line.log is not None:
        attempt.log(line.log)
    if line.fraction is not None:
        attempt.progress(line.fraction, line.message)


def _death(status: int) -> str:
    if status < 0:
        return (
            f"The job's process was killed by {signal.Signals(-status).name}; it may have run out of memory"
        )
    return f"The job's process ended with status {status} without a result"


class ChildContext:
    """JobContext on the child's side."""

    def __init__(self, order: Order, out: Any) -> None:
        self.job_id = order.job_id
        self.state_dir = Path(order.state_dir)
        self._out = out

    def _say(self, line: Line) -> None:
        self._out.write(msgspec.json.encode(line) + b"\n")
        self._out.flush()

    def log(self, text: str) -> None:
        """See JobContext."""
        self._say(Line(log=text))

    def progress(self, fraction: float, message: str = "") -> None:
        """See JobContext."""
        self._say(Line(fraction=fraction, message=message))

    def cancelled(self) -> bool:
        """Never from here: a cancelled child is killed."""
        return False

    def end(self, result: dict[str, Any] | None, error: str | None) -> None:
        """Say how it went."""
        self._say(Line(result=result, done=error is None, error=error))


def main() -> None:
    """The child."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    # What the job prints must not mix with what we say.
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        context = ChildContext(order, out)
        if order.memory_bytes:
            resource.setrlimit(resource.RLIMIT_AS, (order.memory_bytes, order.memory_bytes))
        try:
            module, _, function = order.entry.partition(":")
            result = getattr(importlib.import_module(module), function)(context, order.spec)
        except MemoryError:
            context.end(None, f"The job needs more memory than its limit of {order.memory_bytes} bytes")
        except HubError as error:
            context.end(None, error.message)
        except Exception as error:  # noqa: BLE001 - reported to the worker
            context.end(None, f"{type(error).__name__}: {error}")
        else:
            context.end(result, None)


if __name__ == "__main__":
    main()
