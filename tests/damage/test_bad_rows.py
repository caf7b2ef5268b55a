"""Bad datasets, as people publish them: a run fails before any weights load and names the row; so does the preview."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.server import ROOT, HubProcess
from tests.damage.garden import Garden

pytestmark = pytest.mark.xdist_group("training")

BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "no rows"),
    "blank": (b"\n\n\n", "no rows"),
    "torn": (b'{"prompt": "a", "completion": "b"}\n{"prompt": "a"\n', "train.jsonl, line 2"),
    "latin": (b'{"prompt": "a", "completion": "b"}\n{"prompt": "a", "completion": "\xff"}\n', "UTF-8"),
    "columns": (b'{"question": "a", "colour": "b"}\n', "colour"),
    "long": (b'{"text": "a"}\n{"text": "' + b"x" * 10_500_000 + b'"}\n', "train.jsonl, line 2"),
}


def test_bad_rows_fail_before_weights_load_and_name_the_row(victim: HubProcess, tmp_path: Path) -> None:
    victim.start()
    garden = Garden(victim, tmp_path)
    for name, (rows, _) in BAD.items():
        garden.publish_rows(f"ada/{name}", rows)
    numbers = {name: garden.start(data=f"ada/{name}", publish=f"ada/of-{name}") for name in BAD}
    for name, (_, words) in BAD.items():
        dry = garden.ask("POST", "/api/adapt?dry_run=true", json=_spec(name))
        assert dry.status_code == 400, (name, dry.text[:500])
        assert words in dry.json()["error"], name
        assert len(dry.json()["error"]) < 1000
    for name, (_, words) in BAD.items():
        job = garden.wait(numbers[name])
        assert (job["state"], job["attempts"]) == ("dead", 1), (name, job)
        assert words in job["error"], (name, job["error"])
        assert "\n" not in job["error"]
        assert len(job["error"]) < 1000
        said = " ".join(entry.get("text", "") for entry in garden.said(numbers[name]).values())
        assert "Reading the dataset" in said
        assert "Loading the base model" not in said
        assert "Traceback" not in said
        assert not garden.exists(f"ada/of-{name}")
    assert not victim.failures()
    _follow_on_the_command_line(victim)


def _spec(name: str) -> dict[str, str]:
    return {"method": "sft", "base": "ada/base", "data": f"ada/{name}"}


def _follow_on_the_command_line(hub: HubProcess) -> None:
    command = [sys.executable, "-m", "seedstock", "adapt", "--method", "sft", "--base", "ada/base"]
    command += ["--data", "ada/torn", "--follow", "--endpoint", hub.url, "--token", hub.tokens["ada"]]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert "train.jsonl, line 2" in last
    assert "Traceback" not in done.stderr
    assert "Loading the base model" not in done.stdout
