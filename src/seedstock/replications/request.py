"""What is asked of a replication, and the part of a recipe that it runs."""

from __future__ import annotations

from typing import Annotated

import msgspec

from seedstock.adapt.methods import Seed
from seedstock.recipes.recipe import Recipe

MAX_SEEDS = 16
SMOKE_STEPS = 2
_SMOKE = {"steps": SMOKE_STEPS, "per_prompt": 1, "keep_at_least": -1e9, "n": 1, "samples": 1}


class Request(msgspec.Struct, frozen=True):
    """`stage` None: all whose output the repo holds. `seed` None: the recipe's."""

    revision: str = "main"
    stage: str | None = None
    seeds: Annotated[int, msgspec.Meta(ge=1, le=MAX_SEEDS)] = 1
    seed: Seed | None = None
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    """None: the recipe's; other threads are another platform class."""
    smoke: bool = False
    """Two steps a stage, short answers: whether it runs at all."""
    priority: str = "normal"


def seeded(recipe: Recipe, seed: int, threads: int | None) -> Recipe:
    """The recipe run with another seed, and with so many threads."""
    how = msgspec.structs.replace(
        recipe.determinism, seed=seed, threads=threads or recipe.determinism.threads
    )
    return msgspec.structs.replace(recipe, determinism=how)


def shortened(recipe: Recipe) -> Recipe:
    """A recipe that shows only whether it runs."""
    stages = {
        name: msgspec.structs.replace(
            stage, args={key: _shortened(key, value) for key, value in stage.args.items()}
        )
        for name, stage in recipe.stage.items()
    }
    return msgspec.structs.replace(recipe, stage=stages)


_SMOKE_TOKENS = 8
"""Of an answer: steps are what is cut, and a large model would write whole answers for longer than it took those."""


def _shortened(key: str, value: object) -> object:
    if key == "max_new_tokens" and isinstance(value, int):
        return min(value, _SMOKE_TOKENS)
    return _SMOKE.get(key, value)
