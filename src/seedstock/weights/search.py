"""Find near relatives of a signature among a million others: an exact scan of 512 bytes a model.

Models lie in blocks of 1,024, each an array (32 layers, 2 halves, 1024) of 64-bit words, so that one layer of
all models of a block is contiguous and a block stays in the processor's cache.

What is found, exactly and whatever the number of models: every model of the same width in which
 1. one of the first 8 layers lies within 24 bits of the query's layer at 0.06 of its depth, one of the first 24
    within 24 bits of that at 0.35, or one of the last 4 within 24 bits of that at 0.95, or
 2. one of eight evenly spread layers lies within 24 bits of the query's layer at the same position, or
 3. the embedding anchors lie within 16 bits.
So a model of equal depth of which at least 25 of 32 layers are close is always found: 7 may differ, and 8
are looked at. A pruned or grown relative is found if it keeps one of the three probes. All that pass are then
compared layer by layer. Unrelated layers differ in 64 bits +- 5.7; 24 is seven deviations away.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from seedstock.core.errors import Invalid
from seedstock.weights.probes import BLOCK_MODELS, FAR, Probes, Words
from seedstock.weights.profile import SKETCH_BYTES
from seedstock.weights.signature import MAX_SKETCHES, Signature

CLOSE_BITS = 24
ANCHOR_BITS = 16
_COMPARED_AT_ONCE = 4096
_BLOCK_WORDS = MAX_SKETCHES * 2 * BLOCK_MODELS
_RECORD = np.dtype(
    [("hidden", "<u4"), ("layers", "<u4"), ("key_start", "<u8"), ("key_bytes", "<u4"), ("anchors", "<u8", 2)]
)


class Near(msgspec.Struct, frozen=True):
    """A model near the query. `distance_bits`: mean over the shorter one's layers of the nearest layer's distance.

    `layers_close` of `layers` layers of the shorter one lie within 24 bits of one of the other.
    """

    key: str
    distance_bits: float
    layers_close: int
    layers: int
    anchor_bits: int | None


class SketchIndex:
    """An append-only index in a folder: `sketches` (blocks), `records` and `keys`. One writer; readers reopen."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._sketches, self._records_path, self._keys = (
            folder / name for name in ("sketches", "records", "keys")
        )
        for path in (self._sketches, self._records_path, self._keys):
            path.touch()
        self._load()

    def __len__(self) -> int:
        return len(self._records)

    def append(self, key: str, signature: Signature) -> None:
        """Add one model. Raises Invalid for a signature that cannot be searched."""
        self.extend([(key, signature)])

    def extend(self, models: Sequence[tuple[str, Signature]]) -> None:
        """Add models. Records are written last: what a crash leaves behind is never read."""
        words = np.zeros((len(models), MAX_SKETCHES, 2), dtype=np.uint64)
        records = np.zeros(len(models), dtype=_RECORD)
        for row, (key, signature) in enumerate(models):
            layers = _layers(signature)
            if len(layers) == 0 or signature.problem:
                raise Invalid(
                    f"The signature of {key!r} cannot be searched: {signature.problem or 'no layers'}"
                )
            words[row, : len(layers)] = layers
            records["hidden"][row], records["layers"][row] = signature.hidden_size, len(layers)
            records["anchors"][row] = _anchor_words(signature)
        self._write([key for key, _ in models], words, records)

    def remove(self, key: str) -> bool:
        """Take a model out of every later search; false if it is not there. Its space is not reused."""
        for at in range(len(self)):
            if self._records["hidden"][at] and self.key(at) == key:
                records = np.memmap(self._records_path, dtype=_RECORD, mode="r+")
                records["hidden"][at] = 0
                records.flush()
                self._load()
                return True
        return False

    def _write(self, keys: list[str], words: Words, records: NDArray[np.void]) -> None:
        at, count = len(self), len(keys)
        if count == 0:
            return
        self._grow(-(-(at + count) // BLOCK_MODELS))
        flat = np.memmap(self._sketches, dtype="<u8", mode="r+")
        blocks = flat.reshape(-1, MAX_SKETCHES, 2, BLOCK_MODELS)
        done = 0
        while done < count:
            block, offset = divmod(at + done, BLOCK_MODELS)
            take = min(BLOCK_MODELS - offset, count - done)
            blocks[block, :, :, offset : offset + take] = np.moveaxis(words[done : done + take], 0, -1)
            done += take
        flat.flush()
        raw = [key.encode() for key in keys]
        sizes = np.array([len(text) for text in raw], dtype=np.uint64)
        records["key_bytes"], records["key_start"] = (
            sizes,
            self._keys.stat().st_size + np.cumsum(sizes) - sizes,
        )
        with self._keys.open("ab") as file:
            file.write(b"".join(raw))
        with self._records_path.open("r+b") as file:
            file.seek(at * _RECORD.itemsize)
            file.write(records.tobytes())
        self._load()

    def near(self, signature: Signature, limit: int = 50) -> list[Near]:
        """Return the nearest models, those with the largest share of close layers first."""
        query = _layers(signature)
        anchors = _anchor_words(signature)
        if len(self) == 0 or not (query.any() or anchors.any()):
            return []
        found = self._scan(query, anchors, signature.hidden_size)
        near = [item for part in _parts(found) for item in self._compare(query, signature, part)]
        near = [item for item in near if item.layers_close or _is_close(item.anchor_bits)]
        near.sort(key=lambda item: (-item.layers_close / item.layers, item.distance_bits, item.key))
        return near[:limit]

    def key(self, at: int) -> str:
        """The key of the model at a position."""
        record = self._records[at]
        with self._keys.open("rb") as file:
            file.seek(int(record["key_start"]))
            return file.read(int(record["key_bytes"])).decode()

    def _load(self) -> None:
        count = self._records_path.stat().st_size // _RECORD.itemsize
        self._records: Any = np.empty(0, dtype=_RECORD)
        if count:
            self._records = np.memmap(self._records_path, dtype=_RECORD, mode="r", shape=(count,))
        self._hidden = np.ascontiguousarray(self._records["hidden"])
        self._anchors = np.ascontiguousarray(self._records["anchors"].reshape(-1, 2).T)
        words = self._sketches.stat().st_size // 8
        self._blocks = np.empty((0, MAX_SKETCHES, 2, BLOCK_MODELS), dtype=np.uint64)
        if words:
            self._blocks = np.memmap(self._sketches, dtype="<u8", mode="r")[
                : words // _BLOCK_WORDS * _BLOCK_WORDS
            ]
            self._blocks = self._blocks.reshape(-1, MAX_SKETCHES, 2, BLOCK_MODELS)

    def _grow(self, blocks: int) -> None:
        present, wanted = self._sketches.stat().st_size, blocks * _BLOCK_WORDS * 8
        if present < wanted:
            with self._sketches.open("r+b") as file:
                # Not a hole: where the disk is full, writing into one through a map ends the process with SIGBUS.
                if hasattr(os, "posix_fallocate"):  # not on macOS
                    os.posix_fallocate(file.fileno(), present, wanted - present)
                else:
                    file.truncate(wanted)

    def _scan(self, query: Words, anchors: Words, hidden_size: int) -> NDArray[np.int64]:
        wide = self._hidden == hidden_size
        numbers = np.flatnonzero(np.logical_or.reduceat(wide, np.arange(0, len(wide), BLOCK_MODELS)))
        # One thread: two, which take turns at Python and share one memory, took 210 ms where one takes 171.
        parts = [self._scan_blocks(numbers, query)]
        if anchors.any():
            bits = np.bitwise_count(self._anchors ^ anchors[:, None])
            parts.append(np.flatnonzero(wide & (bits[0] + bits[1] <= ANCHOR_BITS)))
        found = np.unique(np.concatenate(parts))
        found = found[found < len(wide)]
        return np.asarray(found[wide[found]])

    def _scan_blocks(self, numbers: NDArray[np.int64], query: Words) -> NDArray[np.int64]:
        probes = Probes(query)
        blocks = np.asarray(self._blocks)  # slices of a memmap cost microseconds each
        found = [
            number * BLOCK_MODELS
            + np.flatnonzero(probes.nearest(blocks[number], self._depths(number)) <= CLOSE_BITS)
            for number in numbers
        ]
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def _depths(self, number: int) -> NDArray[np.int64]:
        """Layers of each model of a block; 1 for places that are not taken."""
        start = number * BLOCK_MODELS
        depths = np.ones(BLOCK_MODELS, dtype=np.int64)
        known = self._records["layers"][start : start + BLOCK_MODELS]
        depths[: len(known)] = np.maximum(known, 1)
        return depths

    def _compare(self, query: Words, signature: Signature, found: NDArray[np.int64]) -> Iterator[Near]:
        stored = self._blocks[found // BLOCK_MODELS, :, :, found % BLOCK_MODELS]
        distance = np.bitwise_count(stored[:, :, None, :] ^ query[None, None]).sum(axis=3).astype(np.int64)
        distance[~stored.any(axis=2)] = FAR  # layers that say nothing
        distance[:, :, ~query.any(axis=1)] = FAR
        anchors = _anchor_words(signature)
        for row, at in enumerate(found):
            record = self._records[at]
            pairs = distance[row, : int(record["layers"])]
            nearest = pairs.min(axis=1) if len(pairs) < len(query) else pairs.min(axis=0)
            known = anchors.any() and record["anchors"].any()
            yield Near(
                self.key(int(at)),
                float(nearest.mean()),
                int(np.count_nonzero(nearest <= CLOSE_BITS)),
                len(nearest),
                int(np.bitwise_count(record["anchors"] ^ anchors).sum()) if known else None,
            )


def _parts(found: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(found), _COMPARED_AT_ONCE):
        yield found[start : start + _COMPARED_AT_ONCE]


def _layers(signature: Signature) -> Words:
    return np.frombuffer(signature.sketches, dtype="<u8").reshape(-1, SKETCH_BYTES // 8)[:MAX_SKETCHES]


def _anchor_words(signature: Signature) -> Words:
    if len(signature.anchors) != SKETCH_BYTES:
        return np.zeros(2, dtype=np.uint64)
    return np.frombuffer(signature.anchors, dtype="<u8")


def _is_close(anchor_bits: int | None) -> bool:
    return anchor_bits is not None and anchor_bits <= ANCHOR_BITS
