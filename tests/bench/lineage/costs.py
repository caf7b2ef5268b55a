"""What a signature costs, and how long a million of them take to search."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np

from seedstock.weights.signature import Signature
from tests.bench.lineage.labels import POSITIVE, Manifest
from tests.bench.lineage.reading import FileReader, open_files


class SignatureCost(msgspec.Struct, frozen=True):
    """Of one model file: bytes asked for (header included), and CPU time round by round."""

    name: str
    size_bytes: int
    bytes_read: int
    sign_s: list[float]
    read_s: list[float]
    """The same ranges read without looking at them."""

    @property
    def share(self) -> float:
        """Of the file that was read."""
        return self.bytes_read / self.size_bytes

    @property
    def beyond_reading(self) -> list[float]:
        """CPU seconds per GB of the file."""
        return [(a - b) / (self.size_bytes / 1e9) for a, b in zip(self.sign_s, self.read_s, strict=True)]


def measure_signature(name: str, paths: list[Path], rounds: int) -> SignatureCost:
    """Open and sign a model again and again; files are in the page cache after the first, unjudged time."""
    sign_s, read_s, ranges = list[float](), list[float](), list[list[tuple[int, int]]]()
    for number in range(rounds + 1):
        began = time.process_time()
        ranges = _sign(paths)
        middle = time.process_time()
        _read(paths, ranges)
        if number:
            sign_s.append(middle - began)
            read_s.append(time.process_time() - middle)
    total = sum(min(stop, path.stat().st_size) - start
                for path, asked in zip(paths, ranges, strict=True) for start, stop in asked)  # fmt: skip
    return SignatureCost(name, sum(path.stat().st_size for path in paths), total, sign_s, read_s)


def _sign(paths: list[Path]) -> list[list[tuple[int, int]]]:
    from seedstock.weights.checkpoint import open_checkpoint
    from seedstock.weights.signature import sign

    readers = [FileReader(path) for path in paths]
    signature = sign(
        open_checkpoint({path.name: reader for path, reader in zip(paths, readers, strict=True)})
    )
    assert signature.problem is None, signature.problem
    for reader in readers:
        reader.close()
    return [reader.ranges for reader in readers]


def _read(paths: list[Path], ranges: list[list[tuple[int, int]]]) -> None:
    for path, asked in zip(paths, ranges, strict=True):
        reader = FileReader(path)
        for start, stop in asked:
            reader.read(start, stop)
        reader.close()


class TraceCost(msgspec.Struct, frozen=True):
    """Searches of one index, and how many relatives they named."""

    signatures: int
    seconds: list[float]
    """Of searches by members whose width every random row has, so that no row is passed over: by the clock."""
    cpu_s: list[float]
    """Of the same searches, all threads."""
    found: dict[str, tuple[int, int]]
    """Per class of pair: relatives named, of how many."""
    strangers: int
    """Random rows that were named."""


_BATCH = 65_536
_LIMIT = 500
_RANDOM = "random/"


def measure_trace(
    folder: Path, models: Manifest, where: Path, size: int, width: int, rounds: int
) -> TraceCost:
    """Put `size` random signatures of one width and those of all members into an index at `folder`; search for each
    pair of relatives."""
    from seedstock.weights.search import SketchIndex

    index = SketchIndex(folder)
    rng = np.random.default_rng(1)
    for start in range(0, size, _BATCH):
        rows = range(start, min(start + _BATCH, size))
        index.extend([(f"{_RANDOM}{row}", _random_signature(rng, width)) for row in rows])
    signatures = _signatures(models, where)
    index.extend(list(signatures.items()))
    named, strangers = dict[str, set[str]](), 0
    seconds, cpu_s = list[float](), list[float]()
    for key, signature in signatures.items():
        if not any(key == pair.a and pair.made in POSITIVE for pair in models.pairs):
            continue
        for _ in range(rounds if signature.hidden_size == width else 1):
            began, began_cpu = time.perf_counter(), time.process_time()
            near = index.near(signature, _LIMIT)
            if signature.hidden_size == width:
                seconds.append(time.perf_counter() - began)
                cpu_s.append(time.process_time() - began_cpu)
        named[key] = {item.key for item in near}
        strangers += sum(item.key.startswith(_RANDOM) for item in near)
    found = dict[str, tuple[int, int]]()
    for pair in models.pairs:
        if pair.made in POSITIVE and pair.a in named and pair.b in signatures:
            hits, count = found.get(pair.made, (0, 0))
            found[pair.made] = hits + (pair.b in named[pair.a]), count + 1
    return TraceCost(size + len(signatures), seconds, cpu_s, found, strangers)


def _signatures(models: Manifest, where: Path) -> dict[str, Signature]:
    from seedstock.weights.signature import sign

    made = {}
    for member in models.members:
        checkpoint = open_files(where, member.files)
        signature = sign(checkpoint)
        checkpoint.close()
        if signature.problem is None and signature.sketches:
            made[member.name] = signature
    return made


def _random_signature(rng: np.random.Generator, width: int) -> Signature:
    raw = rng.bytes(33 * 16)
    return Signature("gated", width, 32, raw[16:], raw[:16], {}, None, "BF16", 0)
