"""The probe layers of a query, and how near a block of models comes to them.

A block is an array (layers, 2 halves, models) of 64-bit words. What is looked at, and why that finds every near
relative, is said in `weights.search`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedstock.weights.signature import MAX_SKETCHES

BLOCK_MODELS = 1024
# Positions of the probes, and how many leading layers each is looked for among. Of 32 sketches, a layer at 0.06 is at
# most the third, and pruning only moves it forward; a relative that was grown to twice the depth holds it among the
# first five, and that at 0.35 among the first 23. One near the end is looked for among the last layers of each model.
_PROBES = ((0.06, 8), (0.35, 24))
_LAST_PROBE, _LAST_LAYERS = 0.95, 4
_ALIGNED = 8
FAR = 255
"""The distance of layers that are not compared."""
Words = NDArray[np.uint64]


class Probes:
    """Buffers of one thread, and the probe layers of one query."""

    def __init__(self, query: Words) -> None:
        usable = np.flatnonzero(query.any(axis=1))
        places = [
            usable[round(position * (len(usable) - 1))]
            for position in (*(position for position, _ in _PROBES), _LAST_PROBE)
            if len(usable)
        ]
        self._probes = [(query[place], among) for place, (_, among) in zip(places, _PROBES, strict=False)]
        self._last = query[places[-1]] if places else None
        chosen: Any = np.linspace(0, len(usable) - 1, _ALIGNED).round().astype(int) if len(usable) else []
        self._aligned = np.unique(usable[chosen])
        self._query = query[self._aligned][:, :, None]
        shape = (MAX_SKETCHES, 2, BLOCK_MODELS)
        self._words, self._counts = np.empty(shape, dtype=np.uint64), np.empty(shape, dtype=np.uint8)
        self._sums = np.empty((MAX_SKETCHES, BLOCK_MODELS), dtype=np.uint8)

    def nearest(self, block: Words, depths: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Least distance of each model of the block, of that many layers, over all pairs that are looked at."""
        best = np.full(BLOCK_MODELS, FAR, dtype=np.uint8)
        if len(self._aligned):
            for row, layer in enumerate(self._aligned):
                np.bitwise_xor(block[layer], self._query[row], out=self._words[row])
            best = self._least(self._words[: len(self._aligned)])
        for probe, among in self._probes:
            words = self._words[:among]
            np.bitwise_xor(block[:among], probe[None, :, None], out=words)
            np.minimum(best, self._least(words), out=best)
        if self._last is not None:
            for first, stop, models in _ends(depths):
                words = self._words[: stop - first]
                np.bitwise_xor(block[first:stop], self._last[None, :, None], out=words)
                np.minimum(best, self._least(words), out=best, where=models)
        return best

    def _least(self, words: Words) -> NDArray[np.uint8]:
        rows = len(words)
        counts = np.bitwise_count(words, out=self._counts[:rows])
        np.add(counts[:, 0], counts[:, 1], out=self._sums[:rows])
        return np.asarray(self._sums[:rows].min(axis=0), dtype=np.uint8)


def _ends(depths: NDArray[np.int64]) -> Iterator[tuple[int, int, NDArray[np.bool_] | bool]]:
    """The last layers of a block's models: ranges of layers, and which models they hold for.

    Models of one width have few depths; where they have many, all layers are looked at.
    """
    distinct = np.unique(depths)
    if len(distinct) > MAX_SKETCHES // _LAST_LAYERS:
        yield 0, MAX_SKETCHES, True
        return
    for depth in distinct.tolist():
        yield max(depth - _LAST_LAYERS, 0), depth, depths == depth
