"""The process of one trace: `python -m seedstock.trace_child`, started by `lineage.isolated`."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import signal
import sys
from pathlib import Path

import msgspec

from seedstock.core.errors import HubError, Invalid
from seedstock.core.names import RepoId, RepoType
from seedstock.lineage.isolated import MEMORY_BYTES, TraceAnswer, TraceOrder
from seedstock.wiring import Hub, reopen_hub

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Read an order, trace, answer."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=TraceOrder)
    with contextlib.closing(reopen_hub(**order.settings)) as hub:
        try:
            answer = _trace(hub, order)
        except MemoryError:
            answer = TraceAnswer(error="Invalid", message="Comparing these weights takes too much memory")
        except HubError as error:
            answer = TraceAnswer(error=type(error).__name__, message=error.message, hint=error.hint)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def _trace(hub: Hub, order: TraceOrder) -> TraceAnswer:
    if order.repo is None:
        files = {name: Path(path) for name, path in order.files.items()}
        return TraceAnswer(hub.tracer.trace_files(order.viewer, files, order.digest))
    namespace, slash, name = order.repo.partition("/")
    if not slash:
        raise Invalid(f"{order.repo!r} is no repository")
    repo_id = RepoId(RepoType.MODEL, namespace, name)
    return TraceAnswer(hub.tracer.trace_repo(order.viewer, repo_id, order.revision))


if __name__ == "__main__":
    main()
