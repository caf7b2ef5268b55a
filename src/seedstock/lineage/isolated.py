"""Traces in a process of its own: it reads strangers' files in native code, beside the server and not in it.

The server checks who may read what before the process starts, so that refusals are the usual ones.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import msgspec

from seedstock.accounts.permissions import Action, check
from seedstock.core import errors
from seedstock.core.errors import EngineBusy, HubError, Invalid, Unavailable
from seedstock.core.names import RepoId
from seedstock.core.viewer import Viewer
from seedstock.hub.reading import Reading
from seedstock.hub.repos import RepoMoved, repo_id_of
from seedstock.lineage.trace import Trace

MEMORY_BYTES = 6 << 30
_CHILD = "seedstock.trace_child"
AT_ONCE = 2
MAX_WAITING = 4
_PATIENCE_S = 20.0
_TIMEOUT_S = 1800.0


class TraceOrder(msgspec.Struct, frozen=True):
    """What the process is told, on its standard input: the settings may hold passwords."""

    settings: dict[str, Any]
    viewer: Viewer
    repo: str | None = None
    revision: str = "main"
    files: dict[str, str] = {}
    digest: str | None = None


class TraceAnswer(msgspec.Struct, frozen=True):
    """What it answers: what was found, or an error of `core.errors` by its name."""

    trace: Trace | None = None
    error: str = ""
    message: str = ""
    hint: str | None = None


class IsolatedTracer:
    """The tracer as a server uses it: two at a time, for each takes a core for seconds."""

    def __init__(self, reading: Reading, settings: dict[str, Any]) -> None:
        self._reading = reading
        self._settings = settings
        self._slots = BoundedSemaphore(AT_ONCE)
        self._queue = BoundedSemaphore(AT_ONCE + MAX_WAITING)

    def trace_repo(self, viewer: Viewer, repo_id: RepoId, revision: str = "main") -> Trace:
        """Models related to a repo's weights. Raises RepoNotFound, RevisionNotFound, GatedRepo, Invalid, EngineBusy."""
        try:
            at = self._reading.repo_at(viewer, repo_id, revision)
        except RepoMoved as moved:  # the name is in a body, which no redirect can change
            at = self._reading.repo_at(viewer, repo_id_of(moved.repo), revision)
        check(viewer, Action.DOWNLOAD, at.repo)
        return self._run(TraceOrder(self._settings, viewer, at.repo.repo_id, at.commit.oid))

    def trace_files(self, viewer: Viewer, files: Mapping[str, Path], digest: str | None = None) -> Trace:
        """Models related to a model in local files. Raises UnsupportedFormat, EngineBusy.

        `digest` is the SHA-256 of a single file where it is known.
        """
        places = {name: str(path) for name, path in files.items()}
        return self._run(TraceOrder(self._settings, viewer, files=places, digest=digest))

    @contextmanager
    def _slot(self) -> Iterator[None]:
        busy = EngineBusy("Other weights are being traced", hint="try again in a minute")
        # Who waits holds a thread that other requests need.
        if not self._queue.acquire(blocking=False):
            raise busy
        try:
            if not self._slots.acquire(timeout=_PATIENCE_S):
                raise busy
            try:
                yield
            finally:
                self._slots.release()
        finally:
            self._queue.release()

    def _run(self, order: TraceOrder) -> Trace:
        with self._slot():
            try:
                done = subprocess.run(
                    [sys.executable, "-m", _CHILD],
                    input=msgspec.json.encode(order),
                    stdout=subprocess.PIPE,
                    check=False,
                    timeout=_TIMEOUT_S,
                )
            except subprocess.TimeoutExpired:
                raise Unavailable("Tracing took too long and was ended") from None
        try:
            answer = msgspec.json.decode(done.stdout, type=TraceAnswer)
        except msgspec.DecodeError:
            raise Invalid(
                "These weights cannot be traced: reading them failed or took too much memory",
                hint="check the file with another tool",
            ) from None
        if answer.trace is None:
            raise _error(answer)
        return answer.trace


def _error(answer: TraceAnswer) -> HubError:
    kind = getattr(errors, answer.error, Invalid)
    known = isinstance(kind, type) and issubclass(kind, Invalid | Unavailable)
    return (kind if known else Invalid)(answer.message, hint=answer.hint)
