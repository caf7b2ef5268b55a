"""The processes that `seedstock serve` keeps beside the web workers: the engine supervisor and a job worker.

Each watches its standard input, so that none survives its parent, however that ends.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

from seedstock.settings import Settings

_STOP_S = 20


def start_engines(settings: Settings) -> subprocess.Popen[bytes] | None:
    """Start the engine supervisor; None when no engine is installed."""
    if importlib.util.find_spec("xllamacpp") is None:
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
    }
    environ = os.environ | urls | lanes
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, env=environ)


def stop(process: subprocess.Popen[bytes] | None) -> None:
    """Ask a companion to finish, and insist after a while."""
    if process is None:
        return
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
