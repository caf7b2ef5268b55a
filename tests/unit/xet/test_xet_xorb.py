"""Xorbs: round trips, pieces of any size, limits, and damage."""

import random

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import BadUpload, CorruptBlock, HubError, Invalid, TooLarge
from seedstock.xet import xorb as xorb_module
from seedstock.xet.chunk_codec import Scheme, group_bytes, ungroup_bytes
from seedstock.xet.hashing import chunk_hash, merkle_root
from seedstock.xet.xorb import XorbReader, build_xorb, decode_records, verify_xorb
from seedstock.xet.xorb_index import MAX_XORB_CHUNKS, XorbIndex

CHUNKS = [b"seed" * 5000, b"x", b"stock" * 9 + b"abc", random.Random(1).randbytes(70_000), bytes(131072)]
FOOTER = b"XETBLOB" + bytes(300)


def record(scheme, payload, length, *, version=0, payload_length=None):
    size = len(payload) if payload_length is None else payload_length
    head = bytes([version]) + size.to_bytes(3, "little") + bytes([scheme]) + length.to_bytes(3, "little")
    return head + payload


def frame(plain, **options):
    return lz4.frame.compress(plain, store_size=False, **options)


def read_in_steps(body, steps, expected):
    reader, at = XorbReader(), 0
    for step in steps:
        reader.feed(body[at : at + step])
        at += step
    return reader.finish(expected)


@pytest.mark.parametrize("scheme", list(Scheme))
def test_round_trip(scheme):
    body, built = build_xorb(CHUNKS, scheme)
    expected = merkle_root([(chunk_hash(c), len(c)) for c in CHUNKS])
    index = verify_xorb(body, expected)
    assert index == built
    assert index.stored_bytes == len(body)
    assert index.chunk_hashes() == [chunk_hash(c) for c in CHUNKS]
    assert [bytes(c) for c in decode_records(body, index, 0, len(CHUNKS))] == CHUNKS
    start, stop = index.byte_range(1, 4)
    assert [bytes(c) for c in decode_records(body[start:stop], index, 1, 4)] == CHUNKS[1:4]
    assert index.plain_length(1, 4) == sum(map(len, CHUNKS[1:4]))
    if scheme is not Scheme.NONE:
        assert len(body) < sum(map(len, CHUNKS))


@pytest.mark.parametrize("step", [1, 7, 8, 9, 4096, 65536, 1 << 20])
@pytest.mark.parametrize("footer", [b"", b"XETBLOB", FOOTER])
def test_pieces_of_any_size(step, footer):
    # The shortest footer cannot be told from a cut record at the very end of a body.
    body, built = build_xorb([CHUNKS[0], CHUNKS[1], CHUNKS[2]], Scheme.LZ4)
    reader = XorbReader()
    whole = body + footer
    for at in range(0, len(whole), step):
        reader.feed(whole[at : at + step])
    if len(footer) == 7:
        with pytest.raises(BadUpload, match="cut short"):
            reader.finish(built.xorb_hash())
        return
    assert reader.finish(built.xorb_hash()) == built
    assert (reader.stored_bytes, reader.footer_bytes) == (len(body), len(footer))


def test_pieces_across_long_records():
    body, built = build_xorb(CHUNKS, Scheme.NONE)
    reader = XorbReader()
    for at in range(0, len(body), 50_001):
        reader.feed(memoryview(body)[at : at + 50_001])
    assert reader.finish(built.xorb_hash()) == built


@given(st.binary(max_size=40))
def test_grouping_round_trip(plain):
    assert bytes(ungroup_bytes(group_bytes(plain))) == plain


def test_grouping_vector():
    assert group_bytes(bytes(range(10))).hex() == "00040801050902060307"


PLAIN = b"plain bytes " * 20


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Xorb holds no chunks"),
        (FOOTER, "Xorb holds no chunks"),
        (record(0, b"abc", 3, version=1), "Xorb chunk 0: unknown record version 1"),
        (record(3, b"abc", 3), "Xorb chunk 0: unknown compression scheme 3"),
        (record(0, b"abc", 4), "Xorb chunk 0: 3 uncompressed bytes where 4 were declared"),
        (record(0, b"abc", 0), "Xorb chunk 0: declared length 0 is not in 1 to 131072"),
        (record(0, b"abc", 131073), "Xorb chunk 0: declared length 131073 is not in 1 to 131072"),
        (record(1, b"", 3), "Xorb chunk 0: payload length 0 is not in 1 to 132096"),
        (
            record(1, b"", 3, payload_length=200_000),
            "Xorb chunk 0: payload length 200000 is not in 1 to 132096",
        ),
        (record(0, b"abc", 3) + record(1, b"junk" * 9, 3), "Xorb chunk 1: the LZ4 frame is damaged"),
        (record(1, frame(PLAIN)[:-4], 240), "Xorb chunk 0: the LZ4 frame is cut short"),
        (record(1, frame(PLAIN) + b"!", 240), "Xorb chunk 0: bytes follow the LZ4 frame"),
        (record(1, frame(PLAIN), 239), "Xorb chunk 0: the LZ4 frame expands beyond the declared 239 bytes"),
        (
            record(2, frame(PLAIN), 241),
            "Xorb chunk 0: the LZ4 frame expands to 240 bytes where 241 were declared",
        ),
        (record(0, b"abc", 3) + b"\0\1", "Xorb chunk 1: the record is cut short by the end of the body"),
        (
            record(0, b"abc", 9, payload_length=9),
            "Xorb chunk 0: the record is cut short by the end of the body",
        ),
    ],
)
def test_hostile_bodies(body, message):
    for step in (1, len(body) or 1):
        with pytest.raises(BadUpload) as caught:
            read_in_steps(body, [step] * len(body), bytes(32))
        assert caught.value.message == message


def test_wrong_hash_names_both():
    body, built = build_xorb([b"hello world"], Scheme.NONE)
    with pytest.raises(BadUpload) as caught:
        verify_xorb(body, bytes(32))
    text = "4e39378b9d359f118190557a1f44130219a54e5fcfa07bd96cf50b466fe651b1"
    assert caught.value.message == f"Xorb hash is {text}, not {'0' * 64}"
    assert built.xorb_hash() == chunk_hash(b"hello world")


def test_a_bomb_is_not_expanded():
    with pytest.raises(BadUpload, match="expands beyond"):
        verify_xorb(record(1, frame(bytes(30_000_000)), 1000)[:140_000], bytes(32))


def test_a_full_xorb_of_bytes_that_do_not_compress_is_taken() -> None:
    chunks = [bytes(64 << 10)] * 1024  # 64 MiB plain, and headers on top
    body, index = build_xorb(chunks, Scheme.NONE)
    assert len(body) == (64 << 20) + 8 * 1024
    assert verify_xorb(body, index.xorb_hash()) == index
    assert XorbIndex.decode(index.encode()) == index


def test_too_many_chunks():
    body = record(0, b"a", 1) * (MAX_XORB_CHUNKS + 1)
    with pytest.raises(TooLarge, match="more than 8192 chunks"):
        verify_xorb(body, bytes(32))
    assert (
        verify_xorb(body[:-9], build_xorb([b"a"] * MAX_XORB_CHUNKS, Scheme.NONE)[1].xorb_hash()).chunk_count
        == 8192
    )
    with pytest.raises(TooLarge):
        build_xorb([b"a"] * (MAX_XORB_CHUNKS + 1), Scheme.NONE)


def test_too_many_bytes(monkeypatch):
    body, built = build_xorb([b"a" * 100] * 10, Scheme.NONE)
    monkeypatch.setattr(xorb_module, "MAX_XORB_BYTES", len(body) - 1)
    with pytest.raises(TooLarge, match="larger than"):
        verify_xorb(body, built.xorb_hash())
    monkeypatch.setattr(xorb_module, "MAX_XORB_BYTES", len(body))
    monkeypatch.setattr(xorb_module, "MAX_FOOTER_BYTES", 306)
    with pytest.raises(TooLarge, match="footer"):
        verify_xorb(body + FOOTER, built.xorb_hash())


SMALL = [b"seed" * 30, b"stock", bytes(range(200))]


@given(st.sampled_from(list(Scheme)), st.data())
def test_flipped_or_cut_bodies_are_refused(scheme, data):
    body, built = build_xorb(SMALL, scheme)
    damaged = bytearray(body)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(body) - 1)) :]
    else:
        damaged[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        index = verify_xorb(damaged, built.xorb_hash())
    except HubError:
        return
    # A flip that still decodes to the same bytes (an unused frame flag, say) harms nobody.
    assert b"".join(map(bytes, decode_records(damaged, index, 0, 3))) == b"".join(SMALL)


@given(st.sampled_from(list(Scheme)), st.data())
def test_damage_at_rest_is_never_served(scheme, data):
    body, index = build_xorb(SMALL, scheme)
    damaged = bytearray(body)
    damaged[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    served = b""
    try:
        for chunk in decode_records(damaged, index, 0, 3):
            served += chunk
    except CorruptBlock:
        assert b"".join(SMALL).startswith(served)
    else:
        assert served == b"".join(SMALL)


def test_decode_needs_the_exact_run():
    body, index = build_xorb(SMALL, Scheme.NONE)
    with pytest.raises(CorruptBlock, match="bytes where"):
        list(decode_records(body[:-1], index, 0, 3))
    for first, end in [(0, 0), (2, 1), (-1, 2), (0, 4)]:
        with pytest.raises(Invalid):
            list(decode_records(body, index, first, end))


@given(st.binary(max_size=300), st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_garbage_raises_only_our_errors(garbage, cuts):
    with pytest.raises(HubError):
        read_in_steps(garbage, cuts, bytes(32))


def test_index_round_trip_and_bytes():
    body, index = build_xorb([b"abc", b"defgh"], Scheme.NONE)
    assert len(body) == 24
    encoded = index.encode()
    lengths = b"".join(n.to_bytes(4, "little") for n in (11, 13, 3, 5))
    assert encoded == b"\1\2\0\0\0" + chunk_hash(b"abc") + chunk_hash(b"defgh") + lengths
    assert XorbIndex.decode(encoded) == index


@given(st.data())
def test_index_decode_refuses_garbage(data):
    encoded = bytearray(build_xorb(SMALL, Scheme.LZ4)[1].encode())
    if data.draw(st.booleans()):
        del encoded[data.draw(st.integers(0, len(encoded) - 1)) :]
        with pytest.raises(CorruptBlock):
            XorbIndex.decode(bytes(encoded))
        return
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        decoded = XorbIndex.decode(bytes(encoded))
    except CorruptBlock:
        return
    assert decoded.encode() == encoded
