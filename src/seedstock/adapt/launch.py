"""Starts a stage in a process of its own and listens to it.

The process has no network, gets only the variables named here, and dies with the one that started it.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from seedstock.adapt.stage import Event, read_stage
from seedstock.core.errors import HubError, Invalid

_POLL_S = 0.2
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "SYSTEMROOT")
_MAX_LINE_BYTES = 16 << 20
_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000

Say = Callable[[Event], None]


class StageFailed(Invalid):
    """A stage said what is wrong; trying again changes nothing."""


class StageDied(HubError):
    """A stage's process ended without a word; it may go on from its checkpoint."""


class StageHindered(StageDied):
    """A stage said what stood in its way, which may pass."""


class StageStopped(Exception):
    """A stage was asked to stop and saved its state."""


class Launcher(Protocol):
    """Where stages run."""

    def run(self, work: Path, say: Say, stopping: Callable[[], bool]) -> dict[str, Any]:
        """Run the stage laid out in `work` to its end; its result.

        Raises StageFailed, StageDied, or StageStopped once it has stopped as asked.
        """


class LocalLauncher:
    """A process on this machine."""

    def run(self, work: Path, say: Say, stopping: Callable[[], bool]) -> dict[str, Any]:
        """See Launcher."""
        threads = str(read_stage(work).threads)
        path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {
            "PYTHONPATH": path,
            "PYTHONHASHSEED": "0",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "TOKENIZERS_PARALLELISM": "false",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "seedstock.adapt.run_stage", str(work)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            preexec_fn=shut_in,  # noqa: PLW1509 - one C call, no lock is taken
        )
        try:
            return _Listener(process, say, stopping).listen()
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def shut_in() -> None:
    """Die with the parent; leave the network, where the kernel lets us. For the child, before it runs anything."""
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWNET) != 0 and _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        # Who is nobody in a namespace may not make another, which is where rewards and scripts run.
        for name, text in (
            ("setgroups", "deny"),
            ("gid_map", f"{group} {group} 1"),
            ("uid_map", f"{user} {user} 1"),
        ):
            Path("/proc/self", name).write_text(text)


class _Listener:
    """What a running stage has said."""

    def __init__(self, process: subprocess.Popen[bytes], say: Say, stopping: Callable[[], bool]) -> None:
        self._process = process
        self._say = say
        self._stopping = stopping
        self._asked = False
        self._end: Event | None = None
        self._last_words: deque[str] = deque(maxlen=5)
        self._rest = {"out": b"", "err": b""}

    def listen(self) -> dict[str, Any]:
        """Read until it ends."""
        with selectors.DefaultSelector() as selector:
            for pipe, name in ((self._process.stdout, "out"), (self._process.stderr, "err")):
                assert pipe is not None
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, name)
            while True:
                dead = self._process.poll() is not None
                self._read(selector, 0 if dead else _POLL_S)
                if dead:
                    self._read(selector, 0)
                    return self._outcome()
                if not self._asked and self._stopping():
                    self._asked = True
                    self._process.send_signal(signal.SIGTERM)

    def _read(self, selector: selectors.BaseSelector, wait_s: float) -> None:
        if not selector.get_map():
            time.sleep(wait_s)
            return
        for key, _ in selector.select(wait_s):
            data = key.fileobj.read()  # type: ignore[union-attr]
            if data == b"":
                selector.unregister(key.fileobj)
            if not data:
                continue
            if key.data == "err":
                data = data.replace(b"\r", b"\n")
            *lines, rest = (self._rest[key.data] + data).split(b"\n")
            if len(rest) > _MAX_LINE_BYTES:
                raise StageDied("The stage writes a line without an end")
            self._rest[key.data] = rest
            for line in lines:
                self._hear(key.data, line)

    def _hear(self, stream: str, line: bytes) -> None:
        if not line.strip():
            return
        if stream == "err":
            text = line.decode(errors="replace").rstrip().replace("\0", "")
            self._last_words.append(text)
            self._say(Event(log=text))
            return
        try:
            event = msgspec.json.decode(line, type=Event)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._say(Event(log=line.decode(errors="replace")))
            return
        if event.result is not None or event.error is not None or event.stopped:
            self._end = event
        else:
            self._say(event)

    def _outcome(self) -> dict[str, Any]:
        end, status = self._end, self._process.returncode
        if end is not None and end.error is not None:
            raise (StageHindered if end.again else StageFailed)(end.error, hint=end.hint)
        if end is not None and end.stopped:
            raise StageStopped
        if end is not None and end.result is not None and status == 0:
            return end.result
        if self._asked and status == -signal.SIGTERM:
            raise StageStopped  # it was asked before it listened, so there was nothing to save
        if status < 0:
            name = signal.Signals(-status).name
            raise StageDied(
                f"The training process was killed by {name}; it may have run out of memory",
                hint="lower micro_batch_size or max_length, or train an adapter (lora)",
            )
        words = f": {self._last_words[-1]}" if self._last_words else ""
        raise StageDied(f"The training process ended with status {status} without a result{words}")
