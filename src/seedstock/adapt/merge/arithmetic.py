"""From a method's arguments to the pieces of a tensor: which function does it, with which numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from seedstock.adapt.merge.job import Job, buffers
from seedstock.adapt.merge.linear import linear, slerp
from seedstock.adapt.merge.precision import encode
from seedstock.adapt.merge.schedule import Setting, check_setting, number_for
from seedstock.adapt.merge.task_vectors import Recipe, merged_changes
from seedstock.adapt.methods import Merge
from seedstock.core.errors import Invalid
from seedstock.weights.elements import Floats

FROM_A_BASE = frozenset({"ties", "dare_linear", "dare_ties", "task_arithmetic"})
_DROPS = {"ties": "smallest", "dare_linear": "random", "dare_ties": "random", "task_arithmetic": ""}
DEFAULT_DENSITY = 0.5


def check_numbers(args: Merge, models: int) -> Merge:
    """The arguments with every number written out. Raises Invalid where numbers and models do not match."""
    weights, density = args.weights, args.density
    if args.method == "slerp":
        if models != 2:
            raise Invalid(f"slerp goes from one model to another; {models} were given")
        weights = weights or [0.5]
        if len(weights) != 1:
            raise Invalid("slerp takes one weight: the fraction of the way to the second model")
    elif args.method in FROM_A_BASE | {"linear"}:
        weights = weights or [1.0 / models if args.method == "linear" else 1.0] * models
        if len(weights) != models:
            raise Invalid(f"{len(weights)} weights for {models} models")
    if _DROPS.get(args.method):
        density = density or [DEFAULT_DENSITY] * models
        if len(density) != models:
            raise Invalid(f"{len(density)} densities for {models} models")
    for what, settings in (("weights", weights), ("density", density)):
        for setting in settings:
            check_setting(setting, what)
    check_setting(args.scale, "scale")
    return msgspec.structs.replace(args, weights=weights, density=density)


def result(job: Job, args: Merge) -> Iterator[Floats]:
    """The values of a tensor, piece by piece; a piece is overwritten by the next."""
    weights = _numbers(args.weights, job)
    if args.method == "linear":
        return linear(job, weights, args.normalize is not False)
    if args.method == "slerp":
        return slerp(job, weights[0])
    recipe = Recipe(
        weights=weights,
        density=_numbers(args.density, job) if _DROPS[args.method] else [],
        drop=_DROPS[args.method],
        elect=args.method in {"ties", "dare_ties"},
        normalize=args.method == "ties" if args.normalize is None else args.normalize,
        rescale=args.rescale,
        scale=args.scale,
    )
    return merged_changes(job, recipe)


def stored(job: Job, values: Iterator[Floats]) -> Iterator[memoryview]:
    """Values as bytes of the result's type."""
    for piece in values:
        yield encode(piece, job.dtype, job.name)


def copied(job: Job) -> Iterator[memoryview]:
    """The first part's bytes, or its values as another type."""
    part = job.parts[0]
    same = part.model.tensors[part.name].dtype == job.dtype
    (values,) = buffers(1)
    for start, stop in job.pieces():
        if same:
            yield part.model.raw(part.name, start, stop - start).data
        else:
            yield encode(part.model.fill(part.name, start, values[: stop - start]), job.dtype, job.name)


def _numbers(settings: Sequence[Setting], job: Job) -> list[float]:
    return [number_for(setting, job.name, job.depth) for setting in settings]
