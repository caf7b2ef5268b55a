"""Runs code that nobody trusts, for rewards: see `sandbox_child` for what it is kept from.

Where the kernel does not give the isolation (containers often forbid it) nothing runs, unless the caller says that
limits alone are enough.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from seedstock.core.errors import Invalid, Unavailable

_CHILD = Path(__file__).parent / "sandbox_child.py"
_MAX_ANSWER_BYTES = 64 << 10
_ENDING_TIMEOUT_S = 10.0
_LOCKING_TIMEOUT_S = 30.0  # 30 ms on an idle machine


class SandboxClosed(Unavailable):
    """This machine cannot isolate code, and running it without isolation was not allowed."""


def run_tests(
    code: str, tests: list[str], *, timeout_s: float, memory_bytes: int, isolate: bool = True
) -> int:
    """How many of the tests pass after `code` ran; 0 when it runs too long or says nothing.

    The code cannot pass by printing or by leaving early. Code that looks for the checker's secret in the frames
    of its own process can: judge what it learns by held-out tests of another kind.
    """
    secret = os.urandom(16).hex()
    order = _order("tests", code, memory_bytes, isolate) | {
        "tests": tests,
        "secret": secret,
        "cpu_s": int(timeout_s) + 1,
    }
    with _started(order) as answers:
        answer = answers.next(timeout_s)
    if answer is None or answer.get("secret") != secret:
        return 0
    return int(answer["passed"])


class FileReward:
    """A Python file's `reward(prompt, completion, row)`, in a sandboxed process that stays until `close`."""

    def __init__(
        self,
        path: Path,
        *,
        timeout_s: float,
        memory_bytes: int,
        isolate: bool = True,
        start_timeout_s: float = 20,
    ) -> None:
        order = _order("file", path.read_text(encoding="utf-8"), memory_bytes, isolate)
        self._order = order | {"name": path.name, "cpu_s": 0}
        self._name = path.name
        self._timeout_s = timeout_s
        self._start_timeout_s = start_timeout_s
        self._open = contextlib.ExitStack()
        self._answers: _Answers | None = None
        self._start()

    def _start(self) -> None:
        self.close()
        self._answers = self._open.enter_context(_started(self._order))
        ready = self._answers.next(self._start_timeout_s)
        if ready is None or "error" in ready:
            self.close()
            why = "does not finish loading" if ready is None else str(ready["error"])
            raise Invalid(f"The reward file {self._name} cannot be used: {why}")

    def __call__(self, prompt: str, completion: str, row: dict[str, Any]) -> float:
        """The file's verdict; 0 where it fails, takes too long or dies, after which it is started anew."""
        if self._answers is None:
            self._start()
        assert self._answers is not None
        self._answers.ask({"prompt": prompt, "completion": completion, "row": row})
        answer = self._answers.next(self._timeout_s)
        if answer is None:
            self.close()
            return 0.0
        value = answer.get("reward", 0.0)
        return float(value) if isinstance(value, int | float) and abs(value) < 1e6 else 0.0

    def close(self) -> None:
        """End the process."""
        self._open.close()
        self._answers = None


class ScriptChild:
    """A script that runs in the sandbox: what it prints, how it ends."""

    def __init__(self, open_: contextlib.ExitStack, child: subprocess.Popen[bytes]) -> None:
        assert child.stderr is not None
        self.said: IO[bytes] = child.stderr
        self._open = open_
        self._child = child
        os.set_blocking(self.said.fileno(), False)

    def wait(self) -> int:
        """Its exit status, once it has closed what it prints to; 137 if it does not end then."""
        try:
            return self._child.wait(_ENDING_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return 137

    def close(self) -> None:
        """End it and all that it started."""
        self._open.close()


def start_script(order: dict[str, Any]) -> ScriptChild:
    """Start a script as `order` says (`sandbox_child`). Raises SandboxClosed where it cannot be isolated."""
    with contextlib.ExitStack() as opened:
        threads = {f"{name}_NUM_THREADS": str(order["threads"]) for name in ("OMP", "MKL", "OPENBLAS")}
        answers = opened.enter_context(_started(order, subprocess.PIPE, threads))
        return ScriptChild(opened.pop_all(), answers.child)


def _order(mode: str, code: str, memory_bytes: int, isolate: bool) -> dict[str, Any]:
    return {"mode": mode, "code": code, "memory_bytes": memory_bytes, "processes": 8, "isolate": isolate}


@contextlib.contextmanager
def _started(
    order: dict[str, Any], errors: int = subprocess.DEVNULL, variables: Mapping[str, str] | None = None
) -> Iterator[_Answers]:
    child = subprocess.Popen(
        # As `-I`, but for the seed of hashes, which must not change from run to run.
        [sys.executable, "-P", "-s", "-S", "-B", str(_CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={"PYTHONHASHSEED": "0", **(variables or {})},
        cwd="/",
        start_new_session=True,
    )
    assert child.stdin is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(json.dumps(order).encode() + b"\n")
            child.stdin.flush()
        answers = _Answers(child)
        # Said before any of the code runs, so the code cannot say it.
        _check_locked(answers.next(_LOCKING_TIMEOUT_S))
        yield answers
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class _Answers:
    """The JSON lines of a child, with limits on their length and on the wait."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        assert child.stdin is not None
        self.child = child
        self._pipe: IO[bytes] = child.stdout
        self._stdin: IO[bytes] = child.stdin
        self._rest = b""
        os.set_blocking(self._pipe.fileno(), False)

    def ask(self, question: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._stdin.write(json.dumps(question, default=str).encode() + b"\n")
            self._stdin.flush()

    def next(self, timeout_s: float) -> dict[str, Any] | None:
        """None when there is none in time, or none to come, or it is not one."""
        deadline_s = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or len(self._rest) > _MAX_ANSWER_BYTES:
                    return None
                if selector.select(left_s):
                    data = self._pipe.read()
                    if data == b"":
                        return None
                    self._rest += data or b""
        line, _, self._rest = self._rest.partition(b"\n")
        return _parsed(line)


def _check_locked(answer: dict[str, Any] | None) -> None:
    if answer != {"locked": True}:
        why = "it did not start" if answer is None else answer.get("closed", "")
        raise SandboxClosed(
            f"This machine cannot isolate code: {why}",
            hint="Allow unprivileged user namespaces, or let an admin set `isolate: false` for this reward.",
        )


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None
