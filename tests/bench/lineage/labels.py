"""What is known of every pair by how its files were made. Nothing here looks at a weight or at the method's answer."""

from __future__ import annotations

from pathlib import Path

import msgspec

# How the second file came from the first. The targets of issue 3 name the first six.
FINE_TUNE, LORA, MERGE, PRUNED, QUANTISED, PERMUTED = (
    "full fine-tune", "LoRA-merged", "merge", "pruned", "quantised", "permuted"
)  # fmt: skip
COPY = "copy (names, order, shards)"
STORAGE = "same values, other storage"
RESCALED = "rescaled"
ROTATED = "rotated basis"
LONG = "long fine-tune"
TUNED_QUANTISED = "fine-tuned, then quantised"
SIBLINGS = "siblings"
REARRANGED = "layers rearranged"
SHARED_EMBEDDINGS = "shared embeddings only"
SHARED_LAYERS = "some layers reused"
EMBEDDINGS_TRAINED = "copied embeddings, trained on"
SAME_RUN = "same data order, other seed"
INDEPENDENT = "equal config, independent"
DISTILLED = "distilled"
OTHER_LAYERS = "other layers of one model"
UNTRAINED = "untrained, equal config"
OTHER_SHAPE = "other shape or architecture"
UNREADABLE = "nothing to judge by"
FROM_INIT = "initialisation against its trained model"

POSITIVE = (
    COPY, STORAGE, FINE_TUNE, LORA, MERGE, PRUNED, QUANTISED, PERMUTED, RESCALED, ROTATED, LONG, TUNED_QUANTISED,
    SIBLINGS, REARRANGED,
)  # fmt: skip
NEGATIVE = (
    SHARED_EMBEDDINGS, EMBEDDINGS_TRAINED, SAME_RUN, INDEPENDENT, DISTILLED, OTHER_LAYERS, UNTRAINED, OTHER_SHAPE,
    UNREADABLE,
)  # fmt: skip
RELATED = frozenset({"identical", "derived"})
"""Verdicts that are false for every NEGATIVE pair."""


class Expected(msgspec.Struct, frozen=True):
    """The verdicts that are right; the first is the best one. `kinds` empty: any kind."""

    verdicts: tuple[str, ...]
    kinds: tuple[str, ...] = ()


_NOTHING = Expected(("none", "inconclusive"))
EXPECTED = {
    COPY: Expected(("identical",)),
    STORAGE: Expected(("identical", "derived")),
    FINE_TUNE: Expected(("derived",), ("finetune",)),
    LORA: Expected(("derived",), ("lora",)),
    MERGE: Expected(("derived",), ("merge", "finetune")),  # a pair alone cannot show a second parent
    PRUNED: Expected(("derived",), ("pruned",)),
    QUANTISED: Expected(("derived",), ("quantized",)),
    PERMUTED: Expected(("derived",), ("permuted",)),
    RESCALED: Expected(("derived",)),  # issue 3 has no word for it
    ROTATED: Expected(("derived",), ("permuted",)),
    LONG: Expected(("derived",), ("finetune",)),
    TUNED_QUANTISED: Expected(("derived",), ("quantized", "finetune")),
    SIBLINGS: Expected(("derived",)),
    REARRANGED: Expected(("derived", "partial")),
    SHARED_EMBEDDINGS: Expected(("partial",)),
    SHARED_LAYERS: Expected(("partial",)),
    EMBEDDINGS_TRAINED: Expected(("partial", "none", "inconclusive")),
    SAME_RUN: _NOTHING,
    INDEPENDENT: _NOTHING,
    DISTILLED: _NOTHING,
    OTHER_LAYERS: _NOTHING,
    UNTRAINED: _NOTHING,
    OTHER_SHAPE: _NOTHING,
    UNREADABLE: Expected(("inconclusive",)),
    FROM_INIT: Expected(("derived", "partial", "none", "inconclusive")),  # told, not judged
}


class Member(msgspec.Struct, frozen=True):
    """A model: its files, relative to the folder of the benchmark."""

    name: str
    files: tuple[str, ...]


class Pair(msgspec.Struct, frozen=True):
    """Two members and the truth about them. `parent` is the name of the one that the other came from, if one did."""

    a: str
    b: str
    made: str
    family: str
    architecture: str
    half: str
    parent: str | None = None


class Merge(msgspec.Struct, frozen=True):
    """A model to explain as base + sum of coefficient * (parent - base); None: it is no merge of these parents."""

    target: str
    parents: tuple[str, ...]
    base: str
    coefficients: tuple[float, ...] | None
    how: str
    half: str


class Manifest(msgspec.Struct):
    """All of one family."""

    members: list[Member]
    pairs: list[Pair]
    merges: list[Merge]


def load(folder: Path) -> Manifest:
    """All families under a folder as one."""
    parts = [
        msgspec.json.decode(path.read_bytes(), type=Manifest)
        for path in sorted(folder.glob("*/manifest.json"))
    ]
    return Manifest(
        [member for part in parts for member in part.members],
        [pair for part in parts for pair in part.pairs],
        [merge for part in parts for merge in part.merges],
    )
