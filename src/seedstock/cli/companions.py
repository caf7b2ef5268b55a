"""The processes that `seedstock serve` keeps beside the web workers: the engine supervisor and a job worker.

Each watches its standard input, so that none survives its parent, however that ends. One that dies is started again,
for without the worker no job would run until somebody noticed.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from seedstock.settings import Settings

log = logging.getLogger("seedstock.server")

_STOP_S = 20
_LEAST_PAUSE_S, _MOST_PAUSE_S = 1.0, 60.0


class Companion:
    """A process that is started again when it dies; sooner the longer it lived."""

    def __init__(self, name: str, start: Callable[[], subprocess.Popen[bytes] | None]) -> None:
        """`start` gives None where there is nothing to run."""
        self._name = name
        self._start = start
        self._over = threading.Event()
        self._process = start()
        if self._process is not None:
            threading.Thread(target=self._watch, name=name, daemon=True).start()

    def _watch(self) -> None:
        pause_s = _LEAST_PAUSE_S
        while self._process is not None:
            began_s = time.monotonic()
            status = self._process.wait()
            if self._over.is_set():
                return
            pause_s = _LEAST_PAUSE_S if time.monotonic() - began_s > _MOST_PAUSE_S else pause_s
            log.warning("the %s ended with status %d; it is started again", self._name, status)
            if self._over.wait(pause_s):
                return
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)
            self._process = self._start()

    def stop(self) -> None:
        """Ask it to finish, and insist after a while."""
        self._over.set()
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_engines(settings: Settings) -> subprocess.Popen[bytes] | None:
    """Start the engine supervisor; None when no engine is installed."""
    if importlib.util.find_spec("xllamacpp") is None and settings.vllm is None:
        return None
    memory = settings.engine_memory_limit_bytes
    settings.run_socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = [
        sys.executable,
        "-m",
        "seedstock.run.supervisor",
        "--exit-with-stdin",
        "--log-level",
        "WARNING",
    ]
    command += ["--socket", str(settings.run_socket), "--memory-limit-bytes", str(memory)]
    command += [
        "--idle-timeout-s",
        str(settings.engine_idle_s),
        "--threads",
        str(settings.engine_threads or 0),
    ]
    if settings.vllm is not None:
        command += ["--vllm", str(settings.vllm)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def start_worker(settings: Settings) -> subprocess.Popen[bytes]:
    """Start a job worker."""
    command = [
        sys.executable,
        "-m",
        "seedstock",
        "worker",
        "--exit-with-stdin",
        "--data",
        str(settings.data_dir),
    ]
    # Not as arguments: everybody on the machine may read those, and the database's address may hold a password.
    urls = {"SEEDSTOCK_DATABASE_URL": settings.database_url, "SEEDSTOCK_STORE_URL": settings.store_url}
    lanes = {
        "SEEDSTOCK_SLOW_LANES": str(settings.slow_lanes),
        "SEEDSTOCK_TRAINING_LANES": str(settings.training_lanes),
        "SEEDSTOCK_LAUNCHER": settings.launcher,
        "SEEDSTOCK_REMOTES": "on" if settings.remotes else "off",
    }
    here = {"SEEDSTOCK_INTERNAL_URL": settings.own_url}
    environ = os.environ | urls | lanes | here
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, env=environ)
