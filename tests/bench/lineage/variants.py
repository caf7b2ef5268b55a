"""What people do to a model's weights without training: symmetries, pruning, merging. All on the plain form."""

from __future__ import annotations

import msgspec
import numpy as np

from tests.bench.lineage.shapes import Shape, Weights, layer_parts

# Which side of each matrix the residual stream is on.
_READS = ("q", "k", "v", "gate", "up")
_WRITES = ("o", "down")


def permuted_neurons(plain: Weights, shape: Shape, rng: np.random.Generator) -> Weights:
    """MLP neurons and attention heads in another order (query heads within their key-value head): same function."""
    made = dict(plain)
    share = shape.heads // shape.kv_heads
    for layer in range(shape.layers):
        p = f"{layer}."
        neurons = rng.permutation(shape.ffn)
        groups = rng.permutation(shape.kv_heads)
        queries = np.concatenate([group * share + rng.permutation(share) for group in groups])
        orders = {
            "gate": neurons, "up": neurons, "up_b": neurons, "q": _rows(queries, shape), "q_b": _rows(queries, shape),
            "k": _rows(groups, shape), "k_b": _rows(groups, shape), "v": _rows(groups, shape),
            "v_b": _rows(groups, shape),
        }  # fmt: skip
        for part, order in orders.items():
            if p + part in plain:
                made[p + part] = plain[p + part][order]
        made[p + "down"] = plain[p + "down"][:, neurons]
        made[p + "o"] = plain[p + "o"][:, _rows(queries, shape)]
    return made


def _rows(heads: np.ndarray, shape: Shape) -> np.ndarray:
    return (heads[:, None] * shape.head_width + np.arange(shape.head_width)).ravel()


def permuted_residual(plain: Weights, shape: Shape, rng: np.random.Generator) -> Weights:
    """The channels of the residual stream in another order: same function."""
    order = rng.permutation(shape.width)
    made = dict(plain)
    for name, value in plain.items():
        part = name.rpartition(".")[2]
        if part in _WRITES or part in {"o_b", "down_b"} or "norm" in part:
            made[name] = value[order]
        elif part in _READS or part in {"embed", "positions", "head"}:
            made[name] = value[:, order]
    return made


def rescaled(plain: Weights, shape: Shape, rng: np.random.Generator) -> Weights:
    """Factors moved from norms into matrices, between the two sides of neurons and of heads: same function."""
    made = dict(plain)
    share = shape.heads // shape.kv_heads
    for layer in range(shape.layers):
        p = f"{layer}."
        for norm, readers in (("attn_norm", "qkv"), ("mlp_norm", ("gate", "up"))):
            factor = _factors(rng, shape.width)
            made[p + norm] = plain[p + norm] * factor
            if p + norm + "_b" in plain:
                made[p + norm + "_b"] = plain[p + norm + "_b"] * factor
            for part in readers:
                if p + part in plain:
                    made[p + part] = plain[p + part] / factor
        if shape.gated:  # the activation lets no factor through; the product with `up` does
            neurons = _factors(rng, shape.ffn)
            made[p + "up"] = made[p + "up"] * neurons[:, None]
            made[p + "down"] = plain[p + "down"] / neurons
        keys, values = _factors(rng, shape.kv_heads), _factors(rng, shape.kv_heads)
        for part, by_head in {
            "q": np.repeat(1 / keys, share), "k": keys, "v": values, "o": np.repeat(1 / values, share)
        }.items():  # fmt: skip
            by_row = np.repeat(by_head, shape.head_width).astype(np.float32)
            made[p + part] = made[p + part] * (by_row if part == "o" else by_row[:, None])
            if p + part + "_b" in plain and part != "o":
                made[p + part + "_b"] = plain[p + part + "_b"] * by_row
    return made


def _factors(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.exp(rng.uniform(-0.7, 0.7, count)).astype(np.float32)


def rotated(plain: Weights, shape: Shape, rng: np.random.Generator) -> tuple[Weights, Shape]:
    """The residual stream in a random orthonormal basis, norms folded in, as QuaRot does: same function."""
    assert shape.rms, "a LayerNorm's mean does not commute with a rotation"
    made = dict(plain)
    basis = np.linalg.qr(rng.standard_normal((shape.width, shape.width)))[0].astype(np.float32)
    made["head"] = plain.get("head", plain["embed"]) * plain["final_norm"] @ basis
    made["embed"] = plain["embed"] @ basis
    made["final_norm"] = np.ones_like(plain["final_norm"])
    for layer in range(shape.layers):
        p = f"{layer}."
        for norm, readers in (("attn_norm", "qkv"), ("mlp_norm", ("gate", "up"))):
            made[p + norm] = np.ones_like(plain[p + norm])
            for part in readers:
                made[p + part] = plain[p + part] * plain[p + norm] @ basis
        for part in _WRITES:
            made[p + part] = basis.T @ plain[p + part]
    return made, msgspec.structs.replace(shape, tied=False)


def with_layers(plain: Weights, shape: Shape, kept: list[int]) -> tuple[Weights, Shape]:
    """The model with these layers, in this order, repeats allowed."""
    made = {name: value for name, value in plain.items() if not name[0].isdigit()}
    for place, layer in enumerate(kept):
        for part in layer_parts(plain, layer):
            made[f"{place}.{part}"] = plain[f"{layer}.{part}"]
    return made, msgspec.structs.replace(shape, layers=len(kept))


def narrower(plain: Weights, shape: Shape, kept: int) -> tuple[Weights, Shape]:
    """The `kept` strongest neurons of each MLP, in their old order."""
    made = dict(plain)
    for layer in range(shape.layers):
        p = f"{layer}."
        strength = np.linalg.norm(plain[p + "up"], axis=1) * np.linalg.norm(plain[p + "down"], axis=0)
        neurons = np.sort(np.argsort(-strength)[:kept])
        for part in ("gate", "up", "up_b"):
            if p + part in plain:
                made[p + part] = plain[p + part][neurons]
        made[p + "down"] = plain[p + "down"][:, neurons]
    return made, msgspec.structs.replace(shape, ffn=kept)


def sparser(plain: Weights, share: float) -> Weights:
    """The smallest `share` of each layer matrix set to zero, as magnitude pruning does."""
    made = dict(plain)
    for name, value in plain.items():
        if name[0].isdigit() and value.ndim == 2:
            made[name] = np.where(np.abs(value) < np.quantile(np.abs(value), share), np.float32(0), value)
    return made


def more_tokens(plain: Weights, shape: Shape, count: int, rng: np.random.Generator) -> tuple[Weights, Shape]:
    """The model with `count` more tokens, as a chat format adds them."""
    made = dict(plain)
    for part in ("embed", "head"):
        if part in plain:
            fresh = rng.standard_normal((count, shape.width)) * plain[part].std() + plain[part].mean(axis=0)
            made[part] = np.concatenate([plain[part], fresh.astype(np.float32)])
    return made, msgspec.structs.replace(shape, vocabulary=shape.vocabulary + count)


def joined(parts: dict[str, Weights], shape: Shape, layers: list[str], rest: str) -> Weights:
    """A model whose layer i is that of `parts[layers[i]]` and whose embeddings and last norm are `parts[rest]`'s."""
    made = {name: value for name, value in parts[rest].items() if not name[0].isdigit()}
    for layer, source in zip(range(shape.layers), layers, strict=True):
        for part in layer_parts(parts[source], layer):
            made[f"{layer}.{part}"] = parts[source][f"{layer}.{part}"]
    return made


def linear(models: list[Weights], coefficients: list[float]) -> Weights:
    """The weighted sum."""
    pairs = list(zip(models, coefficients, strict=True))
    return {name: sum(np.float32(c) * model[name] for model, c in pairs) for name in models[0]}  # type: ignore[misc]


def spherical(first: Weights, second: Weights, share: float) -> Weights:
    """SLERP, tensor by tensor, as mergekit does: each is turned, and sizes are as the weights of the sum give."""
    made = {}
    for name, a in first.items():
        b = second[name]
        cosine = float((a * b).sum() / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12))
        if abs(cosine) > 0.9995:  # mergekit's own limit, beyond which it mixes linearly
            made[name] = np.float32(1 - share) * a + np.float32(share) * b
            continue
        angle = np.arccos(cosine)
        left, right = np.sin((1 - share) * angle) / np.sin(angle), np.sin(share * angle) / np.sin(angle)
        made[name] = (np.float32(left) * a + np.float32(right) * b).astype(np.float32)
    return made


def ties(base: Weights, models: list[Weights], density: float) -> Weights:
    """TIES: the largest `density` of each difference, one elected sign, the mean of those that agree."""
    made = {}
    for name, root in base.items():
        deltas = [model[name] - root for model in models]
        trimmed = [
            np.where(np.abs(d) >= np.quantile(np.abs(d), 1 - density), d, np.float32(0)) for d in deltas
        ]
        sign = np.sign(sum(trimmed))
        agree = [np.where(np.sign(t) == sign, t, np.float32(0)) for t in trimmed]
        count = np.maximum(sum((a != 0).astype(np.float32) for a in agree), 1)
        made[name] = (root + sum(agree) / count).astype(np.float32)
    return made
