"""A merged adapter is recognised as one, also where the copy is stored in another type than the base."""

from __future__ import annotations

from pathlib import Path

import pytest

from seedstock.weights.compare import compare
from tests.bench.lineage.corpus import Language
from tests.bench.lineage.files import rounded, write_model
from tests.bench.lineage.reading import open_files
from tests.bench.lineage.shapes import Shape
from tests.bench.lineage.stand_in import StandIn

_SHAPE = Shape("llama", 128, 4, 4, 2, 256, 256)


@pytest.mark.parametrize("dtype", ["BF16", "F32", "F16"])
def test_a_merged_adapter(tmp_path: Path, dtype: str) -> None:
    trainer = StandIn()
    base = rounded(trainer.initial(_SHAPE, 1))
    merged = trainer.train_low_rank(
        base, _SHAPE, language=Language(1, 256), seed=2, steps=50, rate=1e-2, rank=4
    )
    files = [
        tuple(f"{name}/{file}" for file in write_model(tmp_path / name, weights, _SHAPE, stored))
        for name, weights, stored in [("base", base, "BF16"), ("merged", merged, dtype)]
    ]
    said = compare(open_files(tmp_path, files[0]), open_files(tmp_path, files[1]))
    assert (said.verdict, said.kind) == ("derived", "lora"), said
