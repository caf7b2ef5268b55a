"""What the names in a recipe stand for: unknown ones, circles, and data where a model belongs are refused."""

from __future__ import annotations

import difflib
import re

from seedstock.adapt.located import Located, Path, dotted
from seedstock.adapt.methods import GIVES_DATA, METHODS
from seedstock.recipes.margins import margin_of
from seedstock.recipes.recipe import DatasetInput, FileInput, GeneratorInput, Recipe

_MODEL_ROLES = re.compile(r"(?:base|adapter|teacher|tokenizer|model_[0-9]{1,3})\Z")
_DATA_ROLES = re.compile(r"(?:data|prompts|held_out)\Z")


def check_references(located: Located, recipe: Recipe) -> None:
    """Raise Invalid for the first name that stands for nothing, or for the wrong thing."""
    for name in recipe.stage:
        if name in recipe.inputs:
            path: Path = ("stage", name)
            raise located.error(path, f"{dotted(path)}: an input has that name too", key=True)
    for name, stage in recipe.stage.items():
        path = ("stage", name)
        if stage.op not in METHODS:
            message = f"{dotted((*path, 'op'))}: {stage.op[:40]!r} is no operation"
            raise located.error((*path, "op"), message, hint=f"one of {', '.join(sorted(METHODS))}")
        if not stage.inputs and stage.op != "script":
            raise located.error((*path, "inputs"), f"{dotted((*path, 'inputs'))} names no input")
        for role, source in stage.inputs.items():
            _check_input(located, recipe, (*path, "inputs", role), source)
    _check_circles(located, recipe)
    _check_claims(located, recipe)
    _check_published(located, recipe)


def holds(recipe: Recipe, name: str) -> str:
    """What an input or a stage's output is: `model`, `dataset`, or `` where only running it shows."""
    if name in recipe.stage:
        op = recipe.stage[name].op
        return "" if op == "script" else "dataset" if op in GIVES_DATA else "model"
    item = recipe.inputs[name]
    if isinstance(item, FileInput):
        return item.holds
    return "dataset" if isinstance(item, DatasetInput | GeneratorInput) else "model"


def _check_input(located: Located, recipe: Recipe, path: Path, source: str) -> None:
    known = [*recipe.inputs, *recipe.stage]
    if source not in known:
        near = difflib.get_close_matches(source, known, n=1)
        hint = f"did you mean {near[0]}?" if near else None
        raise located.error(
            path, f"{dotted(path)}: no input and no stage is called {source[:60]!r}", hint=hint
        )
    role, what = str(path[-1]), holds(recipe, source)
    wanted = "model" if _MODEL_ROLES.match(role) else "dataset" if _DATA_ROLES.match(role) else what
    if what and what != wanted:
        raise located.error(path, f"{dotted(path)}: {source} is a {what}, and {role} takes a {wanted}")


def _check_circles(located: Located, recipe: Recipe) -> None:
    """Take away, again and again, the stages that need none of the rest: what stays needs itself."""
    rest = {
        name: {role: source for role, source in stage.inputs.items() if source in recipe.stage}
        for name, stage in recipe.stage.items()
    }
    while free := [name for name, needs in rest.items() if not set(needs.values()) & rest.keys()]:
        for name in free:
            del rest[name]
    if not rest:
        return
    walk = [next(iter(rest))]
    while True:
        role, source = next(item for item in rest[walk[-1]].items() if item[1] in rest)
        if source in walk:
            circle = " needs ".join([*walk[walk.index(source) :], source])
            path: Path = ("stage", walk[-1], "inputs", role)
            raise located.error(path, f"{dotted(path)}: a circle: {circle}")
        walk.append(source)


def _check_claims(located: Located, recipe: Recipe) -> None:
    for index, claim in enumerate(recipe.claim):
        path: Path = ("claim", index, "stage")
        if claim.stage not in recipe.stage:
            raise located.error(path, f"{dotted(path)}: no stage is called {claim.stage[:60]!r}")
        if holds(recipe, claim.stage) == "dataset":
            raise located.error(path, f"{dotted(path)}: {claim.stage} makes a dataset, not a model")
        path = ("claim", index, "eval", "data")
        if claim.eval.data not in recipe.inputs or holds(recipe, claim.eval.data) != "dataset":
            raise located.error(path, f"{dotted(path)}: {claim.eval.data[:60]!r} is no dataset of [inputs]")
        if claim.seeds == 1 and claim.seed_sd:
            path = ("claim", index, "seed_sd")
            hint = "say how many there were in seeds"
            raise located.error(path, f"{dotted(path)}: one seed has no spread", hint=hint)
        refused = margin_of(claim).refused
        if refused is not None:
            path = ("claim", index, "margin")
            raise located.error(path, f"{dotted(path)}: {refused}")


def _check_published(located: Located, recipe: Recipe) -> None:
    taken: dict[str, str] = {}
    for name, stage in recipe.stage.items():
        if stage.publish is None:
            continue
        other = taken.setdefault(stage.publish.lower(), name)
        if other != name:
            path: Path = ("stage", name, "publish")
            raise located.error(path, f"{dotted(path)}: stage {other} is published there already")
