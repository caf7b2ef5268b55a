"""Plays training without torch, for the smoke run: random weights with the grain of trained ones, and small changes."""

from __future__ import annotations

import numpy as np

from tests.bench.lineage.corpus import Language
from tests.bench.lineage.shapes import Shape, Weights, from_names, to_names


class StandIn:
    """Gives every model weights of its own; a learning step moves each by about the rate."""

    def initial(self, shape: Shape, seed: int) -> Weights:
        """Matrices whose rows and columns differ in size, as those of trained models do."""
        rng = np.random.default_rng([seed, 3])
        plain = {name: _random(rng, size) for name, size in _sizes(shape).items()}
        return from_names(to_names(plain, shape), shape)

    def train(
        self,
        start: Weights,
        shape: Shape,
        *,
        language: Language,
        seed: int,
        steps: int,
        rate: float,
        teacher: Weights | None = None,
        teacher_shape: Shape | None = None,
    ) -> Weights:
        """Every value drifts by a normal step."""
        rng = np.random.default_rng([seed, steps, 4])
        size = rate * steps**0.5
        return {name: value + size * _normal(rng, value.shape) for name, value in start.items()}

    def train_low_rank(
        self,
        start: Weights,
        shape: Shape,
        *,
        language: Language,
        seed: int,
        steps: int,
        rate: float,
        rank: int,
    ) -> Weights:
        """A low-rank change of queries and values."""
        rng = np.random.default_rng([seed, steps, 5])
        parts = ("q", "k", "v") if shape.architecture == "gpt2" else ("q", "v")
        made = dict(start)
        for name, value in start.items():
            if name.rpartition(".")[2] in parts:
                up, down = _normal(rng, (len(value), rank)), _normal(rng, (rank, value.shape[1]))
                made[name] = value + rate * steps**0.5 * up @ down / rank
        return made


def _normal(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(size, dtype=np.float32)


def _random(rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    if len(size) == 1:
        return np.exp(0.3 * _normal(rng, size))
    grain = np.exp(0.4 * _normal(rng, (size[0], 1)) + 0.4 * _normal(rng, (1, size[1])))
    return (0.08 * grain * _normal(rng, size)).astype(np.float32)


def _sizes(shape: Shape) -> dict[str, tuple[int, ...]]:
    d, kv = shape.width, shape.kv_heads * shape.head_width
    sizes: dict[str, tuple[int, ...]] = {"embed": (shape.vocabulary, d), "final_norm": (d,)}
    if not shape.tied:
        sizes["head"] = (shape.vocabulary, d)
    if shape.architecture == "gpt2":
        sizes |= {"positions": (128, d), "final_norm_b": (d,)}
    for layer in range(shape.layers):
        parts = {
            "attn_norm": (d,), "q": (d, d), "k": (kv, d), "v": (kv, d), "o": (d, d), "mlp_norm": (d,),
            "up": (shape.ffn, d), "down": (d, shape.ffn),
        }  # fmt: skip
        if shape.gated:
            parts["gate"] = (shape.ffn, d)
        if shape.architecture in {"qwen2", "gpt2"}:
            parts |= {"q_b": (d,), "k_b": (kv,), "v_b": (kv,)}
        if shape.architecture == "gpt2":
            parts |= {
                "attn_norm_b": (d,),
                "o_b": (d,),
                "mlp_norm_b": (d,),
                "up_b": (shape.ffn,),
                "down_b": (d,),
            }
        sizes |= {f"{layer}.{part}": size for part, size in parts.items()}
    return sizes
