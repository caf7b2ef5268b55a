"""Everything measured about one pair of models before anything is concluded."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from seedstock.weights import thresholds
from seedstock.weights.aligned import Aligned, aligned_layers, comparable_share
from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.layer_map import map_by_profiles, map_by_values, profile_cosines, value_cosines
from seedstock.weights.layout import Layout
from seedstock.weights.permutation import MlpMatch, match_mlp
from seedstock.weights.rotation import EmbeddingMatch, match_embeddings
from seedstock.weights.signature import Signature

# Neuron matching costs 0.1 to 1 s a layer: this many layers are matched, drawn.
_MATCHED_LAYERS = 5


class Model(msgspec.Struct, frozen=True):
    """A checkpoint with its layout and signature."""

    checkpoint: Checkpoint
    layout: Layout
    signature: Signature

    @property
    def prints(self) -> dict[str, str]:
        """Sampled digests by tensor name."""
        return self.signature.tensor_prints


class Evidence(msgspec.Struct, frozen=True):
    """`values`: layer pairs whose weights agree in place; `aligned`: their statistics; `matches`: neuron matching."""

    values: list[tuple[int, int]]
    aligned: dict[tuple[int, int], list[Aligned]]
    matches: list[MlpMatch]
    embeddings: EmbeddingMatch | None
    profiles: NDArray[np.float64]
    layers_a: int
    layers_b: int

    @property
    def shorter(self) -> int:
        """Layers of the shorter model."""
        return min(self.layers_a, self.layers_b)

    @property
    def finite(self) -> bool:
        """Whether no sampled value is NaN or infinite."""
        return all(pair.finite for pairs in self.aligned.values() for pair in pairs)

    @property
    def derived_layers(self) -> list[tuple[int, int]]:
        """Layer pairs whose compared weights are mostly derived."""
        return [key for key in self.values if derived_share(self.aligned[key]) >= thresholds.LAYER_COVERAGE]

    @property
    def touched_layers(self) -> list[tuple[int, int]]:
        """Layer pairs with at least one derived matrix."""
        return [key for key in self.values if derived_share(self.aligned[key]) > 0]

    @property
    def coverage(self) -> float:
        """Share of the shorter model's layers that are derived in place."""
        return len(self.derived_layers) / max(self.shorter, 1)


def derived_share(pairs: Iterable[Aligned]) -> float:
    """Share by elements of the usable matrices that are derived; 0 if none is usable."""
    usable = [pair for pair in pairs if pair.finite and not pair.constant]
    total = sum(pair.elements for pair in usable)
    return sum(pair.elements for pair in usable if pair.status == "derived") / total if total else 0.0


def gather(a: Model, b: Model, seed: int) -> Evidence:
    """Run the tests in order of cost: values in place first, neuron matching only where they do not decide."""
    straight = value_cosines(a.checkpoint, a.layout, b.checkpoint, b.layout, seed)
    values = map_by_values(straight)
    aligned = {
        (i, j): aligned_layers(
            a.checkpoint, a.layout.layers[i], b.checkpoint, b.layout.layers[j], seed + i
        )  # other places in each layer
        for i, j in values
    }
    first = Evidence(
        values=values,
        aligned=aligned,
        matches=[],
        embeddings=match_embeddings(a.checkpoint, a.layout.embedding, b.checkpoint, b.layout.embedding, seed),
        profiles=np.zeros((0, 0)),
        layers_a=len(a.layout.layers),
        layers_b=len(b.layout.layers),
    )
    if first.finite and first.coverage >= thresholds.LAYER_COVERAGE and mlp_compared(a, b):
        return first
    profiles = profile_cosines(a.checkpoint, a.layout, b.checkpoint, b.layout)
    matches = _match_layers(a, b, first, profiles, seed)
    return msgspec.structs.replace(first, profiles=profiles, matches=matches)


def mostly_comparable(a: Model, b: Model, pairs: list[tuple[int, int]]) -> bool:
    """Whether mapped layers have most of their weights in common roles and shapes."""
    shares = [comparable_share(a.layout.layers[i], b.layout.layers[j]) for i, j in pairs]
    return bool(shares) and float(np.mean(shares)) >= thresholds.COMPARABLE


def mlp_compared(a: Model, b: Model) -> bool:
    """Whether the MLPs have one shape, so that comparing in place has compared them."""
    up_a, up_b = (model.layout.layers[0].slots.get("up") for model in (a, b))
    return up_a is None or up_b is None or up_a.shape == up_b.shape


def _match_layers(
    a: Model, b: Model, first: Evidence, profiles: NDArray[np.float64], seed: int
) -> list[MlpMatch]:
    pairs = _pairs_to_match(a, b, first, profiles, seed)
    rotation = first.embeddings.rotation if first.embeddings else None
    matches = []
    for i, j in pairs:
        match = match_mlp(a.checkpoint, a.layout, i, b.checkpoint, b.layout, j, None, seed)
        if match is not None and match.status != "derived" and rotation is not None:
            turned = match_mlp(a.checkpoint, a.layout, i, b.checkpoint, b.layout, j, rotation, seed)
            match = max(match, turned or match, key=lambda found: found.agreement)
        if match is not None:
            matches.append(match)
    return matches


def _pairs_to_match(
    a: Model, b: Model, first: Evidence, profiles: NDArray[np.float64], seed: int
) -> list[tuple[int, int]]:
    """Layers to match: where values mapped none, by profile; failing that, at the same relative depth."""
    done = {i for i, _ in first.derived_layers} if mlp_compared(a, b) else set()
    pairs = [pair for pair in _candidates(first, profiles) if pair[0] not in done]
    if len(pairs) <= _MATCHED_LAYERS:
        return pairs
    drawn = np.random.default_rng([seed, len(pairs)]).choice(len(pairs), _MATCHED_LAYERS, replace=False)
    return [pairs[index] for index in sorted(drawn)]


def _candidates(first: Evidence, profiles: NDArray[np.float64]) -> list[tuple[int, int]]:
    if len(first.derived_layers) * 2 >= first.shorter:
        known = first.derived_layers
        return sorted({*known, *_between(known, first.layers_a, first.layers_b)})
    by_profile = map_by_profiles(profiles)
    if len(by_profile) * 2 >= first.shorter:
        return by_profile
    ends = np.linspace(0, 1, first.shorter)
    return [(round(at * (first.layers_a - 1)), round(at * (first.layers_b - 1))) for at in ends]


def _between(known: list[tuple[int, int]], layers_a: int, layers_b: int) -> list[tuple[int, int]]:
    """Unmapped layers that lie between mapped ones at the same distance."""
    taken_a, taken_b = {i for i, _ in known}, {j for _, j in known}
    shifts = dict(known)
    found, shift = [], 0
    for i in range(layers_a):
        if i in shifts:
            shift = shifts[i] - i
        elif i + shift not in taken_b and 0 <= i + shift < layers_b and i not in taken_a:
            found.append((i, i + shift))
    return found
