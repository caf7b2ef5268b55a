"""The process that makes one file for an engine: `python -m seedstock.make_engine_file`, started by `hub.preparation`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys

import msgspec

from seedstock.hub.preparation import MakeOrder, make
from seedstock.wiring import reopen_hub

MEMORY_BYTES = 4 << 30
_PR_SET_PDEATHSIG = 1
_NICE = 10


def main() -> None:
    """Read an order and follow it; what goes wrong is noted in the cache."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=MakeOrder)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    os.nice(_NICE)  # answers come first
    with contextlib.closing(reopen_hub(**order.settings)) as hub:
        make(hub.reading, hub.content, hub.models.preparation.cache, order)


if __name__ == "__main__":
    main()
