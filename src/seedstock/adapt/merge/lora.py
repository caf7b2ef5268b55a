"""A LoRA adapter added to its base, as PEFT's `merge_and_unload` does (arXiv 2106.09685; rsLoRA 2312.03732; DoRA 2402.09353).

The result is rounded once, where PEFT rounds the update to the base's type first: they differ by a rounding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from seedstock.adapt.merge.job import PIECE, Job, Part
from seedstock.adapt.merge.model import HEAD, Model, check_float, embedding_of, order_of, read_json
from seedstock.adapt.merge.plan import check_weights
from seedstock.adapt.merge.precision import BY_NAME, ITEM_BYTES
from seedstock.adapt.merge.schedule import Setting
from seedstock.adapt.methods import Merge
from seedstock.core.errors import Invalid, UnsupportedFormat
from seedstock.weights.elements import Floats

MAX_RANK = 8192
_SIDE = re.compile(
    r"(?P<module>.+)\.lora_(?P<kind>A|B|embedding_A|embedding_B|magnitude_vector)(?:\.default)?(?P<bias>\.bias)?(?:\.weight)?\Z"
)
_PLAIN_PATTERN = re.compile(r"\^?[A-Za-z0-9_.\-]+\Z")
# Settings that change what the matrices mean, and the value that means nothing.
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "lora_bias": (None, False),
    "trainable_token_indices": (None, {}, []),
    "target_parameters": (None, []),
    "layer_replication": (None, []),
    "alora_invocation_tokens": (None, []),
    "megatron_config": (None,),
    "arrow_config": (None,),
    "use_qalora": (None, False),
    "use_bdlora": (None, False),
}


class Update(msgspec.Struct, kw_only=True):
    """What an adapter does to one tensor: a low-rank update, or another tensor in its place."""

    a: str = ""
    b: str = ""
    embedding: bool = False
    magnitude: str = ""
    replaced_by: str = ""
    scaling: float = 1.0
    transposed: bool = False
    """Stored (in, out), as GPT-2's are and every embedding's update is."""


class Adapted(msgspec.Struct, frozen=True):
    """A tensor's update, and the adapter whose it is; neither for a tensor that stays."""

    adapter: Model
    update: Update


def plan_adapter(args: Merge, base: Model, adapter: Model) -> tuple[list[Job], dict[str, Adapted]]:
    """A job for every tensor of the base, and what the adapter does to it."""
    check_weights(base)
    config = read_json(adapter.folder, "adapter_config.json")
    _check_config(config)
    factor = _factor(args.weights, config)
    updates = _updates(adapter, base)
    for name, update in updates.items():
        _finish(name, update, base, adapter, config, factor)
    jobs = []
    for name in sorted(base.tensors.keys() | updates.keys(), key=order_of):
        source = _source(name, base)
        info = base.tensors[source]
        changed = name in updates
        if changed:
            check_float(base.role, info)
        wanted = info.dtype
        if args.dtype != "source" and info.dtype in ITEM_BYTES:
            wanted = BY_NAME[args.dtype]
        jobs.append(
            Job(
                name=name,
                shape=info.shape,
                dtype=wanted,
                arithmetic="F32",
                parts=(Part(base, source),),
                copied=not changed,
            )
        )
    return jobs, {name: Adapted(adapter, update) for name, update in updates.items()}


def merged_adapter(job: Job, adapted: Adapted) -> Iterator[Floats]:
    """The values of an adapted tensor, some rows at a time."""
    update, adapter = adapted.update, adapted.adapter
    part = job.parts[0]
    if update.replaced_by:
        values = np.empty(PIECE, np.float32)
        for start, stop in job.pieces():
            yield adapter.fill(update.replaced_by, start, values[: stop - start])
        return
    rows, columns = job.shape
    a, b = adapter.whole(update.a), adapter.whole(update.b)
    left, right = (np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)) if update.transposed else (b, a)
    magnitude = adapter.whole(update.magnitude).reshape(-1) if update.magnitude else None
    step = max(1, PIECE // max(columns, 1))
    values = np.empty((step, columns), np.float32)
    for first in range(0, rows, step):
        last = min(first + step, rows)
        weight = values[: last - first]
        part.model.fill(part.name, first * columns, weight.reshape(-1))
        change = left[first:last] @ right
        change *= np.float32(update.scaling)
        weight += change
        if magnitude is not None:
            norms = np.sqrt(np.square(weight, dtype=np.float64).sum(axis=1)).astype(np.float32)
            weight *= (magnitude[first:last] / norms)[:, None]
        yield weight.reshape(-1)


def _check_config(config: dict[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UnsupportedFormat(f"The adapter is of type {str(kind)[:40]!r}; LORA adapters are merged")
    for key, nothing in _UNSUPPORTED.items():
        if config.get(key) not in nothing:
            raise UnsupportedFormat(f"The adapter uses {key}, which is not merged")
    for key in ("rank_pattern", "alpha_pattern"):
        for pattern in config.get(key) or {}:
            if not _PLAIN_PATTERN.match(pattern):
                raise UnsupportedFormat(
                    f"The adapter's {key} has the regular expression {pattern[:80]!r}",
                    hint="Names of modules, or their ends, are understood",
                )


def _factor(weights: list[Setting], config: dict[str, Any]) -> float:
    """What the update is multiplied by on top of the adapter's own scaling."""
    if not weights:
        return 1.0
    if len(weights) > 1 or not isinstance(weights[0], int | float) or not math.isfinite(weights[0]):
        raise Invalid("lora takes at most one weight, a number: the strength of the adapter")
    if weights[0] != 1 and config.get("use_dora"):
        raise Invalid(
            "An adapter with use_dora is merged with weight 1 only: its length is learnt as a whole"
        )
    return float(weights[0])


def _updates(adapter: Model, base: Model) -> dict[str, Update]:
    """By the base's tensor names. Raises Invalid for a tensor of the adapter that fits nothing."""
    found: dict[str, Update] = {}
    for name in sorted(adapter.tensors, key=order_of):
        side = _SIDE.match(name)
        if side is None:
            plain = name.replace(".modules_to_save.default.", ".").replace(".modules_to_save.", ".")
            target = _in_base(plain.replace(".base_layer.", "."), base)
            found.setdefault(target, Update()).replaced_by = name
            continue
        if side["bias"]:
            raise UnsupportedFormat(f"The adapter has a bias of its own, {name[:120]!r}, which is not merged")
        update = found.setdefault(_in_base(f"{side['module']}.weight", base), Update())
        kind = side["kind"]
        if kind == "magnitude_vector":
            update.magnitude = name
            continue
        update.embedding = kind.startswith("embedding")
        setattr(update, kind[-1].lower(), name)
    if not found:
        raise Invalid("The adapter holds no tensors")
    return found


def _in_base(name: str, base: Model) -> str:
    """What the base calls a tensor: without PEFT's prefixes, perhaps without the model's own."""
    plain = name.removeprefix("base_model.model.").removeprefix("base_model.")
    for candidate in (plain, plain.partition(".")[2], f"model.{plain}"):
        if candidate in base.tensors or (candidate == HEAD and base.tied and embedding_of(base.tensors)):
            return candidate
    raise Invalid(
        f"The adapter changes {name[:120]!r}, which the base lacks",
        hint="It was made for another model, or for one that was changed first",
    )


def _source(name: str, base: Model) -> str:
    """A head that is tied in the base gets weights of its own once an adapter changes it."""
    if name in base.tensors:
        return name
    embedding = embedding_of(base.tensors)
    assert embedding is not None
    return embedding


def _finish(
    name: str, update: Update, base: Model, adapter: Model, config: dict[str, Any], factor: float
) -> None:
    """Check shapes, and find the scaling and which way round the weight is stored."""
    shape = base.tensors[_source(name, base)].shape
    if update.replaced_by:
        info = adapter.tensors[update.replaced_by]
        check_float(adapter.role, info)
        if info.shape != shape:
            raise Invalid(f"The adapter replaces {name!r} of shape {shape} by one of shape {info.shape}")
        return
    if not update.a or not update.b:
        raise Invalid(f"The adapter has only one of the two matrices for {name!r}")
    a, b = adapter.tensors[update.a].shape, adapter.tensors[update.b].shape
    if len(a) != 2 or len(b) != 2 or len(shape) != 2:
        raise UnsupportedFormat(
            f"The adapter changes {name!r}, which is no matrix: convolutions are not merged"
        )
    if a[0] != b[1] or not 1 <= a[0] <= MAX_RANK or {(b[0], a[1]), (a[1], b[0])}.isdisjoint({shape}):
        raise Invalid(
            f"The adapter's matrices for {name!r} are {b} and {a}, which do not fit a weight of {shape}",
            hint="It was made for another model",
        )
    square = b[0] == a[1]
    update.transposed = update.embedding or (
        bool(config.get("fan_in_fan_out")) if square else shape == (a[1], b[0])
    )
    module = name.removesuffix(".weight")
    alpha = _by_pattern(config.get("alpha_pattern"), module, config.get("lora_alpha", 8))
    if not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise UnsupportedFormat("The adapter's lora_alpha is no number")
    rank = math.sqrt(a[0]) if config.get("use_rslora") else a[0]
    update.scaling = alpha / rank * factor
    _check_dora(name, update, config, adapter, b[0])


def _check_dora(name: str, update: Update, config: dict[str, Any], adapter: Model, rows: int) -> None:
    if bool(config.get("use_dora")) != bool(update.magnitude):
        raise UnsupportedFormat(f"use_dora and the matrices for {name!r} contradict each other")
    if not update.magnitude:
        return
    if update.transposed:
        raise UnsupportedFormat(f"use_dora for {name!r}: embeddings and (in, out) weights are not merged")
    if math.prod(adapter.tensors[update.magnitude].shape) != rows:
        raise Invalid(f"The adapter's magnitudes for {name!r} are not {rows}")


def _by_pattern(patterns: Any, module: str, otherwise: Any) -> Any:
    """PEFT's rule: a key is the module's name or ends it, at a dot."""
    for pattern, value in (patterns or {}).items():
        plain = pattern.removeprefix("^")
        if module == plain or (plain == pattern and module.endswith(f".{plain}")):
            return value
    return otherwise
