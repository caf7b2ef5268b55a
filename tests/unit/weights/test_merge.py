"""Weights of merges, and silence where there was none."""

from __future__ import annotations

import numpy as np
import pytest

from seedstock.weights.merge import explain_merge
from tests.factories import models

BASE = models.llama(1)
ONE, TWO, THREE = (models.tuned(BASE, seed) for seed in (3, 4, 5))


def _sum(parts: list[tuple[float, models.Tensors]], dtype: str = "BF16"):  # type: ignore[no-untyped-def]
    return models.model({name: sum(c * tensors[name] for c, tensors in parts) for name in BASE}, dtype)


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.95])
def test_shares_of_a_linear_merge_are_found_with_and_without_the_base(share: float, dtype: str) -> None:
    target, parents = _sum([(share, ONE), (1 - share, TWO)], dtype), [models.model(ONE), models.model(TWO)]
    for base in (models.model(BASE), None):
        fit = explain_merge(target, parents, base)
        assert fit is not None
        assert fit.method == "linear"
        np.testing.assert_allclose(fit.coefficients, [share, 1 - share], atol=0.005)
        assert fit.parents == (0, 1)


def test_three_parents_and_task_arithmetic() -> None:
    parents = [models.model(tensors) for tensors in (ONE, TWO, THREE)]
    fit = explain_merge(_sum([(0.5, ONE), (0.3, TWO), (0.2, THREE)]), parents)
    assert fit is not None
    np.testing.assert_allclose(fit.coefficients, [0.5, 0.3, 0.2], atol=0.005)
    added = _sum([(-0.1, BASE), (0.8, ONE), (0.3, TWO)])
    fit = explain_merge(added, parents[:2], models.model(BASE))
    assert fit is not None
    np.testing.assert_allclose(fit.coefficients, [0.8, 0.3], atol=0.005)


def test_a_stranger_among_the_parents_gets_nothing() -> None:
    parents = [models.model(tensors) for tensors in (ONE, TWO, THREE)]
    fit = explain_merge(_sum([(0.6, ONE), (0.4, TWO)]), parents, models.model(BASE))
    assert fit is not None
    assert fit.parents == (0, 1)
    assert abs(fit.coefficients[2]) < 0.005


def test_updates_near_one_unit_in_the_last_place_are_still_weighed() -> None:
    small = [models.tuned(BASE, seed, 0.003) for seed in (3, 4)]
    target = _sum([(0.7, small[0]), (0.3, small[1])])
    fit = explain_merge(target, [models.model(tensors) for tensors in small], models.model(BASE))
    assert fit is not None
    np.testing.assert_allclose(fit.coefficients, [0.7, 0.3], atol=0.02)


def _ties(base: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    kept = [np.where(np.abs(d) >= np.median(np.abs(d)), d, 0) for d in (one - base, two - base)]
    sign = np.sign(kept[0] + kept[1])
    agreeing = [np.where(np.sign(d) == sign, d, 0) for d in kept]
    return base + sum(agreeing) / np.maximum(sum(d != 0 for d in agreeing), 1)


def test_ties_is_told_by_its_values() -> None:
    made = models.model({name: _ties(BASE[name], ONE[name], TWO[name]) for name in BASE})
    fit = explain_merge(made, [models.model(ONE), models.model(TWO)], models.model(BASE))
    assert fit is not None
    assert fit.method == "ties"
    assert fit.parents == (0, 1)


@pytest.mark.parametrize("with_base", [True, False])
def test_what_is_no_merge_is_not_explained(with_base: bool) -> None:
    base = models.model(BASE) if with_base else None
    parents = [models.model(ONE), models.model(TWO)]
    for target in (models.tuned(ONE, 9), THREE, models.llama(2), models.with_lora(ONE, 2), ONE):
        assert explain_merge(models.model(target), parents, base) is None


def test_other_shapes_and_too_few_parents_are_not_explained() -> None:
    one = models.model(ONE)
    assert explain_merge(models.model(BASE), [one]) is None
    assert explain_merge(models.model(BASE), [one, models.model(models.llama(1, layers=3))]) is None
    assert explain_merge(models.model(BASE), [one, one], one) is None
    spoilt = {name: np.full_like(value, np.nan) for name, value in ONE.items()}
    assert explain_merge(models.model(spoilt), [one, models.model(TWO)]) is None
