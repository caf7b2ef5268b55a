"""`datasets` and `transformers` as people use them, by Xet and by plain LFS."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.clients import Client


@pytest.mark.parametrize("library", ["datasets", "transformers"])
def test_library(make_client: Callable[..., Client], xet: bool, library: str) -> None:
    done = make_client(xet=xet).scenario("libraries", library, timeout_s=240)
    assert done.returncode == 0, done.text
