"""No margin can be declared into success."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seedstock.recipes.recipe import Claim, Evaluation
from seedstock.recipes.statistics import wilson
from seedstock.recipes.verdict import REPRODUCED, Evidence, Measured, Verdict, judge

_POSITIVE = st.floats(1e-9, 1e12)


@settings(max_examples=60)
@given(
    declared=_POSITIVE,
    seed_sd=_POSITIVE | st.just(0.0),
    value=st.floats(0, 1),
    items=st.integers(1, 10**6),
    samples=st.integers(1, 10**6),
    measured=st.integers(2, 400),
    seeds=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_no_declaration_makes_a_worse_model_a_success(
    declared: float,
    seed_sd: float,
    value: float,
    items: int,
    samples: int,
    measured: int,
    seeds: int,
    seed: int,
) -> None:
    evaluation = Evaluation(
        data="t", fn="f", n=items, samples=samples, temperature=1.0, top_p=1.0, max_new_tokens=1, seed=0
    )
    claim = Claim(
        stage="s", metric="m", eval=evaluation, value=value, seeds=seeds, margin=declared, seed_sd=seed_sd
    )
    rng = np.random.default_rng(seed)
    original, replica = rng.random((seeds, measured)) < 0.9, rng.random((seeds, measured)) < 0.4
    found = judge(Evidence(measured=(Measured(claim=claim, original=original, replica=replica),)))
    assert found.verdict not in REPRODUCED or original.mean() - replica.mean() < 0.2
    assert found.verdict in {Verdict.FAILED, Verdict.INCONCLUSIVE} or measured < 15


@given(st.floats(0, 1), st.integers(1, 10**6), st.floats(0.5, 0.999))
def test_wilson_intervals_hold_the_share_and_shrink(share: float, items: int, confidence: float) -> None:
    one, more = wilson(share, items, confidence), wilson(share, items * 4, confidence)
    assert 0 <= one.low <= share + 1e-12
    assert share - 1e-12 <= one.high <= 1
    assert more.high - more.low <= one.high - one.low + 1e-12
