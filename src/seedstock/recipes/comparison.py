"""Two outputs side by side: equal in every tensor, equal in every file, or how far apart."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np

from seedstock.recipes.outputs import OutputDigest, describe_output, list_files, open_tensors

_PIECE_ELEMENTS = 1 << 20


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between an original and a replica."""

    bit_exact: bool
    """Every tensor is equal in type, shape and bytes; of what holds no tensors, every file is."""
    files_match: bool
    differing: tuple[str, ...] = ()
    """Tensors, or files where there are no tensors, that both have and that differ."""
    only_original: tuple[str, ...] = ()
    only_replica: tuple[str, ...] = ()
    distance: float | None = None
    """|replica - original| / |original - base| over all weights; None: not measured or not measurable."""
    moved: float | None = None
    """|original - base| / |base|: how far training went at all."""


def compare_digests(original: OutputDigest, replica: OutputDigest) -> Comparison:
    """Compare by digests alone."""
    ours: dict[str, object] = dict(original.tensors or original.files)
    theirs: dict[str, object] = dict(replica.tensors if original.tensors else replica.files)
    return Comparison(
        bit_exact=bool(ours) and ours == theirs,
        files_match=original.tree == replica.tree,
        differing=tuple(sorted(key for key in ours.keys() & theirs.keys() if ours[key] != theirs[key])),
        only_original=tuple(sorted(ours.keys() - theirs.keys())),
        only_replica=tuple(sorted(theirs.keys() - ours.keys())),
    )


def compare_outputs(
    original: Path, replica: Path, base: Path | None = None, kind: str = "model"
) -> Comparison:
    """Compare two folders; with the base that both started from, say how far apart they are if not equal.

    Reads tensors a piece at a time: memory does not grow with the model.
    """
    found = compare_digests(describe_output(original, kind), describe_output(replica, kind))
    if base is None:
        return found
    distance, moved = weight_distance(original, replica, base)
    return msgspec.structs.replace(found, distance=distance, moved=moved)


def weight_distance(original: Path, replica: Path, base: Path) -> tuple[float | None, float | None]:
    """(distance, moved) as in `Comparison`; (None, None) unless all three have the same tensors.

    The distance is None where the original is the base: nothing was learned that could be compared with.
    """
    with (
        open_tensors(original, list_files(original)) as first,
        open_tensors(replica, list_files(replica)) as second,
        open_tensors(base, list_files(base)) as third,
    ):
        opened = (first, second, third)
        shapes = [{key: at.tensors[name].shape for key, (at, name) in found.items()} for found in opened]
        if not first or shapes[0] != shapes[1] or shapes[0] != shapes[2]:
            return None, None
        apart = learned = size = 0.0
        for key in first:
            elements = math.prod(shapes[0][key])
            for start in range(0, elements, _PIECE_ELEMENTS):
                a, b, c = (
                    at.values(name, start, start + _PIECE_ELEMENTS).astype(np.float64)
                    for at, name in (found[key] for found in opened)
                )
                apart += float(np.square(b - a).sum())
                learned += float(np.square(a - c).sum())
                size += float(np.square(c).sum())
    if not all(math.isfinite(value) for value in (apart, learned, size)):
        return None, None
    moved = math.sqrt(learned / size) if size else None
    return (math.sqrt(apart / learned) if learned else None), moved
