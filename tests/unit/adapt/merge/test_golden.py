"""Merges equal mergekit's: to the bit where the arithmetic is defined, to a rounding where sums are ordered otherwise."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from seedstock.adapt.merge.stage import run
from seedstock.adapt.methods import Merge
from seedstock.adapt.stage import Stage, write_stage
from seedstock.metadata.source import BytesReader
from seedstock.weights.checkpoint import open_checkpoint
from tests.golden.merge.cases import HERE, SEED, cases, write_models

# Sums of two or three products, in another order or fused; a bfloat16 that lies between two is then rounded either way.
ROUNDING = {"BF16": 2**-7, "F16": 2**-10, "F32": 2**-21}
EXACT = ("ties", "task_arithmetic", "passthrough")


@pytest.mark.parametrize("case", cases(), ids=lambda case: case["name"])
def test_a_merge_is_mergekits(case: dict[str, Any], tmp_path: Path) -> None:
    write_models(tmp_path / "models", case["dtype"])
    work = tmp_path / "work"
    write_stage(
        work,
        Stage(
            op="merge", args=msgspec.to_builtins(msgspec.convert(case["args"], Merge)), inputs={}, seed=SEED
        ),
    )
    roles = [f"model_{at}" for at in range(len(case["yaml"].get("models", "ab")))]
    for role in [*roles, *(["base"] if case["yaml"].get("base_model") == "base" else [])]:
        (work / "inputs" / role).symlink_to(tmp_path / "models" / role)
    run(
        stage := msgspec.json.decode((work / "stage.json").read_bytes(), type=Stage),
        work,
        print,
        lambda: False,
    )
    assert stage.op == "merge"
    ours = open_checkpoint({"o": BytesReader((work / "output.part" / "model.safetensors").read_bytes())})
    golden = gzip.decompress((HERE / f"{case['name']}.safetensors.gz").read_bytes())
    theirs = open_checkpoint({"t": BytesReader(golden)})
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, info in theirs.tensors.items():
        assert (ours.tensors[name].dtype, ours.tensors[name].shape) == (info.dtype, info.shape)
        one, two = ours.read(name), theirs.read(name)
        if case["args"]["method"] in EXACT:
            np.testing.assert_array_equal(one, two)
        else:
            np.testing.assert_allclose(one, two, rtol=ROUNDING[info.dtype], atol=2e-7)
