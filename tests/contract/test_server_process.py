"""`seedstock serve` as a process: it starts, says so, and ends when it is told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"


@pytest.mark.parametrize("attempt", range(4))
def test_a_hub_told_to_stop_the_moment_it_is_ready_stops(tmp_path: Path, attempt: int) -> None:
    """The signal comes while the job worker is being started, which once lost it in every second try."""
    with subprocess.Popen(
        [sys.executable, "-m", "seedstock", "serve", "--data", str(tmp_path / "hub"), "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()
    assert line.startswith("ready on http://127.0.0.1:")
