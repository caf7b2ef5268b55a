"""Which chunks of which xorbs make up a byte range of a file.

Used twice: to tell a client where to fetch (reconstruction answers) and to read plain bytes here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from seedstock.core.errors import MissingBlob, RangeNotSatisfiable
from seedstock.xet.hashing import hash_to_text
from seedstock.xet.shard import XorbLookup
from seedstock.xet.xorb_index import Term, XorbIndex

UrlFor = Callable[[bytes, int, int], str]
"""Raw xorb hash, start and stop to an absolute URL of those of its stored bytes."""


class ReadStep(msgspec.Struct, frozen=True):
    """Decode chunks [first_chunk, end_chunk), drop `skip_bytes`, use `take_bytes`."""

    xorb_hash: bytes
    first_chunk: int
    end_chunk: int
    skip_bytes: int
    take_bytes: int


class ChunkRange(msgspec.Struct, frozen=True):
    """Chunks [first_chunk, end_chunk) and the bytes [start, stop) of the xorb that hold their records."""

    first_chunk: int
    end_chunk: int
    start: int
    stop: int


class Reconstruction(msgspec.Struct, frozen=True):
    """Terms trimmed to whole chunks, and per xorb the disjoint ascending ranges that cover them."""

    offset_into_first_range: int
    terms: tuple[Term, ...]
    ranges: dict[bytes, tuple[ChunkRange, ...]]


def plan_read(terms: Sequence[Term], start: int, stop: int, lookup: XorbLookup) -> list[ReadStep]:
    """Steps that yield bytes [start, stop) of the file; `stop` is clipped to its size.

    Only the first and last steps skip anything, and only their indexes are looked up.
    Raises RangeNotSatisfiable if nothing lies at `start`, MissingBlob if an index is gone.
    """
    size_bytes = sum(term.plain_bytes for term in terms)
    if not 0 <= start < min(stop, size_bytes):
        raise RangeNotSatisfiable(size_bytes)
    stop = min(stop, size_bytes)
    steps: list[ReadStep] = []
    term_start = 0
    for term in terms:
        term_stop = term_start + term.plain_bytes
        if term_stop > start:
            steps.append(_step(term, max(start - term_start, 0), min(stop, term_stop) - term_start, lookup))
        if term_stop >= stop:
            break
        term_start = term_stop
    return steps


def reconstruct(
    terms: Sequence[Term], lookup: XorbLookup, byte_range: tuple[int, int] | None = None
) -> Reconstruction:
    """What a client needs for the whole file, or for bytes [start, stop) of it (`stop` is clipped).

    Raises RangeNotSatisfiable if the range starts beyond the end, MissingBlob if an index is gone.
    """
    if byte_range is None:
        return Reconstruction(0, tuple(terms), _merged_ranges(terms, lookup))
    steps = plan_read(terms, byte_range[0], byte_range[1], lookup)
    trimmed = tuple([_trimmed_term(step, lookup) for step in steps])
    return Reconstruction(steps[0].skip_bytes, trimmed, _merged_ranges(trimmed, lookup))


def render_v1(reconstruction: Reconstruction, url_for: UrlFor) -> dict[str, Any]:
    """JSON shape of `/v1/reconstructions`: one fetch entry per range; byte ranges end-inclusive."""
    fetch_info: dict[str, Any] = {}
    for xorb_hash, ranges in reconstruction.ranges.items():
        fetch_info[hash_to_text(xorb_hash)] = [
            {
                "url": url_for(xorb_hash, r.start, r.stop),
                "range": {"start": r.first_chunk, "end": r.end_chunk},
                "url_range": {"start": r.start, "end": r.stop - 1},
            }
            for r in ranges
        ]
    return {**_rendered_terms(reconstruction), "fetch_info": fetch_info}


def render_v2(reconstruction: Reconstruction, url_for: UrlFor) -> dict[str, Any]:
    """JSON shape of `/v2/reconstructions`: one entry and URL per range; byte ranges end-inclusive.

    The shape has room for several ranges under one URL; here a URL opens no more than one.
    """
    xorbs: dict[str, Any] = {}
    for xorb_hash, ranges in reconstruction.ranges.items():
        xorbs[hash_to_text(xorb_hash)] = [
            {
                "url": url_for(xorb_hash, r.start, r.stop),
                "ranges": [
                    {
                        "chunks": {"start": r.first_chunk, "end": r.end_chunk},
                        "bytes": {"start": r.start, "end": r.stop - 1},
                    }
                ],
            }
            for r in ranges
        ]
    return {**_rendered_terms(reconstruction), "xorbs": xorbs}


def _step(term: Term, start: int, stop: int, lookup: XorbLookup) -> ReadStep:
    """The step for bytes [start, stop) of one term, trimmed to the chunks that hold them."""
    if start == 0 and stop == term.plain_bytes:
        return ReadStep(term.xorb_hash, term.first_chunk, term.end_chunk, 0, stop)
    starts = _index(term.xorb_hash, lookup).plain_starts
    base = starts[term.first_chunk]
    first = bisect_right(starts, base + start) - 1
    end = bisect_right(starts, base + stop - 1)
    return ReadStep(term.xorb_hash, first, end, base + start - starts[first], stop - start)


def _trimmed_term(step: ReadStep, lookup: XorbLookup) -> Term:
    """The term of whole chunks that a step reads."""
    length = _index(step.xorb_hash, lookup).plain_length(step.first_chunk, step.end_chunk)
    return Term(step.xorb_hash, step.first_chunk, step.end_chunk, length)


def _merged_ranges(terms: Iterable[Term], lookup: XorbLookup) -> dict[bytes, tuple[ChunkRange, ...]]:
    """Per xorb, in order of first use: overlapping and adjacent chunk ranges joined."""
    runs: dict[bytes, list[tuple[int, int]]] = {}
    for term in terms:
        runs.setdefault(term.xorb_hash, []).append((term.first_chunk, term.end_chunk))
    merged: dict[bytes, tuple[ChunkRange, ...]] = {}
    for xorb_hash, xorb_runs in runs.items():
        index = _index(xorb_hash, lookup)
        joined = [ChunkRange(first, end, *index.byte_range(first, end)) for first, end in _join(xorb_runs)]
        merged[xorb_hash] = tuple(joined)
    return merged


def _join(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Disjoint, non-adjacent runs with the same union."""
    joined: list[tuple[int, int]] = []
    for first, end in sorted(runs):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((first, end))
    return joined


def _index(xorb_hash: bytes, lookup: XorbLookup) -> XorbIndex:
    """The index, or MissingBlob: a registered file's xorbs must be there."""
    index = lookup(xorb_hash)
    if index is None:
        raise MissingBlob(f"Xorb {hash_to_text(xorb_hash)} is not stored")
    return index


def _rendered_terms(reconstruction: Reconstruction) -> dict[str, Any]:
    """The part that both shapes share."""
    return {
        "offset_into_first_range": reconstruction.offset_into_first_range,
        "terms": [
            {
                "hash": hash_to_text(term.xorb_hash),
                "unpacked_length": term.plain_bytes,
                "range": {"start": term.first_chunk, "end": term.end_chunk},
            }
            for term in reconstruction.terms
        ],
    }
