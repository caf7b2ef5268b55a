"""`datasets` and `transformers` as people use them, each in its own environment (400 MB and 1.3 GB)."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.contract.clients import CACHE, Client, ClientMissing, interpreter


@pytest.mark.parametrize("library", ["datasets", "transformers"])
def test_library(make_client: Callable[..., Client], xet: bool, library: str) -> None:
    if not (CACHE / library / "installed.txt").exists() and not os.environ.get("SEEDSTOCK_LARGE_CLIENTS"):
        pytest.skip(f"set SEEDSTOCK_LARGE_CLIENTS=1 to install {library} into .cache/clients")
    try:
        interpreter(library)
    except ClientMissing as error:
        pytest.skip(str(error))
    done = make_client(library, xet=xet).scenario("libraries", library, timeout_s=240)
    assert done.returncode == 0, done.text
