"""Shards: byte layout, round trips, hostile input, and the checks on registered files."""

import hashlib
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.digests import Digest
from seedstock.core.errors import BadUpload, HubError, TooLarge
from seedstock.xet import shard as shard_module
from seedstock.xet.chunk_codec import Scheme
from seedstock.xet.hashing import file_hash, hash_to_text, keyed_chunk_hash
from seedstock.xet.shard import Shard, ShardFile, parse_shard, validate_file
from seedstock.xet.shard_writer import encode_dedup_answer, encode_shard, shard_xorb
from seedstock.xet.xorb import build_xorb
from seedstock.xet.xorb_index import Term

BOOKEND = b"\xff" * 32 + bytes(16)
_, INDEX_A = build_xorb([b"a%d" % i for i in range(20)], Scheme.NONE)
_, INDEX_B = build_xorb([b"hello world", b"b" * 1000], Scheme.LZ4)
A, B = INDEX_A.xorb_hash(), INDEX_B.xorb_hash()
INDEXES = {A: INDEX_A, B: INDEX_B}


def term(xorb_hash, first, end):
    return Term(xorb_hash, first, end, INDEXES[xorb_hash].plain_length(first, end))


def file_of(*terms):
    leaves = [leaf for t in terms for leaf in INDEXES[t.xorb_hash].leaves(t.first_chunk, t.end_chunk)]
    proofs = tuple(INDEXES[t.xorb_hash].verification_hash(t.first_chunk, t.end_chunk) for t in terms)
    return ShardFile(file_hash(leaves), terms, proofs, Digest(hashlib.sha256(b"any").hexdigest()))


FILE = file_of(term(A, 3, 20), term(B, 0, 2), term(A, 0, 1))
SHARD = Shard((FILE, file_of(term(B, 0, 1))), (shard_xorb(A, INDEX_A), shard_xorb(B, INDEX_B, dedup=True)))
XORB_END = len(encode_shard(SHARD)) - 48


def test_round_trip():
    assert parse_shard(encode_shard(SHARD)) == SHARD


def test_a_shard_may_hold_no_xorbs_and_a_file_no_proofs():
    bare = Shard((msgspec.structs.replace(FILE, verifications=(), sha256=None),), ())
    assert parse_shard(encode_shard(bare)) == bare
    assert parse_shard(encode_shard(Shard((), ()))) == Shard((), ())


def test_bytes_of_an_upload():
    sha256 = hashlib.sha256(b"hello world").digest()
    hello = msgspec.structs.replace(file_of(term(B, 0, 1)), sha256=Digest(sha256.hex()))
    data = encode_shard(Shard((hello,), ()))
    tag = b"HFRepoMetaData\0" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9")
    assert data[:48] == tag + struct.pack("<QQ", 2, 0)
    assert data[48:96] == hello.hash + struct.pack("<IIQ", 0xC0000000, 1, 0)
    assert data[96:144] == B + struct.pack("<IIII", 0, 11, 0, 1)
    assert data[144:192] == INDEX_B.verification_hash(0, 1) + bytes(16)
    swapped = "083e4d93b9274db9faab7ddad7522ea5ee80537ae3ef84c4e9cdefe2acf78890"
    assert data[192:240] == bytes.fromhex(swapped) + bytes(16)
    assert data[240:] == BOOKEND + BOOKEND


def test_dedup_answer_footer():
    key = bytes(range(32))
    xorbs = (shard_xorb(A, INDEX_A, dedup=True), shard_xorb(B, INDEX_B))
    data = encode_dedup_answer(xorbs, key=key, created_at_s=1000, expires_at_s=2000)
    footer_at = len(data) - 200
    words = struct.unpack("<25Q", data[footer_at:])
    assert struct.unpack_from("<QQ", data, 32) == (2, 200)
    assert words[:3] == (1, 48, 96)
    # Zeros instead of the footer's offset make the client abort its process.
    assert words[3:9] == (footer_at, 0, footer_at, 0, footer_at, 0)
    assert data[footer_at + 72 : footer_at + 104] == key
    assert words[13:15] == (1000, 2000)
    assert words[15:21] == (0,) * 6
    plain = INDEX_A.plain_bytes + INDEX_B.plain_bytes
    assert words[21:24] == (INDEX_A.stored_bytes + INDEX_B.stored_bytes, 0, plain)
    assert words[24] == footer_at
    parsed = parse_shard(data)
    assert parsed.files == ()
    assert [x.hash for x in parsed.xorbs] == [A, B]
    hidden = [keyed_chunk_hash(key, raw) for raw in INDEX_A.chunk_hashes()]
    assert [c.hash for c in parsed.xorbs[0].chunks] == hidden
    assert all(c.dedup for c in parsed.xorbs[0].chunks)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Shard of 0 bytes is too short"),
        (bytes(200), "Shard does not begin with the shard tag"),
        (shard_module.HEADER.pack(shard_module.SHARD_TAG, 3, 0), "Shard has unknown version 3"),
        (shard_module.HEADER.pack(shard_module.SHARD_TAG, 2, 7), "Shard declares a footer of 7 bytes"),
        (
            encode_shard(SHARD) + b"x",
            "Shard has 1 bytes after its sections and declares a footer of 0",
        ),
        (
            encode_shard(SHARD)[:-48],
            f"Shard is cut short: the xorb section needs 1 records at byte {XORB_END}, 0 are left",
        ),
        (
            encode_shard(Shard((), ()))[:48] + bytes(36) + b"\xff" * 4 + bytes(56),
            "Shard is cut short: a list of terms needs 4294967295 records at byte 96, 1 are left",
        ),
    ],
)
def test_hostile_shards(data, message):
    with pytest.raises(BadUpload) as caught:
        parse_shard(data)
    assert caught.value.message == message


def test_too_large(monkeypatch):
    monkeypatch.setattr(shard_module, "MAX_SHARD_BYTES", 100)
    with pytest.raises(TooLarge):
        parse_shard(bytes(101))


@given(st.data())
def test_damaged_shards_raise_only_our_errors(data):
    damaged = bytearray(encode_shard(SHARD))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(0, len(damaged))) :]
    try:
        shard = parse_shard(damaged)
        for file in shard.files:
            validate_file(file, INDEXES.get)
    except HubError:
        return


@given(st.binary(max_size=500))
def test_garbage_after_the_header_raises_only_our_errors(garbage):
    try:
        parse_shard(encode_shard(Shard((), ()))[:48] + garbage)
    except BadUpload:
        return


def test_valid_file():
    valid = validate_file(FILE, INDEXES.get)
    assert valid.hash == FILE.hash
    assert valid.terms == FILE.terms
    assert valid.chunk_count == 20
    assert valid.size_bytes == INDEX_A.plain_bytes - INDEX_A.plain_length(1, 3) + INDEX_B.plain_bytes
    assert valid.claimed_sha256 == FILE.sha256


def changed_term(**changes):
    return msgspec.structs.replace(
        FILE, terms=(msgspec.structs.replace(FILE.terms[0], **changes), *FILE.terms[1:])
    )


NAME = f"File {hash_to_text(FILE.hash)}"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (msgspec.structs.replace(FILE, verifications=()), ": verification hashes are missing"),
        (changed_term(xorb_hash=bytes(32)), f" term 0: xorb {'0' * 64} is not stored"),
        (changed_term(end_chunk=21), " term 0: chunks 3 to 21 are not in a xorb of 20 chunks"),
        (changed_term(end_chunk=3), " term 0: chunks 3 to 3 are not in a xorb of 20 chunks"),
        (changed_term(plain_bytes=1), " term 0: declares 1 bytes where its chunks hold 44"),
        (
            msgspec.structs.replace(FILE, verifications=(bytes(32), *FILE.verifications[1:])),
            " term 0: the verification hash does not match",
        ),
    ],
)
def test_invalid_files(file, message):
    with pytest.raises(BadUpload) as caught:
        validate_file(file, INDEXES.get)
    assert caught.value.message == NAME + message


def test_wrong_file_hash():
    wrong = msgspec.structs.replace(FILE, hash=bytes(32))
    with pytest.raises(BadUpload, match=f"its chunks give the file hash {hash_to_text(FILE.hash)}"):
        validate_file(wrong, INDEXES.get)


def test_endless_file(monkeypatch):
    monkeypatch.setattr(shard_module, "MAX_FILE_CHUNKS", 19)
    with pytest.raises(TooLarge, match="more than 19 chunks"):
        validate_file(FILE, INDEXES.get)
