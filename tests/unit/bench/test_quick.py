"""The benchmarks run to their end, at a size whose figures mean nothing, so that their code cannot rot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench import adapt


@pytest.mark.system("nginx")
@pytest.mark.parametrize("section", list(bench.SECTIONS))
def test_quick_run(section: str, tmp_path: Path) -> None:
    bench.main(["--quick", "--only", section, "--out", str(tmp_path / "docs"), "--work", str(tmp_path)])
    page = (tmp_path / "docs" / "benchmarks.md").read_text()
    data = json.loads((tmp_path / "docs" / "benchmarks.json").read_text())
    [measured] = data["hub"]["sections"]
    assert measured["title"] in page
    assert all(min(row["samples"]) > 0 for row in measured["rows"])
    assert all(f"| {goal['name']} |" in page for goal in measured["goals"])


@pytest.mark.parametrize("section", ["training", "merging"])
def test_quick_run_of_making_models(section: str, tmp_path: Path) -> None:
    adapt.main(["--quick", "--only", section, "--out", str(tmp_path)])
    data = json.loads((tmp_path / "benchmarks.json").read_text())
    [measured] = data["adapt"]["sections"]
    assert all(min(row["samples"]) > 0 for row in measured["rows"])
