"""The benchmark of lineage runs to its end without torch, on one small family, and its verdicts are right there."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from tests.bench.lineage import __main__ as bench
from tests.bench.lineage import files, intervals, kquants, labels, variants
from tests.bench.lineage.shapes import Shape, from_names, to_names
from tests.bench.lineage.stand_in import StandIn


def test_quick_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = bench.main(["--quick", "--processes", "1", "--out", str(tmp_path)])
    told = capsys.readouterr().err
    assert not [outcome for outcome in outcomes if outcome.false_relation or outcome.false_direction], told
    assert all(outcome.right for outcome in outcomes), told
    assert {outcome.pair.made for outcome in outcomes} >= {*labels.POSITIVE, *labels.NEGATIVE} - {
        labels.OTHER_SHAPE
    }
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    assert {"identical", "derived", "partial", "none", "inconclusive"} <= verdicts.keys()
    page = (tmp_path / "benchmarks.md").read_text()
    for outcome in outcomes:
        assert f"| {outcome.pair.made} |" in page
    data = json.loads((tmp_path / "benchmarks.json").read_text())
    assert list(data) == ["lineage"]


@pytest.mark.parametrize(
    ("encode", "name", "most"), [(kquants.q4_k, "Q4_K", 0.09), (kquants.q6_k, "Q6_K", 0.025)]
)
def test_k_quants_are_what_the_decoder_reads(encode, name: str, most: float) -> None:  # type: ignore[no-untyped-def]
    rows = np.random.default_rng(0).standard_normal((8, 512)).astype(np.float32)
    back = quants.dequantize(encode(rows), GGMLQuantizationType[name])
    assert np.linalg.norm(back - rows) < most * np.linalg.norm(rows)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma", "gpt2"])
def test_names_come_and_go(architecture: str) -> None:
    kv = 4 if architecture == "gpt2" else 2
    shape = Shape(architecture, 32, 2, 4, kv, 64, 50, tied=architecture != "qwen2")
    plain = StandIn().initial(shape, 1)
    again = from_names(to_names(plain, shape), shape)
    assert plain.keys() == again.keys()
    for name, value in plain.items():
        np.testing.assert_allclose(again[name], value, atol=1e-6)


def test_gguf_arrangement_comes_and_goes() -> None:
    shape = Shape("llama", 32, 2, 4, 2, 64, 50)
    plain = StandIn().initial(shape, 1)
    again = files.from_gguf_tensors(files.gguf_tensors(plain, shape), shape)
    assert all(np.array_equal(again[name], value) for name, value in plain.items())


def test_merges_are_sums() -> None:
    shape = Shape("llama", 32, 2, 4, 2, 64, 50)
    base, one, two = (StandIn().initial(shape, seed) for seed in range(3))
    assert np.allclose(
        variants.linear([one, two], [0.7, 0.3])["embed"], 0.7 * one["embed"] + 0.3 * two["embed"]
    )
    merged = variants.ties(base, [one, two], 0.5)["embed"] - base["embed"]
    changes = [one["embed"] - base["embed"], two["embed"] - base["embed"]]
    options = np.stack([np.zeros_like(merged), *changes, (changes[0] + changes[1]) / 2])
    assert np.abs(options - merged).min(axis=0).max() < 1e-5


def test_exact_intervals() -> None:
    """Figures from tables of the binomial distribution."""
    assert intervals.interval(0, 10) == pytest.approx((0, 0.3085), abs=1e-4)
    assert intervals.interval(5, 10) == pytest.approx((0.1871, 0.8129), abs=1e-4)
    assert intervals.upper_bound(0, 300) == pytest.approx(0.00994, abs=1e-5)


def test_every_class_has_a_right_answer() -> None:
    assert {*labels.POSITIVE, *labels.NEGATIVE} < labels.EXPECTED.keys()
    for made in labels.NEGATIVE:
        assert not labels.RELATED & {*labels.EXPECTED[made].verdicts}
    for made in labels.POSITIVE:
        assert labels.EXPECTED[made].verdicts[0] in labels.RELATED
