"""A hub that holds a variant made here, recipe and all."""

from __future__ import annotations

from tests.unit.variants.conftest import nursery, tiny_base  # noqa: F401
