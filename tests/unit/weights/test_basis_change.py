"""Embeddings in another basis: the map is found whether it is a permutation or any rotation."""

from __future__ import annotations

import numpy as np
import pytest

from seedstock.weights import rotation


@pytest.mark.parametrize("kind", ["permutation", "rotation"])
def test_the_basis_change_is_found(kind: str) -> None:
    """A few strong channels, as trained embeddings have, make a permutation fit a rotation somewhat."""
    rng = np.random.default_rng(3)
    strength = np.where(np.arange(64) < 3, 12.0, 1.0)
    left = (rng.standard_normal((600, 64)) * strength).astype(np.float32)
    basis = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    if kind == "permutation":
        basis = np.eye(64)[rng.permutation(64)]
    found, held_out = rotation._basis_change(left, (left @ basis).astype(np.float32))
    assert held_out > 0.99
    np.testing.assert_allclose(found, basis, atol=1e-3)


def test_unrelated_embeddings_have_no_basis_change() -> None:
    rng = np.random.default_rng(4)
    left, right = rng.standard_normal((2, 1200, 64)).astype(np.float32)
    assert rotation._basis_change(left, right)[1] < rotation.ROTATION
