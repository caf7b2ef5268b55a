"""What is asked of a replication, and the part of a recipe that it runs."""

from __future__ import annotations

from typing import Annotated

import msgspec

from seedstock.adapt.methods import Seed
from seedstock.core.errors import Invalid
from seedstock.recipes.graph import order, stages_to_run
from seedstock.recipes.recipe import Recipe

MAX_SEEDS = 16
SMOKE_STEPS = 2
_SMOKE = {"steps": SMOKE_STEPS, "per_prompt": 1, "keep_at_least": -1e9}


class Request(msgspec.Struct, frozen=True):
    """`stage` None: the one whose output the repo holds. `seed` None: the recipe's."""

    revision: str = "main"
    stage: str | None = None
    seeds: Annotated[int, msgspec.Meta(ge=1, le=MAX_SEEDS)] = 1
    seed: Seed | None = None
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    """None: the recipe's; other threads are another platform class."""
    smoke: bool = False
    """Two steps a stage, short answers: whether it runs at all."""
    priority: str = "normal"


def published_stage(recipe: Recipe, repo: str) -> str:
    """The stage whose output a repo holds: the one that says so, else the last that gives a model."""
    names = order(recipe)
    for name in names:
        if recipe.stage[name].publish == repo:
            return name
    models = [name for name in names if recipe.stage[name].op not in {"sample", "eval"}]
    if not models:
        raise Invalid("The recipe has no stage that makes a model")
    return models[-1]


def part_for(recipe: Recipe, stage: str) -> Recipe:
    """The recipe with what `stage` needs, and no more. Raises NotFound for a stage it does not have."""
    names = stages_to_run(recipe, lambda _identity: False, [stage])
    stages = {name: recipe.stage[name] for name in names}
    used = {source for part in stages.values() for source in part.inputs.values()}
    used |= {claim.eval.data for claim in recipe.claim if claim.stage == stage}
    inputs = {name: item for name, item in recipe.inputs.items() if name in used}
    claims = [claim for claim in recipe.claim if claim.stage == stage]
    return msgspec.structs.replace(recipe, stage=stages, inputs=inputs, claim=claims)


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
