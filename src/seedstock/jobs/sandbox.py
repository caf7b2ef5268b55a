"""Runs a job in a process of its own, and watches it.

The child (`sandbox_child`) gets one JSON line on its standard input and answers with JSON lines: log,
events, progress, and at last a result or an error. What it prints becomes its log. Whatever ends the job also ends
the processes it started, as long as they stayed in its session.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from seedstock.core.errors import HubError
from seedstock.jobs.kinds import JobKind

if TYPE_CHECKING:
    from seedstock.jobs.attempt import Attempt

_POLL_S = 0.2
_MAX_UNFINISHED_BYTES = 64 << 20


class Interrupted(Exception):
    """The worker is stopping; the job goes back to the queue and this attempt does not count."""


class JobFailed(HubError):
    """An isolated job ended badly; the message says how, in one line. `final`: another attempt would end alike."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class Order(msgspec.Struct):
    """What the child is told."""

    entry: str
    services: str
    services_options: dict[str, Any]
    job_id: int
    spec: dict[str, Any]
    state_dir: str
    memory_bytes: int | None
    memory_hint: str
    parent_pid: int


class Line(msgspec.Struct, omit_defaults=True):
    """What the child says."""

    log: str | None = None
    event: str | None = None
    """Kind of an event, with its `data`."""
    data: dict[str, Any] | None = None
    fraction: float | None = None
    message: str = ""
    result: dict[str, Any] | None = None
    done: bool = False
    stopped: bool = False
    """With `done`: the job knew that it should stop, so it may not be finished."""
    error: str | None = None
    final: bool = False
    """With `error`: another attempt would end alike."""


def run_isolated(kind: JobKind, attempt: Attempt) -> dict[str, Any] | None:
    """Run the job in a child and return its result. Raises JobFailed or Interrupted."""
    scratch = tempfile.mkdtemp(prefix=f"seedstock-job-{attempt.job_id}-")
    try:
        with _started(kind, attempt, scratch) as child:
            return _Watch(child, kind, attempt).follow()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _started(kind: JobKind, attempt: Attempt, scratch: str) -> Iterator[subprocess.Popen[bytes]]:
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    child = subprocess.Popen(
        [sys.executable, "-m", "seedstock.jobs.sandbox_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd=scratch,
        env=os.environ | {"PYTHONPATH": path, "TMPDIR": scratch},
    )
    order = Order(
        entry=kind.entry,
        services=kind.services,
        services_options=dict(kind.services_options),
        job_id=attempt.job_id,
        spec=attempt.job.spec,
        state_dir=str(attempt.state_dir.absolute()),
        memory_bytes=kind.memory_bytes,
        memory_hint=kind.memory_hint,
        parent_pid=os.getpid(),
    )
    assert child.stdin is not None
    try:
        # A child that died already is noticed when its answer is read.
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(msgspec.json.encode(order) + b"\n")
            child.stdin.flush()
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class _Watch:
    """What is known of a running child."""

    def __init__(self, child: subprocess.Popen[bytes], kind: JobKind, attempt: Attempt) -> None:
        self._child = child
        self._kind = kind
        self._attempt = attempt
        self._deadline_s = time.monotonic() + kind.timeout_s
        self._kill_at_s = 0.0
        self._verdict: Exception | None = None
        """Why the child was told to stop."""
        self._end: Line | None = None
        self._unfinished = {"said": b"", "printed": b""}

    def follow(self) -> dict[str, Any] | None:
        """Read until the child is done, dead or has to be killed."""
        with selectors.DefaultSelector() as selector:
            for pipe, name in ((self._child.stdout, "said"), (self._child.stderr, "printed")):
                assert pipe is not None
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, name)
            while True:
                # Looked at before reading: what it said before it died is then certain to be read.
                dead = self._child.poll() is not None
                self._read(selector, 0 if dead else _POLL_S)
                if self._end is not None or dead:
                    self._read(selector, 0)
                    self._printed(self._unfinished["printed"])
                if self._end is not None:
                    return self._outcome(self._end)
                if dead:
                    raise self._verdict or JobFailed(_death(self._child.returncode))
                self._judge()

    def _read(self, selector: selectors.BaseSelector, wait_s: float) -> None:
        for key, _ in selector.select(wait_s):
            pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
            data = pipe.read()
            if data == b"":
                selector.unregister(pipe)
            if not data:
                continue
            if key.data == "printed":
                data = data.replace(b"\r", b"\n")  # progress bars
            *lines, rest = (self._unfinished[key.data] + data).split(b"\n")
            if len(rest) > _MAX_UNFINISHED_BYTES:
                raise JobFailed("The job writes a line without an end")
            self._unfinished[key.data] = rest
            for text in lines:
                if key.data == "printed":
                    self._printed(text)
                else:
                    self._said(msgspec.json.decode(text, type=Line))

    def _printed(self, text: bytes) -> None:
        if text.strip():
            self._attempt.log(text.decode(errors="replace").rstrip())

    def _said(self, line: Line) -> None:
        if line.log is not None:
            self._attempt.log(line.log)
        if line.event is not None:
            self._attempt.event(line.event, line.data or {})
        if line.fraction is not None:
            self._attempt.progress(line.fraction, line.message)
        if line.done or line.error is not None:
            self._end = line

    def _outcome(self, end: Line) -> dict[str, Any] | None:
        """Whatever a job that was told to stop says, the reason for it stands; unless it finished."""
        if self._verdict is not None and (end.stopped or end.error is not None):
            raise self._verdict
        if end.error is not None:
            raise JobFailed(end.error, final=end.final)
        return end.result

    def _judge(self) -> None:
        """Tell the child to stop, and raise once its time to save its state is over."""
        if self._attempt.lost.is_set():
            raise JobFailed("The job's lease was lost")
        now_s = time.monotonic()
        if now_s > self._deadline_s:
            raise self._verdict or JobFailed(
                f"The job ran longer than its limit of {self._kind.timeout_s:g} s"
            )
        self._weigh()
        if self._verdict is not None:
            if now_s > self._kill_at_s:
                raise self._verdict
            return
        if self._attempt.cancel.is_set():
            self._verdict = JobFailed("The job was cancelled")
        elif self._attempt.interrupted():
            self._verdict = Interrupted()
        else:
            return
        self._kill_at_s = now_s + self._kind.grace_s
        self._child.send_signal(signal.SIGTERM)

    def _weigh(self) -> None:
        limit = self._kind.memory_bytes
        if limit is not None and sys.platform == "linux" and session_memory_bytes(self._child.pid) > limit:
            raise JobFailed(memory_message(limit, self._kind.memory_hint), final=True)


def memory_message(limit_bytes: int | None, hint: str) -> str:
    """How a job that outgrew its limit is described, whoever notices; it would do so again."""
    limit = f" of {limit_bytes / 2**20:,.0f} MiB" if limit_bytes else ""
    return f"The job needs more memory than its limit{limit}" + (f" ({hint})" if hint else "")


def session_memory_bytes(session: int) -> int:
    """Memory that the processes of a session hold for themselves: anonymous and shared pages, and swap.

    Pages of mapped files do not count, for the system takes them back when it needs them.
    """
    total = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # After the name in parentheses: state, parent, group, session.
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) != session:
                continue
            status = (folder / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        for row in status.splitlines():
            name, _, value = row.partition(":")
            if name in {"RssAnon", "RssShmem", "VmSwap"}:
                total += int(value.split()[0]) * 1024
    return total


def _death(status: int) -> str:
    if status < 0:
        return (
            f"The job's process was killed by {signal.Signals(-status).name}; it may have run out of memory"
        )
    return f"The job's process ended with status {status} without a result"
