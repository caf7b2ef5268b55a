"""A hub as its users meet it: a process on a free port, started and stopped like in production."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FAILED = re.compile(r"Traceback \(most recent call last\)|^(?:ERROR|CRITICAL) ")
_READY_S = 60


_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """Let the kernel end the server politely when the test process is killed and cannot."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class HubProcess:
    """`seedstock serve` on a data folder; may be started again after it died."""

    def __init__(self, data: Path, **environ: str) -> None:
        self.data = data
        self.log = data.with_name(f"{data.name}.log")
        self.url = ""
        self.tokens: dict[str, str] = {}
        self.expected: list[str] = []
        """Patterns of log lines that a test provokes on purpose."""
        self._process: subprocess.Popen[str] | None = None
        self._environ = _environ(**environ)

    def admin(self, *arguments: str) -> str:
        """Run `seedstock admin …` on the data folder and return what it printed."""
        command = [sys.executable, "-m", "seedstock", "admin", *arguments, "--data", str(self.data)]
        done = subprocess.run(command, env=self._environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def people(self) -> None:
        """Add ada and bob with tokens, and the organisation lab: ada admin, bob reader, tim contributor."""
        for name in ("ada", "bob", "tim"):
            self.admin("user", name)
            self.tokens[name] = self.admin("token", name, "--role", "write", "--name", f"{name}-laptop")
        self.tokens["ada-read"] = self.admin("token", "ada", "--role", "read")
        self.admin(
            "org", "lab", "--member", "ada:admin", "--member", "bob:read", "--member", "tim:contributor"
        )

    def start(self, preexec: Callable[[], None] | None = None, *, wait: bool = True) -> None:
        """Serve; returns when requests are answered."""

        def prepare() -> None:
            if sys.platform == "linux":
                _die_with_parent()
            if preexec is not None:
                preexec()

        command = [sys.executable, "-m", "seedstock", "serve", "--data", str(self.data), "--port", "0"]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                command,
                env=self._environ,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=prepare,
            )
        if wait:
            self._wait_ready()

    def _wait_ready(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("ready on "), f"{line!r}\n{self.log.read_text()[-4000:]}"
        self.url = line.split()[-1]

    def pids(self) -> list[int]:
        """The web processes: the one that was started and its workers."""
        assert self._process is not None
        mine = self._process.pid
        children = Path(f"/proc/{mine}/task/{mine}/children").read_text().split()
        return [mine, *map(int, children)]

    def find_below(self, mark: str) -> int:
        """A process that this hub started, itself or through others, whose command has a mark."""
        waiting = self.pids()
        while waiting:
            folder = Path(f"/proc/{waiting.pop()}")
            with contextlib.suppress(OSError):  # it ended meanwhile
                if mark in (folder / "cmdline").read_text(errors="replace"):
                    return int(folder.name)
                lists = [thread / "children" for thread in (folder / "task").iterdir()]
                waiting += [int(pid) for children in lists for pid in children.read_text().split()]
        raise AssertionError(f"no process of {mark}")

    def kill(self) -> None:
        """End the whole process group at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it politely."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_READY_S)
            except subprocess.TimeoutExpired:
                self._end(signal.SIGKILL)
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        _wait_gone(process.pid)

    def failures(self) -> list[str]:
        """Log lines that no test announced: tracebacks and errors, each with what follows it."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [
            "\n".join(lines[number : number + 40])
            for number, line in enumerate(lines)
            if _FAILED.search(line) and not _announced(line, self.expected)
        ]


def _announced(line: str, patterns: Sequence[str]) -> bool:
    return any(re.search(pattern, line) for pattern in patterns)


def _environ(**extra: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "SEEDSTOCK_"))}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1", **extra}


def _wait_gone(group: int) -> None:
    """Until every process of the group is dead: a new server must not meet the old one's locks."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.01)
