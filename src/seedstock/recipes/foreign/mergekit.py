"""mergekit's YAML: merges of whole models with one number each, and stacks of layers."""

from __future__ import annotations

from typing import Any

from seedstock.adapt.located import Path
from seedstock.recipes.foreign.source import Draft

_METHODS = frozenset(
    {"linear", "slerp", "ties", "dare_linear", "dare_ties", "task_arithmetic", "passthrough"}
)
_PER_MODEL = {"weight": "weights", "density": "density"}


def read(draft: Draft) -> None:
    """Fill the draft from a file of mergekit's. Raises Invalid for values of the wrong type and unknown methods."""
    draft.op = "merge"
    method = draft.take("merge_method", str, "linear")
    if method not in _METHODS:
        raise draft.located.error(("merge_method",), f"merge_method: {method[:40]!r} cannot be done here")
    draft.args["method"] = method
    draft.args["dtype"] = _dtype(draft)
    base = draft.find("base_model", str)
    models: list[str] = []
    if "slices" in draft.left:
        _slices(draft, models)
    else:
        _models(draft, models, base)
    if base is not None and method == "slerp" and base in models and models[0] != base:
        models.reverse()  # t counts from the base
    elif base is not None and method not in {"linear", "slerp", "passthrough"}:
        draft.add_input("base", "model", *_repo(base), ("base_model",))
    for index, model in enumerate(models):
        draft.add_input(f"model_{index}", "model", *_repo(model), ())
    _parameters(draft)
    draft.drop("tokenizer_source", "the base's is kept")
    draft.drop("tokenizer", "the base's is kept")
    draft.drop("chat_template", "the base's is kept")


def _dtype(draft: Draft) -> str:
    found = draft.find("out_dtype", str) or draft.find("dtype", str)
    draft.left.pop("dtype", None)
    if found in {"float32", "float16", "bfloat16"}:
        return found
    if found is not None:
        draft.unmapped(("dtype",), f"{found[:40]!r} became that of the inputs")
    return "source"


def _models(draft: Draft, models: list[str], base: str | None) -> None:
    entries = draft.take("models", list[dict[str, Any]], [])
    numbers: dict[str, list[float]] = {name: [] for name in _PER_MODEL.values()}
    for index, entry in enumerate(entries):
        path: Path = ("models", index)
        model = draft.located.convert(str, (*path, "model"))
        parameters: dict[str, Any] = {}
        if entry.get("parameters") is not None:
            parameters = draft.located.convert(dict[str, Any], (*path, "parameters"))
        if model == base and draft.args["method"] not in {"linear", "slerp"} and not parameters:
            continue  # mergekit lets the base stand among the models; it is not merged into itself
        models.append(model)
        for key, value in parameters.items():
            if key not in _PER_MODEL or isinstance(value, bool | str) or not isinstance(value, int | float):
                draft.unmapped(
                    (*path, "parameters", key), "only one number for the whole model is taken over"
                )
            else:
                numbers[_PER_MODEL[key]].append(float(value))
    for name, found in numbers.items():
        if found and len(found) == len(models):
            draft.args[name] = found
        elif found:
            draft.unmapped(("models",), f"{name}: {len(found)} numbers for {len(models)} models")


def _slices(draft: Draft, models: list[str]) -> None:
    """A stack of layers for `passthrough`; for other methods, one slice over all layers is the models themselves."""
    slices = draft.take("slices", list[dict[str, Any]], [])
    layers = []
    for index in range(len(slices)):
        sources = draft.located.convert(list[dict[str, Any]], ("slices", index, "sources"))
        for place in range(len(sources)):
            path: Path = ("slices", index, "sources", place)
            model = draft.located.convert(str, (*path, "model"))
            span = draft.located.convert(tuple[int, int], (*path, "layer_range"))
            if model not in models:
                models.append(model)
            layers.append([models.index(model), *span])
            for key in sources[place].keys() - {"model", "layer_range"}:
                draft.unmapped((*path, key), "only whole layers are stacked")
    if draft.args["method"] == "passthrough":
        draft.args["layers"] = layers
    elif len(slices) > 1:
        draft.unmapped(("slices",), "slices of their own are taken over for passthrough only")
    else:
        draft.assume("models", "the slice covers all layers")


def _parameters(draft: Draft) -> None:
    parameters = draft.take("parameters", dict[str, Any], {})
    for key, value in parameters.items():
        if key == "normalize" and isinstance(value, bool):
            draft.args["normalize"] = value
        elif key == "t" and isinstance(value, int | float) and not isinstance(value, bool):
            draft.args["weights"] = [float(value)]
        elif key == "density" and isinstance(value, int | float) and "density" not in draft.args:
            draft.args["density"] = [float(value)] * sum(role.startswith("model_") for role in draft.sources)
        else:
            draft.unmapped(("parameters", key), "only one number for the whole model is taken over")


def _repo(model: str) -> tuple[str, str | None]:
    """`name@revision` as mergekit spells it."""
    name, _, revision = model.partition("@")
    return name, revision or None
