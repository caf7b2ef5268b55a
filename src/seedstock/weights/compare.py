"""Compare the weights of two models: tests in order of cost, until one decides.

A verdict of derivation rests on body weights only: shared embeddings, tokenizers and configurations are facts.
What cannot be decided is INCONCLUSIVE, with the reason.
"""

from __future__ import annotations

import secrets

import msgspec
import numpy as np

from seedstock.core.errors import UnsupportedFormat
from seedstock.weights import thresholds
from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.comparison import MAX_SHARED_NAMES, Comparison, Verdict
from seedstock.weights.conclude import conclude
from seedstock.weights.equality import Pair, find_identical, pairs_by_role, shared_by_print
from seedstock.weights.evidence import Model, gather
from seedstock.weights.layout import find_layout
from seedstock.weights.signature import Signature, sign
from seedstock.weights.unnamed import compare_by_name


def compare(
    a: Checkpoint,
    b: Checkpoint,
    *,
    a_signature: Signature | None = None,
    b_signature: Signature | None = None,
    seed: int | None = None,
) -> Comparison:
    """Return what the weights show about two models. Never raises for what the files hold.

    `seed` places the samples; by default it is drawn, so that nobody can prepare for it, and kept in the facts.
    """
    seed = secrets.randbits(32) if seed is None else seed
    before = a.bytes_read + b.bytes_read
    for checkpoint in (a, b):
        checkpoint.tensors_read.clear()
    try:
        with np.errstate(all="ignore"):
            left = Model(a, find_layout(a), a_signature or sign(a))
            result = _compare(left, Model(b, find_layout(b), b_signature or sign(b)), seed)
    except UnsupportedFormat as error:
        result = Comparison(Verdict.INCONCLUSIVE, f"The weights could not be read: {error.message}")
    return msgspec.structs.replace(
        result,
        thresholds=thresholds.ALL,
        error_rate=thresholds.ERROR_RATE,
        bytes_read=a.bytes_read + b.bytes_read - before,
        tensors_read=len(a.tensors_read) + len(b.tensors_read),
    )


def _compare(a: Model, b: Model, seed: int) -> Comparison:
    pairs = pairs_by_role(a.checkpoint, a.layout, b.checkpoint, b.layout)
    shared = shared_by_print(pairs, a.prints, b.prints, a.checkpoint)
    result = _tests(a, b, shared, seed)
    return msgspec.structs.replace(result, facts=_facts(a, b, shared) | {"sampling_seed": seed})


def _tests(a: Model, b: Model, shared: list[Pair], seed: int) -> Comparison:
    if find_identical(a.checkpoint, a.layout, a.prints, b.checkpoint, b.layout, b.prints):
        names = tuple(a.checkpoint.tensors)[:MAX_SHARED_NAMES]
        return Comparison(Verdict.IDENTICAL, "Every tensor is byte for byte the same", shared_tensors=names)
    if not a.layout.layers or not b.layout.layers:
        return compare_by_name(a.checkpoint, b.checkpoint, seed)
    for label, model in (("first", a), ("second", b)):
        if model.signature.problem:
            return Comparison(
                Verdict.INCONCLUSIVE, f"The {label} model cannot be judged: {model.signature.problem}"
            )
    if a.layout.hidden_size != b.layout.hidden_size:
        widths = f"{a.layout.hidden_size} and {b.layout.hidden_size}"
        return Comparison(
            Verdict.NONE, f"The models have different widths, {widths}: weights cannot correspond"
        )
    return conclude(a, b, gather(a, b, seed), shared)


def _facts(a: Model, b: Model, shared: list[Pair]) -> dict[str, bool | float | int | str]:
    """What the two have in common that is no evidence by itself. Shares are by sampled prints."""
    size = max(min(model.checkpoint.size_bytes for model in (a, b)), 1)
    shared_bytes = sum(a.checkpoint.tensors[left].size_bytes for left in {left for left, _ in shared})
    embedding = a.layout.embedding
    return {
        "shared_tensor_share": min(shared_bytes / size, 1.0),
        "shared_embeddings": embedding is not None and any(left == embedding.name for left, _ in shared),
        "equal_shapes": _shapes(a) == _shapes(b),
        "equal_family": a.layout.family == b.layout.family,
        "vocabulary_a": embedding.shape[0] if embedding else 0,
        "vocabulary_b": b.layout.embedding.shape[0] if b.layout.embedding else 0,
        "format_a": a.checkpoint.format,
        "format_b": b.checkpoint.format,
        "dtype_a": a.signature.dtype,
        "dtype_b": b.signature.dtype,
    }


def _shapes(model: Model) -> list[dict[str, tuple[int, int]]]:
    return [{role: slot.shape for role, slot in layer.slots.items()} for layer in model.layout.layers]
