"""The chain of checkpoints, and segments of a run that are run again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from seedstock.adapt.launch import LocalLauncher
from seedstock.adapt.spot_check import recorded_chain, segments, spot_check
from seedstock.adapt.stage import Event
from seedstock.cli.main import cli
from tests.unit.adapt.stages import LIBRARY_WARNINGS, conversations, lay_out, result, run_here

pytestmark = LIBRARY_WARNINGS
SETTINGS: dict[str, Any] = {
    "steps": 8,
    "batch_size": 4,
    "max_length": 64,
    "save_every": 2,
    "lora": {"r": 4, "dropout": 0.2},
    "held_out": 0.0,
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that kept all its checkpoints."""
    stage = {"seed": 5, "checkpoints": 0}
    work = lay_out(
        tmp_path_factory.mktemp("kept") / "work", "sft", conversations(30), stage=stage, **SETTINGS
    )
    result(run_here(work))
    return work


def silent(_event: Event) -> None:
    pass


def test_equal_runs_have_equal_chains_and_another_seed_another_from_the_first_link(
    kept: Path, tmp_path: Path
) -> None:
    chain = recorded_chain(kept)
    assert [link.step for link in chain] == [2, 4, 6, 8]
    assert len({link.digest for link in chain}) == 4
    again = lay_out(tmp_path / "again", "sft", conversations(30), **SETTINGS)
    assert result(run_here(again))["chain"] == msgspec.to_builtins(chain)
    other = lay_out(tmp_path / "other", "sft", conversations(30), stage={"seed": 6}, **SETTINGS)
    links = result(run_here(other))["chain"]
    assert all(link["digest"] != ours.digest for link, ours in zip(links, chain, strict=True))


def test_a_checkpoint_that_was_changed_is_seen(kept: Path, tmp_path: Path) -> None:
    chain = recorded_chain(kept)
    weights = kept / "state" / "checkpoint-4" / "adapter_model.safetensors"
    before = weights.read_bytes()
    values = load_file(weights)
    name = min(values)
    values[name] = values[name] + 1e-3
    save_file(values, weights, metadata={"format": "pt"})
    try:
        found = spot_check(kept, tmp_path / "again", chain, (4, 6), LocalLauncher(), silent)
    finally:
        weights.write_bytes(before)
    assert (found.agrees, found.start_as_recorded) == (False, False)


def test_the_command_runs_one_segment_again_and_tells_a_forged_link(kept: Path, tmp_path: Path) -> None:
    chain = recorded_chain(kept)
    assert segments(kept, chain) == [(0, 2), (2, 4), (4, 6), (6, 8)]
    done = CliRunner().invoke(cli, ["spot-check", str(kept), "--step", "2"])
    assert done.exit_code == 0, done.output
    assert (
        done.output
        == f"spot-checked: steps 2 to 4, one of 4 segments, came out as recorded ({chain[1].digest[:12]})\n"
    )
    forged = tmp_path / "forged"
    shutil.copytree(kept, forged, symlinks=True)
    file = forged / "state" / "result.json"
    found = json.loads(file.read_text())
    found["chain"][3]["digest"] = "0" * 64
    file.write_text(json.dumps(found))
    done = CliRunner().invoke(cli, ["spot-check", str(forged), "--step", "6"])
    assert done.exit_code == 6, done.output
    assert f"came out as {chain[3].digest[:12]}, recorded is 000000000000" in done.output
