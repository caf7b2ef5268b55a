"""Our sampler against transformers' `generate`, and what its choices are made by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import torch
from transformers import AutoModelForCausalLM

from seedstock.adapt.rewards.base_rate import base_rate
from seedstock.adapt.train import rollout
from seedstock.adapt.train.rollout import Decoding, choose, complete, generator
from tests.factories.tiny_llama import write_model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
PROMPTS = [[at % 90 + 3] * (1 + at % 5) for at in range(9) for _ in range(4)]
ENDS = tuple(range(40))  # so many that rows end at all times


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = write_model(tmp_path_factory.mktemp("tiny"))
    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)


@pytest.mark.parametrize("rows", [7, 256])
def test_greedy_completions_are_those_of_generate(model: Any, rows: int) -> None:
    decoding = Decoding(80, temperature=0, ends=ENDS)
    ours = complete(model, PROMPTS, decoding, generator("cpu", 1), rows=rows)
    with torch.no_grad():
        theirs = rollout._generated(model, PROMPTS, decoding, generator("cpu", 1))
    assert ours == theirs
    assert len({len(row) for row in ours}) > 1


def test_completions_end_with_the_end_and_depend_on_nothing_global(model: Any) -> None:
    decoding = Decoding(30, ends=ENDS)
    state = torch.get_rng_state()
    first = complete(model, PROMPTS, decoding, generator("cpu", 3, 4))
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(99)
    assert first == complete(model, PROMPTS, decoding, generator("cpu", 3, 4))
    assert first != complete(model, PROMPTS, decoding, generator("cpu", 3, 5))
    for row in first:
        assert len(row) == 30 or row[-1] in ENDS
        assert not set(row[:-1]) & set(ENDS)


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    chances = torch.tensor([0.5, 0.3, 0.15, 0.05])
    logits = chances.log().expand(20_000, 4)

    def shares(**how: Any) -> list[float]:
        drawn = choose(logits, Decoding(1, **how), generator("cpu", 7))
        return (torch.bincount(drawn, minlength=4) / len(drawn)).tolist()

    assert shares() == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.015)
    # 0.7 is not reached by the first alone; the second is the last that is needed.
    assert shares(top_p=0.7) == pytest.approx([0.625, 0.375, 0, 0], abs=0.015)
    assert shares(top_p=0.01) == [1, 0, 0, 0]
    hot = chances.sqrt() / chances.sqrt().sum()
    assert shares(temperature=2.0) == pytest.approx(hot.tolist(), abs=0.015)
    assert shares(temperature=0) == [1, 0, 0, 0]


def test_the_base_rate_warns_of_what_teaches_nothing() -> None:
    fine = base_rate([[1, 0], [0, 0]], best=1)
    assert (fine.mean, fine.success, fine.zero_variance) == (0.25, 0.25, 0.5)
    assert fine.warnings() == []
    assert len(base_rate([[0.1, 0.2]], best=1).warnings()) == 1
    assert len(base_rate([[0, 0], [0, 0]], best=1).warnings()) == 2
    assert "little is left" in base_rate([[1, 1]], best=1).warnings()[1]
