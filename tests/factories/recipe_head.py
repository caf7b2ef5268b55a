"""How the recipes of tests begin: all that is said before inputs and stages."""

from __future__ import annotations


def recipe_head(name: str) -> str:
    """Of a recipe that runs with one thread on the processor."""
    return f"""\
schema = "hub-recipe/1"
name = "{name}"
license = "Apache-2.0"
[env]
python = "3.11"
[budget]
cpu_s = 600
memory_mb = 2048
[determinism]
seed = 0
threads = 1
dtype = "float32"
device = "cpu"
deterministic_algorithms = true
"""
