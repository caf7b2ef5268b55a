"""The stages that make a GGUF: the same bytes as the hub's conversions, stopped and started again, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from seedstock.adapt.methods import METHODS
from seedstock.adapt.stage import Event, Stage, write_stage
from seedstock.core.names import RepoId, RepoType
from seedstock.hub.conversions import Request
from seedstock.recipes.outputs import file_sha256
from seedstock.wiring import Hub
from tests.factories.tiny_llama import write_model
from tests.unit.adapt.stages import finished, result, run_here, start
from tests.unit.variants.conftest import Context, Nursery


def lay_out(work: Path, base: Path, op: str, **args: Any) -> Path:
    whole = msgspec.to_builtins(msgspec.convert(args, METHODS[op]))
    write_stage(work, Stage(op=op, args=whole, inputs={"base": "sha256:"}))
    (work / "inputs" / "base").symlink_to(base)
    return work


def error_of(events: list[Event]) -> str:
    assert events[-1].error is not None
    return events[-1].error


def test_a_stage_makes_the_bytes_that_the_hub_makes(hub: Hub, tmp_path: Path) -> None:
    nursery = Nursery(hub)
    base = write_model(tmp_path / "base")
    commit = nursery.publish_folder("ada/base", base)
    for op, to in (("quantize", "Q8_0"), ("convert", "BF16")):
        ada, source = nursery.people["ada"], RepoId(RepoType.MODEL, "ada", "base")
        number, _ = hub.conversions.start(ada, source, Request(to=to, repo=f"ada/{to}"))
        spec = hub.queue.get(number).spec
        hub.queue.cancel(number)
        state = tmp_path / f"state-{to}"
        state.mkdir()
        made = hub.conversions.run(Context(state), spec)
        assert made is not None
        work = lay_out(tmp_path / to, base, op, to=to, name="base", source=f"ada/base@{commit}")
        figures = result(run_here(work))
        assert figures["file"] == made["path"] == f"base-{to}.gguf"
        assert file_sha256(work / "output" / figures["file"]) == made["sha256"]


def test_a_gguf_is_made_from_a_gguf_in_a_process_of_its_own(tmp_path: Path) -> None:
    first = lay_out(tmp_path / "a", write_model(tmp_path / "base"), "convert", to="F16", name="tiny")
    figures = result(finished(start(first)))
    assert figures["types"]["F16"] > 0
    second = lay_out(tmp_path / "b", first / "output", "quantize", to="Q4_0", name="tiny")
    assert result(finished(start(second)))["types"]["Q4_0"] > 0
    assert [path.name for path in (second / "output").iterdir()] == ["tiny-Q4_0.gguf"]


def test_a_stage_that_was_stopped_starts_again(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    whole = lay_out(tmp_path / "whole", base, "quantize", to="Q8_0")
    result(run_here(whole))
    work = lay_out(tmp_path / "stopped", base, "quantize", to="Q8_0")
    asked = iter([False, False, False, True])
    assert run_here(work, lambda: next(asked))[-1].stopped
    assert not (work / "output").exists()
    result(run_here(work))
    made = "output/model-Q8_0.gguf"
    assert (work / made).read_bytes() == (whole / made).read_bytes()


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base")
    assert "no file" in error_of(run_here(lay_out(tmp_path / "a", base, "convert", to="F16", file="x.gguf")))
    (base / "tokenizer.json").unlink()
    assert "tokenizer.json" in error_of(run_here(lay_out(tmp_path / "b", base, "convert", to="F16")))
    (base / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes()[:-1])
    assert error_of(run_here(lay_out(tmp_path / "c", base, "convert", to="F16")))


@pytest.mark.parametrize("args", [{"to": "Q2_K"}, {"to": "Q8_0", "name": "../up"}, {"to": "Q8_0", "more": 1}])
def test_arguments_are_checked(tmp_path: Path, args: dict[str, Any]) -> None:
    write_stage(tmp_path, Stage(op="quantize", args=args, inputs={}))
    assert error_of(run_here(tmp_path)).startswith("The arguments of quantize are wrong")
