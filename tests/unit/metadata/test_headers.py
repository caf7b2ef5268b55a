import contextlib
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories.tensors import safetensors_bytes, write_llama_gguf

from seedstock.core.errors import HubError, UnsupportedFormat
from seedstock.metadata.gguf_header import read_gguf_header
from seedstock.metadata.safetensors_header import (
    parameters_by_dtype,
    read_safetensors_header,
    read_shard_index,
)
from seedstock.metadata.source import BytesReader

MIXED = {
    "a": ("BF16", (2, 3)),
    "b": ("F32", (4,)),
    "c": ("F8_E4M3", (5,)),
    "d": ("I64", ()),
    "e": ("F4", (2, 2)),
}
VALID = safetensors_bytes(MIXED, {"format": "pt"})


def gguf_bytes(keys: bytes = b"", key_count: int = 0, tensors: bytes = b"", tensor_count: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensor_count, key_count) + keys + tensors + bytes(64)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


SMALL_GGUF = gguf_bytes(
    text("general.architecture") + struct.pack("<I", 8) + text("llama")
    + text("llama.head_count") + struct.pack("<IIQ2I", 9, 4, 2, 3, 5)
    + text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + text("<s>") + text("</s>")
    + text("tokenizer.ggml.bos_token_id") + struct.pack("<II", 4, 1),
    4,
    text("t") + struct.pack("<IQIQ", 1, 4, 0, 0),
    1,
)  # fmt: skip


def outcome(read, content: bytes) -> None:
    """Only the error tree may come out; any other exception fails the test."""
    with contextlib.suppress(HubError):
        read(BytesReader(content))


def framed(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def test_safetensors_header_counts_by_dtype():
    header = read_safetensors_header(BytesReader(VALID))
    assert header.metadata == {"format": "pt"}
    assert [tensor.name for tensor in header.tensors] == list(MIXED)
    assert parameters_by_dtype([header]) == {"BF16": 6, "F32": 4, "F8_E4M3": 5, "I64": 1, "F4": 4}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"abc", "ends at byte 3"),
        ((2**40).to_bytes(8, "little") + b"{}", "at most"),
        (framed(b"[]"), "start"),
        (framed(b"{"), "not valid"),
        (framed(b'{"a":' * 5000), "not valid"),
        (framed(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'), "beyond"),
        (framed(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', bytes(4)), "contradict"),
        (framed(b'{"a":{"dtype":"X9","shape":[1],"data_offsets":[0,4]}}', bytes(4)), "unknown dtype"),
        (framed(b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}', bytes(8)), "gap"),
        (framed(b'{"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}}', bytes(4)), "not valid"),
        (
            framed(
                b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},'
                b'"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}',
                bytes(6),
            ),
            "overlaps",
        ),
        (VALID + b"x", "follow the last"),
    ],
)
def test_safetensors_faults_are_named(content, reason):
    with pytest.raises(UnsupportedFormat, match=reason):
        read_safetensors_header(BytesReader(content))


def test_shard_index_stays_in_its_folder():
    good = b'{"metadata":{"total_size":3},"weight_map":{"x":"b.safetensors","y":"a.safetensors"}}'
    assert read_shard_index(BytesReader(good), "sub/i.json") == ("sub/a.safetensors", "sub/b.safetensors")
    with pytest.raises(UnsupportedFormat, match="outside"):
        read_shard_index(BytesReader(b'{"weight_map":{"x":"../a"}}'), "i.json")


@pytest.mark.parametrize("big_endian", [False, True])
def test_gguf_header_of_a_real_writer(tmp_path, big_endian):
    content = write_llama_gguf(tmp_path / "tiny.gguf", big_endian=big_endian).read_bytes()
    header = read_gguf_header(BytesReader(content))
    assert (header.version, header.architecture, header.quantisation) == (3, "llama", "F16")
    assert (header.number("context_length"), header.number("attention.head_count_kv")) == (128, 2)
    assert (header.bos_token, header.eos_token) == ("<s>", "</s>")
    assert header.chat_template is not None
    assert header.parameters == 2 * 300 * 32 + 3 * 32 + 3 * 32 * 32 + 6 * 32 * 32
    assert len(header.tensors) == 12


def test_gguf_without_file_type_names_the_majority():
    header = read_gguf_header(BytesReader(SMALL_GGUF))
    assert (header.quantisation, header.bos_token, header.number("head_count")) == ("F32", "</s>", 5)


@pytest.mark.parametrize(
    "content",
    [
        b"GGUF",
        b"PK\x03\x04" + bytes(100),
        b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63),
        gguf_bytes(text("k") + struct.pack("<IIQ", 9, 8, 2**62), 1),
        gguf_bytes(text("k") + struct.pack("<IIQ", 9, 9, 1), 1),
        gguf_bytes(text("k") + struct.pack("<I", 77), 1),
        gguf_bytes(struct.pack("<Q", 2**60), 1),
        gguf_bytes(tensors=text("t") + struct.pack("<IQIQ", 1, 2**50, 0, 0), tensor_count=1),
        gguf_bytes(tensors=text("t") + struct.pack("<I", 9), tensor_count=1),
    ],
)
def test_hostile_gguf_is_refused(content):
    with pytest.raises(UnsupportedFormat):
        read_gguf_header(BytesReader(content))


def test_gguf_memory_stays_small_beside_a_large_vocabulary():
    tokens = text("x" * 56) * 100_000
    content = gguf_bytes(text("k") + struct.pack("<IIQ", 9, 8, 100_000) + tokens, 1)
    tracemalloc.start()
    read_gguf_header(BytesReader(content))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 5_000_000 < len(content)


@pytest.mark.parametrize(
    ("read", "valid"), [(read_safetensors_header, VALID), (read_gguf_header, SMALL_GGUF)]
)
class TestDamage:
    @given(st.binary(max_size=300))
    def test_random_bytes(self, read, valid, content):
        outcome(read, content)
        outcome(read, valid[:24] + content)

    @given(st.data())
    @settings(max_examples=150, derandomize=True, deadline=None)
    def test_mutated_header(self, read, valid, data):
        damaged = bytearray(valid[: data.draw(st.integers(0, len(valid)))])
        for _ in range(data.draw(st.integers(0, 4)) if damaged else 0):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        outcome(read, bytes(damaged))
