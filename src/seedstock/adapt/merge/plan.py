"""What a merge makes of its models: every tensor of the result, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

from seedstock.adapt.merge.job import Job, Part
from seedstock.adapt.merge.model import HEAD, Model, check_float, embedding_of, layer_of, order_of
from seedstock.adapt.merge.precision import BY_NAME, ITEM_BYTES, promoted
from seedstock.adapt.methods import Merge
from seedstock.core.errors import Invalid, UnsupportedFormat
from seedstock.metadata.safetensors_header import DTYPE_BITS

LAYER_COUNTS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
MAX_LAYERS = 1024
# Tensors of whole numbers that are known (positions, masks) are smaller.
MAX_BUFFER_BYTES = 64 << 20


def plan_merge(args: Merge, models: Sequence[Model], base: Model | None, seed: int) -> list[Job]:
    """A job for every tensor that the models have. Raises Invalid naming the first that does not fit."""
    first = base or models[0]
    everyone = [*([base] if base else []), *models]
    for model in everyone:
        check_weights(model)
        check_same_names(first, model)
    if args.layers:
        _check_whole(args, first)
    last = max((found[1] for name in first.tensors if (found := layer_of(name))), default=0)
    jobs = []
    for name in sorted(first.tensors, key=order_of):
        found = layer_of(name)
        depth = 0.0 if found is None else found[1] / last if last else 1.0
        parts = tuple(Part(model, name) for model in models)
        jobs.append(_job(args, name, parts, Part(base, name) if base else None, depth, seed))
    return jobs


def check_weights(model: Model) -> None:
    """Raises for weights that stand for others."""
    if model.config.get("quantization_config"):
        raise UnsupportedFormat(
            f"{model.role} is quantised, and such weights cannot be merged",
            hint="Merge the models that these were quantised from",
        )
    if not model.tensors:
        raise UnsupportedFormat(f"{model.role} holds no tensors")


def check_same_names(first: Model, other: Model) -> None:
    """Raises Invalid naming a tensor that only one of the two has."""
    for one, two in ((first, other), (other, first)):
        lacking = sorted(one.tensors.keys() - two.tensors.keys(), key=order_of)
        if not lacking:
            continue
        name = lacking[0]
        if name == HEAD and two.tied and embedding_of(two.tensors):
            raise Invalid(
                f"{one.role} has a {HEAD} of its own, and {two.role} ties it to its embedding",
                hint="Models that differ in tie_word_embeddings are not merged",
            )
        raise Invalid(
            f"{two.role} has no tensor {name[:120]!r}, which {one.role} has ({len(lacking)} such tensors)",
            hint="Only models of one architecture and size can be merged",
        )


def _check_whole(args: Merge, first: Model) -> None:
    """Layers are for passthrough; others may say that they mean all of them, as mergekit's slices do."""
    count = 1 + max((found[1] for name in first.tensors if (found := layer_of(name))), default=-1)
    if any(piece[1:] != [0, count] for piece in args.layers):
        raise Invalid(f"{args.method} merges whole models, of {count} layers; `layers` names others")


def _job(args: Merge, name: str, parts: tuple[Part, ...], base: Part | None, depth: float, seed: int) -> Job:
    everything = (*([base] if base else []), *parts)
    infos = [(part.model, part.model.tensors[part.name]) for part in everything]
    model, info = infos[0]
    for other_model, other in infos[1:]:
        if other.shape != info.shape:
            hint = "All models of a merge must have equal shapes"
            if len(info.shape) == 2 and other.shape[1:] == info.shape[1:]:
                hint = "The vocabularies differ in size: rows are not cut off, for what remains could mean other tokens"
            raise Invalid(
                f"Tensor {name[:120]!r} is {_shape(info.shape)} in {model.role} "
                f"and {_shape(other.shape)} in {other_model.role}",
                hint=hint,
            )
    if any(kind not in ITEM_BYTES for kind in (found.dtype for _, found in infos)):
        return _buffer(name, everything)
    stored = promoted(found.dtype for _, found in infos)
    arithmetic = stored if args.arithmetic == "source" else BY_NAME[args.arithmetic]
    dtype = stored if args.dtype == "source" else BY_NAME[args.dtype]
    return Job(
        name=name,
        shape=info.shape,
        dtype=dtype,
        arithmetic=arithmetic,
        parts=parts,
        base=base,
        depth=depth,
        seed=seed,
    )


def _buffer(name: str, everything: Sequence[Part]) -> Job:
    """Whole numbers are not averaged: they must agree, and are copied."""
    first = everything[0]
    info = first.model.tensors[first.name]
    if info.dtype not in {"I64", "I32", "I16", "I8", "U8", "BOOL"}:
        check_float(first.model.role, info)
    for part in everything[1:]:
        other = part.model.tensors[part.name]
        if other.dtype != info.dtype or _bytes(first) != _bytes(part):
            raise UnsupportedFormat(
                f"Tensor {name[:120]!r} holds whole numbers that differ between "
                f"{first.model.role} and {part.model.role}"
            )
    return Job(name=name, shape=info.shape, dtype=info.dtype, arithmetic="F32", parts=(first,), copied=True)


def _bytes(part: Part) -> list[bytes]:
    info = part.model.tensors[part.name]
    if info.size_bytes > MAX_BUFFER_BYTES:
        raise UnsupportedFormat(
            f"{part.model.role}: tensor {part.name[:120]!r} of {info.dtype} is too large to compare"
        )
    return [part.model.raw(part.name, 0, info.elements).tobytes()]


def plan_passthrough(args: Merge, models: Sequence[Model]) -> list[Job]:
    """Layers stacked up. What lies before the layers comes from the first slice's model, what follows from the last's."""
    slices = _slices(args, models)
    jobs = []
    start, end = models[slices[0][0]], models[slices[-1][0]]
    for model in dict.fromkeys(models[at] for at, _, _ in slices):
        check_weights(model)
        _check_same_shapes(start, model)
    after = start.tensors.keys() | end.tensors.keys()
    for name in (name for name in after if layer_of(name) is None):
        model = start if _comes_first(name, start) else end
        model.info(name)
        jobs.append(_copy(args, name, Part(model, name)))
    number = 0
    for at, first, last in slices:
        for layer in range(first, last):
            jobs += _layer(args, models[at], layer, number)
            number += 1
    return sorted(jobs, key=lambda job: order_of(job.name))


def stacked_layers(args: Merge) -> list[tuple[int, int]]:
    """For each layer of the result: which model's, and which of its layers."""
    return [(at, layer) for at, first, last in args.layers for layer in range(first, last)]


def _check_same_shapes(first: Model, other: Model) -> None:
    for name in sorted(first.tensors.keys() & other.tensors.keys(), key=order_of):
        one, two = first.tensors[name].shape, other.tensors[name].shape
        if one != two:
            raise Invalid(
                f"Tensor {name[:120]!r} is {_shape(one)} in {first.role} and {_shape(two)} in {other.role}",
                hint="Layers of models that differ in width do not fit onto each other",
            )


def _slices(args: Merge, models: Sequence[Model]) -> list[tuple[int, int, int]]:
    if not args.layers:
        raise Invalid(
            "passthrough needs `layers`: the model's index, first layer and one past the last, per slice"
        )
    found = []
    for piece in args.layers:
        if len(piece) != 3 or not 0 <= piece[0] < len(models):
            raise Invalid(f"The slice {piece} does not name one of the {len(models)} models and two layers")
        at, first, last = piece
        count = layer_count(models[at])
        if not 0 <= first < last <= count:
            raise Invalid(f"The slice {piece} is outside the {count} layers of {models[at].role}")
        found.append((at, first, last))
    if sum(last - first for _, first, last in found) > MAX_LAYERS:
        raise Invalid(f"More than {MAX_LAYERS} layers are asked for")
    return found


def layer_count(model: Model) -> int:
    """Layers that the tensors' names show."""
    return 1 + max((found[1] for name in model.tensors if (found := layer_of(name))), default=-1)


def _comes_first(name: str, start: Model) -> bool:
    embedding = embedding_of(start.tensors)
    return name == embedding or "embed" in name or name.startswith(("wpe", "transformer.wpe"))


def _layer(args: Merge, model: Model, layer: int, number: int) -> list[Job]:
    jobs = []
    for name in model.tensors:
        found = layer_of(name)
        if found is not None and found[1] == layer:
            jobs.append(_copy(args, f"{found[0]}{number}{found[2]}", Part(model, name)))
    return jobs


def _copy(args: Merge, name: str, part: Part) -> Job:
    info = part.model.tensors[part.name]
    if DTYPE_BITS[info.dtype] < 8:
        check_float(part.model.role, info)
    wanted = info.dtype
    if args.dtype != "source" and info.dtype in ITEM_BYTES:
        wanted = BY_NAME[args.dtype]
    return Job(
        name=name,
        shape=info.shape,
        dtype=wanted,
        arithmetic="F32",
        parts=(part,),
        copied=True,
    )


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"
