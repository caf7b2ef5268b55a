"""Parts of a recipe: what the stages of some outputs need, and which outputs the repo of a recipe holds.

A stage that makes a GGUF says by its arguments what its file is called, so a repo that holds several is told apart by
them: one stage a file.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from seedstock.adapt.methods import GIVES_DATA
from seedstock.convert.files import file_name
from seedstock.core.errors import Invalid
from seedstock.recipes.graph import order, stages_to_run
from seedstock.recipes.recipe import Recipe, RecipeStage

MAKES_A_FILE = frozenset({"quantize", "convert"})
"""Operations whose output is one GGUF."""
_DEFAULT_NAME = "model"
_MODELS = {"base", "adapter"}


def file_of(stage: RecipeStage) -> str | None:
    """The one file that a stage makes; None: it makes a folder."""
    if stage.op not in MAKES_A_FILE:
        return None
    return file_name(str(stage.args.get("name", _DEFAULT_NAME)), str(stage.args["to"]))


def part_for(recipe: Recipe, stages: Sequence[str]) -> Recipe:
    """The recipe with what `stages` need, the evaluations of that, and no more. Raises NotFound for a stage it does not have."""
    needed = stages_to_run(recipe, lambda _identity: False, stages)
    names = {*needed, *_evaluations(recipe, needed)}
    kept = {name: recipe.stage[name] for name in order(recipe) if name in names}
    used = {source for stage in kept.values() for source in stage.inputs.values()}
    claims = [claim for claim in recipe.claim if claim.stage in stages]
    used |= {claim.eval.data for claim in claims}
    inputs = {name: item for name, item in recipe.inputs.items() if name in used}
    return msgspec.structs.replace(recipe, stage=kept, inputs=inputs, claim=claims)


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


def published_stages(recipe: Recipe, repo: str, files: Collection[str]) -> list[str]:
    """The stages whose outputs a repo holds, which has those files, in order. Raises Invalid where there is none.

    Of models that no other model goes on from, every one whose file is there, and of those that make whole models the last, or
    whichever says that it is published there; else the last that gives a model at all.
    """
    names = order(recipe)
    models = [name for name in names if recipe.stage[name].op not in GIVES_DATA]
    if not models:
        raise Invalid("The recipe has no stage that makes a model")
    needed = {source for name in models for source in recipe.stage[name].inputs.values()}
    ends = [name for name in models if name not in needed]
    made = [name for name in ends if file_of(recipe.stage[name]) in files]
    whole = [name for name in names if recipe.stage[name].publish == repo]
    if not whole and (not made or any(path.endswith(".safetensors") for path in files)):
        whole = [name for name in ends if file_of(recipe.stage[name]) is None][-1:]
    return [name for name in names if name in {*made, *whole}] or models[-1:]
