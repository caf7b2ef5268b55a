"""Equal bytes: found by sampled prints, believed only after a full read of both."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from seedstock.weights.checkpoint import Checkpoint
from seedstock.weights.layout import Layout

# Buffers that some writers store and others compute.
_BUFFERS = re.compile(r"(rotary_emb\.inv_freq|rope_freqs\.weight|attn\.(masked_)?bias|position_ids)\Z")
# Fewer informative bytes than this are no evidence that one file is a copy of another.
LEAST_IDENTICAL_BYTES = 4096
_LEAST_SHARED_BYTES = 1024

Pair = tuple[str, str]


def pairs_by_role(a: Checkpoint, layout_a: Layout, b: Checkpoint, layout_b: Layout) -> list[Pair]:
    """Tensors that play the same part in both, by layer position and role, and by name outside of layers."""
    left, right = _by_role(a, layout_a), _by_role(b, layout_b)
    return [(left[key], right[key]) for key in left if key in right]


def _by_role(checkpoint: Checkpoint, layout: Layout) -> dict[tuple[int, str], str]:
    parts: dict[tuple[int, str], str] = {}
    for position, layer in enumerate(layout.layers):
        for role, slot in layer.slots.items():
            parts[position, role] = slot.name
    named = {"embedding": layout.embedding, "head": layout.head, "norm": layout.final_norm}
    special = {slot.name: role for role, slot in named.items() if slot is not None}
    for name in layout.others if layout.layers else checkpoint.tensors:
        if not _BUFFERS.search(name) and checkpoint.tensors[name].size_bytes:
            parts[-1, special.get(name, name)] = name
    return parts


def shared_by_print(
    pairs: Sequence[Pair], a_prints: Mapping[str, str], b_prints: Mapping[str, str], a: Checkpoint
) -> list[Pair]:
    """Tensors of one part whose samples are equal, leaving out those too small to say anything."""
    found = {
        pair
        for pair in pairs
        if pair[0] in a_prints
        and a_prints[pair[0]] == b_prints.get(pair[1])
        and a.tensors[pair[0]].size_bytes >= _LEAST_SHARED_BYTES
        and is_varied(a, pair[0])
    }
    return sorted(found)


def find_identical(
    a: Checkpoint, layout_a: Layout, a_prints: Mapping[str, str],
    b: Checkpoint, layout_b: Layout, b_prints: Mapping[str, str],
) -> bool:  # fmt: skip
    """Whether every tensor of each has a byte-equal counterpart in the other; prints decide only against."""
    pairs = _full_pairing(a, layout_a, a_prints, b, layout_b, b_prints)
    if pairs is None or any(a_prints.get(left) != b_prints.get(right) for left, right in pairs):
        return False
    if (
        sum(a.tensors[left].size_bytes for left, _ in set(pairs) if is_varied(a, left))
        < LEAST_IDENTICAL_BYTES
    ):
        return False
    return all(equal_bytes(a, left, b, right) for left, right in sorted(set(pairs)))


def _full_pairing(
    a: Checkpoint, layout_a: Layout, a_prints: Mapping[str, str],
    b: Checkpoint, layout_b: Layout, b_prints: Mapping[str, str],
) -> list[Pair] | None:  # fmt: skip
    if layout_a.layers and layout_b.layers:
        left, right = _by_role(a, layout_a), _by_role(b, layout_b)
    else:  # names are not understood: contents alone are paired
        left, right = ({(-1, name): name for name in _wanted(model)} for model in (a, b))
    same = [(left[key], right[key]) for key in left if key in right]
    rest_a = [left[key] for key in left if key not in right]
    rest_b = [right[key] for key in right if key not in left]
    if len(rest_a) != len(rest_b):
        rest_a, rest_b = _without_tied_head(a, layout_a, rest_a), _without_tied_head(b, layout_b, rest_b)
    by_content = _pair_contents(rest_a, a_prints, rest_b, b_prints)
    return None if by_content is None else same + by_content


def _wanted(checkpoint: Checkpoint) -> list[str]:
    return [
        name for name, info in checkpoint.tensors.items() if info.size_bytes and not _BUFFERS.search(name)
    ]


def _without_tied_head(checkpoint: Checkpoint, layout: Layout, names: list[str]) -> list[str]:
    """A head that repeats the embedding byte for byte says nothing new."""
    head, embedding = layout.head, layout.embedding
    if head is None or embedding is None or head.name not in names or head.shape != embedding.shape:
        return names
    if not equal_bytes(checkpoint, head.name, checkpoint, embedding.name):
        return names
    return [name for name in names if name != head.name]


def _pair_contents(
    left: list[str], left_prints: Mapping[str, str], right: list[str], right_prints: Mapping[str, str]
) -> list[Pair] | None:
    waiting: dict[str, list[str]] = defaultdict(list)
    for name in sorted(right, reverse=True):
        waiting[right_prints.get(name, "")].append(name)
    pairs = []
    for name in sorted(left):
        candidates = waiting.get(left_prints.get(name, "?"))
        if not candidates:
            return None
        pairs.append((name, candidates.pop()))
    return None if any(waiting.values()) else pairs


def is_varied(checkpoint: Checkpoint, name: str) -> bool:
    """Whether the start of a tensor holds more than a few values: zeros and ones are alike in all models."""
    raw = checkpoint.raw(name, 0, 1024)
    return len(np.unique(np.frombuffer(raw[: len(raw) // 2 * 2], dtype=np.uint16))) > 4


def equal_bytes(a: Checkpoint, name_a: str, b: Checkpoint, name_b: str) -> bool:
    """Whether two tensors are stored alike, read in full."""
    left, right = a.tensors[name_a], b.tensors[name_b]
    if (left.dtype, left.shape, left.size_bytes) != (right.dtype, right.shape, right.size_bytes):
        return False
    return all(one == other for one, other in zip(a.pieces(name_a), b.pieces(name_b), strict=True))
