"""Vectors of the Xet specification, and the Merkle rule against a plain restatement of it."""

import hashlib

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import Invalid
from seedstock.xet import hashing
from seedstock.xet.hashing import chunk_hash, file_hash, hash_from_text, hash_to_text, merkle_root

NODE_KEY = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")

VECTOR_3 = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(20000))
VECTOR_3_LENGTHS = [30094, 27086, 12811, 111372, 121806, 9763, 38233, 24165, 72504, 64219, 127947]


def vector_3_chunks() -> list[bytes]:
    chunks, at = [], 0
    for length in VECTOR_3_LENGTHS:
        chunks.append(VECTOR_3[at : at + length])
        at += length
    assert at == len(VECTOR_3)
    return chunks


def leaves_of(chunks):
    return [(chunk_hash(chunk), len(chunk)) for chunk in chunks]


def counted_leaves(count):
    return [(chunk_hash(str(k).encode()), k + 1) for k in range(count)]


def test_text_form_reverses_each_group():
    text = "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"
    assert hash_to_text(bytes(range(32))) == text
    assert hash_from_text(text) == bytes(range(32))


@given(st.binary(min_size=32, max_size=32))
def test_text_form_round_trip(raw):
    assert hash_from_text(hash_to_text(raw)) == raw
    assert hashing.swap_groups(hashing.swap_groups(raw)) == raw


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "0" * 64 + "\n", "é" * 64])
def test_bad_text_is_invalid(text):
    with pytest.raises(Invalid):
        hash_from_text(text)


def test_hello_world():
    data = b"hello world"
    raw = chunk_hash(data)
    assert raw.hex() == "119f359d8b37394e0213441f7a559081d97ba0cf5f4ea519b151e66f460bf56c"
    assert hash_to_text(raw) == "4e39378b9d359f118190557a1f44130219a54e5fcfa07bd96cf50b466fe651b1"
    expected = "f15edd43b7e85cfd25e2758ffe13b99fdd09dfa817e8d9f6548722a7a126db7f"
    assert hash_to_text(file_hash(leaves_of([data]))) == expected
    stored = hashing.swap_groups(hashlib.sha256(data).digest())
    assert stored.hex() == "083e4d93b9274db9faab7ddad7522ea5ee80537ae3ef84c4e9cdefe2acf78890"


def test_many_chunks():
    leaves = leaves_of(vector_3_chunks())
    first = "023bdba9015110e266373e050029d4420c3681d9e329a13662c65f326662bbd9"
    assert hash_to_text(leaves[0][0]) == first
    xorb = "07c4ace4e455732cd048a1e41a9fb3321e3963310a4a50dc80dd98445ef4e923"
    assert hash_to_text(merkle_root(leaves)) == xorb
    file = "ec49a9c7841303222f5d2a369f87a245514cfa5283369ad6c4e1ceb761b6c063"
    assert hash_to_text(file_hash(leaves)) == file
    proof = "1e4816ee64bb1301621a30d611d933c8ca0d81d7cf1d8a61776fa44d3225d7ee"
    assert hash_to_text(hashing.verification_hash(b"".join(raw for raw, _ in leaves))) == proof


def test_repeated_chunks():
    leaves = leaves_of([b"a" * 131072] * 7 + [b"a" * 82496])
    expected = "da85db8c7ea1106678eaebb6869e9689031baea59f602f257094d67abcb24053"
    assert hash_to_text(file_hash(leaves)) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (2, "d238ad1433f459c96592d8d5e08e29d425d56beaf7df126bd7120424f1077f30"),
        (10, "a488e26775465f9368dadb404a06b61c441bf621383af44c1f787868dfc9bd66"),
        (100, "721917c1353971727f53d33c9b92960b6796b378fadbfe70fbb8f120199e9849"),
    ],
)
def test_merkle_vectors(count, expected):
    assert hash_to_text(merkle_root(counted_leaves(count))) == expected


def test_stock_client_agrees(tmp_path):
    hf_xet = pytest.importorskip("hf_xet")
    path = tmp_path / "data"
    path.write_bytes(VECTOR_3)
    (info,) = hf_xet.hash_files([str(path)])
    assert info.hash == hash_to_text(file_hash(leaves_of(vector_3_chunks())))


def test_empty_file_hash_is_zero():
    assert file_hash([]) == bytes(32)
    assert merkle_root([]) == bytes(32)


def test_one_leaf_is_its_own_root():
    assert merkle_root([(b"x" * 32, 5)]) == b"x" * 32


def test_dedup_key_changes_the_hash():
    raw = chunk_hash(b"a")
    assert hashing.keyed_chunk_hash(b"k" * 32, raw) == blake3(raw, key=b"k" * 32).digest()


def plain_merkle(level):
    """The specification's rounds over whole lists."""
    while len(level) > 1:
        parents, start = [], 0
        while start < len(level):
            end = min(start + 9, len(level))
            for at in range(start + 2, end):
                if int.from_bytes(level[at][0][-8:], "little") % 4 == 0:
                    end = at + 1
                    break
            text = "".join(f"{hash_to_text(h)} : {n}\n" for h, n in level[start:end])
            total = sum(n for _, n in level[start:end])
            parents.append((blake3(text.encode(), key=NODE_KEY).digest(), total))
            start = end
        level = parents
    return level[0][0]


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(1, 131072)), min_size=1, max_size=250))
def test_merkle_matches_plain_rounds(nodes):
    leaves = [(bytes(24) + bytes([low]) + bytes(7), size) for low, size in nodes]
    assert merkle_root(leaves) == plain_merkle(leaves)
