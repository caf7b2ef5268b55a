"""Many traces at once take no more threads than a server can spare."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import msgspec
import pytest

from seedstock.core.errors import EngineBusy
from seedstock.lineage import isolated, trace
from tests.factories.toy_models import safetensors_bytes, toy_llama
from tests.unit.lineage.conftest import Family

WAITING = isolated.MAX_WAITING + isolated.AT_ONCE


def test_traces_beyond_a_short_queue_are_refused_at_once(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that waits holds a thread of the server's forty; pages and downloads need the others."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(safetensors_bytes(toy_llama(1)))
    go_on, outcomes = threading.Event(), []
    answer = msgspec.json.encode(isolated.TraceAnswer(trace.Trace((), 0)))

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        go_on.wait(60)
        return subprocess.CompletedProcess(command, 0, answer)

    monkeypatch.setattr(isolated.subprocess, "run", run)

    def ask() -> None:
        try:
            family.hub.isolated_tracer.trace_files(family.people["bob"], {"model.safetensors": file})
            outcomes.append("done")
        except EngineBusy:
            outcomes.append("busy")

    threads = [threading.Thread(target=ask) for _ in range(WAITING + 5)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while outcomes.count("busy") < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert outcomes == ["busy"] * 5
    go_on.set()
    for thread in threads:
        thread.join()
    assert outcomes.count("done") == WAITING
