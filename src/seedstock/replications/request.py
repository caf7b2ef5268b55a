"""What is asked of a replication, and the part of a recipe that it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from seedstock.adapt.methods import GIVES_DATA, Seed
from seedstock.core.errors import Invalid
from seedstock.recipes.graph import order, stages_to_run
from seedstock.recipes.recipe import Recipe

MAX_SEEDS = 16
_MODELS = {"base", "adapter"}
_NAME_A_MODEL = "name the stage that makes the model; evaluations of it run with it"
SMOKE_STEPS = 2
_SMOKE = {"steps": SMOKE_STEPS, "per_prompt": 1, "keep_at_least": -1e9, "n": 1, "samples": 1}


class Request(msgspec.Struct, frozen=True):
    """`stage` None: the one whose output the repo holds. `seed` None: the recipe's."""

    revision: str = "main"
    stage: str | None = None
    seeds: Annotated[int, msgspec.Meta(ge=1, le=MAX_SEEDS)] = 1
    seed: Seed | None = None
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    """None: the recipe's; other threads are another platform class."""
    smoke: bool = False
    """Two steps a stage: whether it runs at all."""
    priority: str = "normal"


def published_stage(recipe: Recipe, repo: str) -> str:
    """The stage whose output a repo holds: the one that says so, else the last that gives a model."""
    names = order(recipe)
    for name in names:
        if recipe.stage[name].publish == repo:
            return name
    models = [name for name in names if recipe.stage[name].op not in GIVES_DATA]
    if not models:
        raise Invalid("The recipe has no stage that makes a model")
    return models[-1]


def part_for(recipe: Recipe, stage: str) -> Recipe:
    """The recipe with what `stage` needs, the evaluations of that, and no more.

    Raises NotFound for a stage that it does not have, Invalid for one that makes no model.
    """
    if stage in recipe.stage and recipe.stage[stage].op in GIVES_DATA:
        raise Invalid(f"Stage {stage} makes a dataset; a replication is of a model", hint=_NAME_A_MODEL)
    needed = stages_to_run(recipe, lambda _identity: False, [stage])
    names = {*needed, *_evaluations(recipe, needed)}
    stages = {name: recipe.stage[name] for name in order(recipe) if name in names}
    used = {source for part in stages.values() for source in part.inputs.values()}
    used |= {claim.eval.data for claim in recipe.claim if claim.stage == stage}
    inputs = {name: item for name, item in recipe.inputs.items() if name in used}
    claims = [claim for claim in recipe.claim if claim.stage == stage]
    return msgspec.structs.replace(recipe, stage=stages, inputs=inputs, claim=claims)


def _evaluations(recipe: Recipe, needed: Sequence[str]) -> list[str]:
    """Stages that measure what the needed ones make or start from, by nothing that must be made for it."""
    at_hand = {*needed, *(source for name in needed for source in recipe.stage[name].inputs.values())}
    return [
        name
        for name, stage in recipe.stage.items()
        if stage.op == "eval"
        and at_hand.issuperset(source for role, source in stage.inputs.items() if role in _MODELS)
        and not any(source in recipe.stage and source not in needed for source in stage.inputs.values())
    ]


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
            stage, args={key: _SMOKE.get(key, value) for key, value in stage.args.items()}
        )
        for name, stage in recipe.stage.items()
    }
    return msgspec.structs.replace(recipe, stage=stages)
