"""The process of an isolated job: `python -m seedstock.jobs.sandbox_child`, started by `sandbox`.

It does not outlive its worker. Two ties, because each alone has a hole: the kernel's parent-death signal
exists only on Linux and spares what the job started; a thread that waits for the end of standard input
cannot run while native code holds the interpreter lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import IO, Any

import msgspec

from seedstock.core.errors import HubError
from seedstock.jobs.events import checked_event
from seedstock.jobs.failures import full_disk, in_one_line, is_final
from seedstock.jobs.sandbox import Line, Order, memory_message

_PR_SET_PDEATHSIG = 1


class ChildContext:
    """JobContext on the child's side."""

    def __init__(self, order: Order, out: IO[bytes]) -> None:
        self.job_id = order.job_id
        self.state_dir = Path(order.state_dir)
        self.stopping = threading.Event()
        self.told_to_stop = False
        self._out = out
        self._lock = threading.Lock()

    def _say(self, line: Line) -> None:
        with self._lock:
            self._out.write(msgspec.json.encode(line) + b"\n")
            self._out.flush()

    def log(self, text: str) -> None:
        """See JobContext."""
        self._say(Line(log=text))

    def event(self, kind: str, data: dict[str, Any]) -> None:
        """See JobContext."""
        self._say(Line(event=kind, data=checked_event(kind, data)))

    def progress(self, fraction: float, message: str = "") -> None:
        """See JobContext."""
        self._say(Line(fraction=fraction, message=message))

    def cancelled(self) -> bool:
        """See JobContext."""
        if self.stopping.is_set():
            self.told_to_stop = True
        return self.told_to_stop

    def done(self, result: dict[str, Any] | None) -> None:
        """Say that it went well."""
        self._say(Line(result=result, done=True, stopped=self.told_to_stop))

    def failed(self, error: str, *, final: bool = False) -> None:
        """Say how it went wrong, in one line, and whether another attempt would end alike."""
        self._say(Line(error=error, final=final))


def main() -> None:
    """Run one job."""
    order = msgspec.json.decode(_read_line(0), type=Order)
    _tie_to_worker(order.parent_pid)
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)  # what the job prints must not mix with what we say
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        context = ChildContext(order, out)
        signal.signal(signal.SIGTERM, lambda *_: context.stopping.set())
        if order.memory_bytes is not None and sys.platform == "linux":
            # The worker watches what is really used; this one catches a single allocation that is too large.
            resource.setrlimit(resource.RLIMIT_DATA, (order.memory_bytes, order.memory_bytes))
        try:
            context.done(_call(order, context))
        except MemoryError:
            context.failed(memory_message(order.memory_bytes, order.memory_hint), final=True)
        except HubError as error:
            context.failed(in_one_line(error), final=is_final(error))
        except Exception as error:  # noqa: BLE001 - reported to the worker
            context.log(traceback.format_exc().rstrip())
            full = full_disk(error, context.state_dir) if isinstance(error, OSError) else None
            context.failed(full or in_one_line(error))


def _call(order: Order, context: ChildContext) -> dict[str, Any] | None:
    entry = _import(order.entry)
    if not order.services:
        return entry(context, order.spec)  # type: ignore[no-any-return]
    with contextlib.closing(_import(order.services)(**order.services_options)) as services:
        return entry(context, order.spec, services)  # type: ignore[no-any-return]


def _import(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _tie_to_worker(parent_pid: int) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        os._exit(1)
    threading.Thread(target=_end_with_stdin, daemon=True).start()


def _read_line(fd: int) -> bytes:
    """All that the worker ever writes; unbuffered, so that the watching thread sees the end of stdin."""
    line = bytearray()
    while not line.endswith(b"\n"):
        data = os.read(fd, 1 << 16)
        if not data:
            os._exit(1)
        line += data
    return bytes(line)


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
