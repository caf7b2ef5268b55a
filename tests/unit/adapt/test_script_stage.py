"""Scripts of a recipe's author: what they get, what they leave, and what they cannot do."""

from __future__ import annotations

import hashlib
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from seedstock.adapt import script_stage
from seedstock.adapt.launch import LocalLauncher
from seedstock.adapt.stage import Event, Stage, write_stage
from tests.unit.adapt.stages import run_here

WORKS = """\
import json, os, sys
inputs, output, args, seed = sys.argv[1:]
assert os.getcwd() == output == "/output"
print("args", args, "seed", seed)
print("to standard error", file=sys.stderr)
with open(f"{inputs}/data/deep/rows.jsonl") as rows, open("rows.jsonl", "w") as out:
    for row in rows:
        if json.loads(row)["n"] % json.loads(args)["every"] == 0:
            out.write(row)
os.makedirs("more")
open("more/packages", "w").write(str(__import__("numpy").arange(3).sum()))
"""


def lay_out(work: Path, code: str, sha256: str | None = None) -> Path:
    (work / "script").mkdir(parents=True)
    (work / "script" / "script.py").write_text(code)
    args = {
        "file": "code/clean.py",
        "sha256": sha256 or hashlib.sha256(code.encode()).hexdigest(),
        "args": {"every": 3},
    }
    write_stage(work, Stage(op="script", args=args, inputs={"data": "x"}, seed=7))
    kept = work / "elsewhere.jsonl"  # as the hub places large files: by a link
    kept.write_text("".join(f'{{"n": {number}}}\n' for number in range(7)))
    (work / "inputs" / "data" / "deep").mkdir(parents=True)
    (work / "inputs" / "data" / "deep" / "rows.jsonl").symlink_to(kept)
    return work


def error_of(events: list[Event]) -> str:
    assert events[-1].error is not None, events[-1]
    return events[-1].error


def test_a_script_reads_its_inputs_writes_its_output_and_is_heard(tmp_path: Path) -> None:
    work = lay_out(tmp_path / "w", WORKS)
    events: list[Event] = []
    result = LocalLauncher().run(work, events.append, lambda: False)
    assert (work / "output" / "rows.jsonl").read_text() == '{"n": 0}\n{"n": 3}\n{"n": 6}\n'
    assert (work / "output" / "more" / "packages").read_text() == "3"
    said = [event.log for event in events if event.log]
    assert 'args {"every": 3} seed 7' in said
    assert "to standard error" in said
    assert result["files"] == 2
    assert (work / "output" / "rows.jsonl").owner() == work.owner()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("open('/inputs/data/deep/rows.jsonl', 'w')", "Read-only|Permission"),
        ("open('/inputs/data/deep/new', 'w')", "Read-only|Permission"),
        ("open('/etc/passwd')", "No such file"),
        ("import sys; print('why', file=sys.stderr); sys.exit(3)", "status 3: why"),
        ("this is no Python", "SyntaxError"),
        ("pass", "wrote nothing"),
        ("import os; os.symlink('/etc/passwd', 'link')", "neither a file nor a folder"),
        ("import os; os.mkfifo('pipe')", "neither a file nor a folder"),
        ("import os; os.kill(os.getpid(), 9)", "status"),
        ("x = bytearray(8 << 30)", "MemoryError"),
    ],
)
def test_what_a_script_may_not_do_fails_it_in_one_line(tmp_path: Path, code: str, said: str) -> None:
    work = lay_out(tmp_path / "w", code)
    assert any(part in error_of(run_here(work)) for part in said.split("|"))
    assert not (work / "output").exists()
    assert (work / "elsewhere.jsonl").read_text().count("\n") == 7


def test_there_is_no_network_and_no_secret_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDSTOCK_SECRET", "s3cret")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        code = (
            "import os, socket\n"
            f"try: socket.create_connection(('127.0.0.1', {port}), 2); net = 'open'\n"
            "except OSError: net = 'shut'\n"
            "open('found', 'w').write(net + ','.join(sorted(os.environ)))\n"
        )
        work = lay_out(tmp_path / "w", code)
        assert run_here(work)[-1].result is not None
    found = (work / "output" / "found").read_text()
    assert found.startswith("shut")
    assert "SEEDSTOCK" not in found


def test_another_file_than_the_pinned_one_does_not_run(tmp_path: Path) -> None:
    events = run_here(lay_out(tmp_path / "w", WORKS, sha256="0" * 64))
    assert "inputs-changed: code/clean.py" in error_of(events)


def test_a_script_that_is_told_to_stop_or_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began_s = time.monotonic()
    events = run_here(lay_out(tmp_path / "a", "import time; time.sleep(60)"), lambda: True)
    assert events[-1].stopped
    monkeypatch.setattr(script_stage, "_WALL_S", 1)
    assert "did not end" in error_of(run_here(lay_out(tmp_path / "b", "import time; time.sleep(60)")))
    monkeypatch.setattr(script_stage, "_WALL_S", 60)
    monkeypatch.setattr(script_stage, "_MOST_BYTES", 1 << 20)
    code = "import time\nfor n in range(9): open(str(n), 'wb').write(bytes(1 << 19))\ntime.sleep(60)"
    assert "wrote more than" in error_of(run_here(lay_out(tmp_path / "c", code)))
    assert time.monotonic() - began_s < 40


def test_where_nothing_isolates_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child says why it could not lock itself up, and has not run a line."""
    ran = tmp_path / "ran"
    order: dict[str, Any] = script_stage._order  # type: ignore[assignment]

    def broken(*args: Any) -> dict[str, Any]:
        return {**order(*args), "writable_source": "/nowhere"}  # type: ignore[operator]

    monkeypatch.setattr(script_stage, "_order", broken)
    events = run_here(lay_out(tmp_path / "w", f"open({str(ran)!r}, 'w')"))
    assert "cannot isolate code" in error_of(events)
    assert not ran.exists()
