"""A worker for tests to kill: `python -m tests.unit.jobs.worker_process URL FOLDER`."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from seedstock.core.clock import now_ms
from seedstock.db.engine import Database
from seedstock.jobs.kinds import JobKind
from seedstock.jobs.worker import Worker

HERE = "tests.unit.jobs.entries"
KINDS = {
    kind.name: kind
    for kind in (
        JobKind("sleep", None, f"{HERE}:sleep", grace_s=0.1),
        JobKind("save", None, f"{HERE}:save_and_stop"),
        JobKind("train", None, f"{HERE}:train"),
        JobKind("quick", lambda *_: {"done": True}),
    )
}

if __name__ == "__main__":
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    database = Database(sys.argv[1])
    Worker(database, KINDS, Path(sys.argv[2]), now_ms, stop).run()
    database.close()
