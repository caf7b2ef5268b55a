"""What every engine child does first: tie its life to the supervisor and keep stdout clean.

Two ties, because each alone has a hole: the kernel's parent-death signal exists only on Linux, and a
thread that waits for the end of stdin cannot run while native code holds the interpreter lock.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from pathlib import Path

import msgspec

from seedstock.run.engines.base import Ready, Secrets

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = "500"  # under memory pressure the kernel should take an engine, not the database or the web


def enter(parent_pid: int) -> tuple[Secrets, int]:
    """Tie this process to its parent; return the secrets and a private descriptor for `announce`.

    Exits at once if the parent is already gone.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    if os.getppid() != parent_pid:
        os._exit(1)
    ready_fd = os.dup(1)
    os.dup2(2, 1)  # native code may print
    secrets = msgspec.json.decode(_read_line(0), type=Secrets)
    threading.Thread(target=_exit_at_end_of_stdin, daemon=True).start()
    return secrets, ready_fd


def announce(ready_fd: int, ready: Ready) -> None:
    """Send the one `Ready` line."""
    os.write(ready_fd, msgspec.json.encode(ready) + b"\n")
    os.close(ready_fd)


def _read_line(fd: int) -> bytes:
    """Unbuffered, so that nothing of stdin is held back from the watching thread."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(fd, 1)
        if not byte:
            os._exit(1)
        line += byte
    return line


def _exit_at_end_of_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)
