"""Reconstructions and read plans, checked by reading the bytes they name."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import MissingBlob, RangeNotSatisfiable
from seedstock.xet.chunk_codec import Scheme
from seedstock.xet.hashing import hash_to_text
from seedstock.xet.reconstruct import ChunkRange, plan_read, reconstruct, render_v1, render_v2
from seedstock.xet.xorb import build_xorb, decode_records
from seedstock.xet.xorb_index import Term

RANDOM = random.Random(3)
CHUNKS_A = [RANDOM.randbytes(n) for n in (5, 1, 9, 30, 2)]
CHUNKS_B = [b"b" * n for n in (40, 7)]
BODY_A, INDEX_A = build_xorb(CHUNKS_A, Scheme.NONE)
BODY_B, INDEX_B = build_xorb(CHUNKS_B, Scheme.LZ4)
A, B = INDEX_A.xorb_hash(), INDEX_B.xorb_hash()
INDEXES, BODIES = {A: INDEX_A, B: INDEX_B}, {A: BODY_A, B: BODY_B}
TERMS = [
    Term(x, first, end, INDEXES[x].plain_length(first, end))
    for x, first, end in [(A, 1, 3), (B, 0, 2), (A, 0, 5), (B, 1, 2)]
]
PLAIN = b"".join([*CHUNKS_A[1:3], *CHUNKS_B, *CHUNKS_A, CHUNKS_B[1]])


def url(raw, start, stop):
    return f"{hash_to_text(raw)[:4]}?{start}-{stop}"


def records(xorb_hash, first, end):
    start, stop = INDEXES[xorb_hash].byte_range(first, end)
    return b"".join(decode_records(BODIES[xorb_hash][start:stop], INDEXES[xorb_hash], first, end))


@given(st.integers(0, len(PLAIN) - 1), st.integers(1, len(PLAIN) + 5))
def test_plan_reads_the_range(start, length):
    read = b""
    steps = plan_read(TERMS, start, start + length, INDEXES.get)
    for step in steps:
        plain = records(step.xorb_hash, step.first_chunk, step.end_chunk)
        first_length = INDEXES[step.xorb_hash].plain_length(step.first_chunk, step.first_chunk + 1)
        assert step.skip_bytes < first_length
        read += plain[step.skip_bytes : step.skip_bytes + step.take_bytes]
    assert read == PLAIN[start : start + length]
    assert all(step.skip_bytes == 0 for step in steps[1:])


@given(st.integers(0, len(PLAIN) - 1), st.integers(1, len(PLAIN) + 5))
def test_a_client_can_follow_the_answer(start, length):
    answer = reconstruct(TERMS, INDEXES.get, (start, start + length))
    rendered = render_v2(answer, url)
    plain = b""
    for term in rendered["terms"]:
        first, end = term["range"]["start"], term["range"]["end"]
        ranges = [r for entry in rendered["xorbs"][term["hash"]] for r in entry["ranges"]]
        inside = [r for r in ranges if r["chunks"]["start"] <= first and end <= r["chunks"]["end"]]
        assert len(inside) == 1
        xorb_hash = next(h for h in BODIES if hash_to_text(h) == term["hash"])
        chunks, span = inside[0]["chunks"], inside[0]["bytes"]
        index = INDEXES[xorb_hash]
        fetched = BODIES[xorb_hash][span["start"] : span["end"] + 1]
        decoded = list(map(bytes, decode_records(fetched, index, chunks["start"], chunks["end"])))
        part = b"".join(decoded[first - chunks["start"] : end - chunks["start"]])
        assert len(part) == term["unpacked_length"]
        plain += part
    skip = answer.offset_into_first_range
    assert plain[skip : skip + length] == PLAIN[start : start + length]


def test_whole_file_and_both_shapes():
    terms = [Term(A, 0, 1, 5), Term(A, 3, 5, 32), Term(A, 1, 2, 1)]
    answer = reconstruct(terms, INDEXES.get)
    assert answer.ranges == {A: (ChunkRange(0, 2, 0, 22), ChunkRange(3, 5, 39, 87))}
    name = hash_to_text(A)
    shared = {
        "offset_into_first_range": 0,
        "terms": [
            {"hash": name, "unpacked_length": 5, "range": {"start": 0, "end": 1}},
            {"hash": name, "unpacked_length": 32, "range": {"start": 3, "end": 5}},
            {"hash": name, "unpacked_length": 1, "range": {"start": 1, "end": 2}},
        ],
    }
    assert render_v1(answer, url) == {
        **shared,
        "fetch_info": {
            name: [
                {
                    "url": f"{name[:4]}?0-22",
                    "range": {"start": 0, "end": 2},
                    "url_range": {"start": 0, "end": 21},
                },
                {
                    "url": f"{name[:4]}?39-87",
                    "range": {"start": 3, "end": 5},
                    "url_range": {"start": 39, "end": 86},
                },
            ]
        },
    }
    assert render_v2(answer, url) == {
        **shared,
        "xorbs": {
            name: [
                {
                    "url": f"{name[:4]}?0-22",
                    "ranges": [{"chunks": {"start": 0, "end": 2}, "bytes": {"start": 0, "end": 21}}],
                },
                {
                    "url": f"{name[:4]}?39-87",
                    "ranges": [{"chunks": {"start": 3, "end": 5}, "bytes": {"start": 39, "end": 86}}],
                },
            ]
        },
    }


def test_trimmed_to_whole_chunks():
    # Bytes 14 to 20 of the file are bytes 4 to 10 of xorb B's first chunk.
    answer = reconstruct(TERMS, INDEXES.get, (14, 20))
    assert answer.terms == (Term(B, 0, 1, 40),)
    assert answer.offset_into_first_range == 4
    assert answer.ranges == {B: (ChunkRange(0, 1, *INDEX_B.byte_range(0, 1)),)}


@pytest.mark.parametrize("start", [len(PLAIN), len(PLAIN) + 1, -1])
def test_beyond_the_end(start):
    with pytest.raises(RangeNotSatisfiable) as caught:
        reconstruct(TERMS, INDEXES.get, (start, start + 10))
    assert caught.value.size_bytes == len(PLAIN)


def test_empty_file():
    answer = reconstruct([], INDEXES.get)
    assert render_v1(answer, url) == {"offset_into_first_range": 0, "terms": [], "fetch_info": {}}
    with pytest.raises(RangeNotSatisfiable):
        plan_read([], 0, 1, INDEXES.get)


def test_a_lost_xorb_is_named():
    with pytest.raises(MissingBlob, match=hash_to_text(A)):
        reconstruct(TERMS, {B: INDEX_B}.get)
