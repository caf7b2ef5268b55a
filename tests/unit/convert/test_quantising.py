"""Element types and mixtures."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize, quantize

from seedstock.convert.mixtures import TARGETS, Shape, find_target, is_matrix, stored_type
from seedstock.convert.plan import header_bytes
from seedstock.convert.quantise import _chunk, quantise
from seedstock.convert.requantise import read_values
from seedstock.core.errors import UnsupportedFormat
from seedstock.metadata.gguf_header import read_gguf_header
from seedstock.metadata.source import BytesReader
from seedstock.weights.checkpoint import open_checkpoint
from tests.factories.hf_model import config, weights
from tests.unit.convert.conftest import convert, model_files, requantise

# Root mean square error over the spread of normal numbers, with these seeds; other implementations differ by a tenth.
ERRORS = {"Q8_0": 0.006, "Q6_K": 0.02, "Q5_K": 0.04, "Q5_0": 0.05, "Q4_K": 0.08, "Q4_0": 0.1}


def _normal(rows: int = 16, width: int = 512) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((rows, width)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["Q4_0", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16"])
def test_both_implementations_write_the_same_bytes(dtype: str) -> None:
    if _chunk() is None:
        pytest.skip("the `run` extra is not installed")
    values = _normal()
    assert quantise(values.reshape(-1), dtype, 512) == quantize(values, GGMLQuantizationType[dtype]).tobytes()


@pytest.mark.parametrize("dtype", ERRORS)
def test_quantised_numbers_are_near_the_numbers(dtype: str) -> None:
    if _chunk() is None and dtype.endswith("_K"):
        pytest.skip("the `run` extra is not installed")
    values = _normal()
    raw = np.frombuffer(quantise(values.reshape(-1), dtype, 512), dtype=np.uint8).reshape(16, -1)
    error = float(np.sqrt(np.mean((dequantize(raw, GGMLQuantizationType[dtype]) - values) ** 2)))
    assert ERRORS[dtype] / 2 < error < ERRORS[dtype]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_numbers_that_no_block_holds_are_refused(value: float) -> None:
    values = _normal()
    values[3, 7] = value
    with pytest.raises(UnsupportedFormat):
        quantise(values.reshape(-1), "Q8_0", 512)


def test_the_mixture_gives_more_bits_where_they_count() -> None:
    target, model = find_target("q4_k_m"), Shape("llama", 32, 0, has_output=True)
    more = [
        layer
        for layer in range(32)
        if stored_type(target, model, f"blk.{layer}.ffn_down.weight", 4096) == "Q6_K"
    ]
    assert more == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]
    assert stored_type(target, model, "blk.9.attn_v.weight", 4096) == "Q6_K"
    assert stored_type(target, model, "blk.4.attn_v.weight", 4096) == "Q4_K"
    assert stored_type(target, model, "output.weight", 4096) == "Q6_K"
    assert stored_type(target, model, "token_embd.weight", 4096) == "Q4_K"
    tied = Shape("llama", 32, 0, has_output=False)
    assert stored_type(target, tied, "token_embd.weight", 4096) == "Q6_K"
    assert stored_type(target, Shape("llama", 80, 0, has_output=True), "blk.12.attn_v.weight", 8192) == "Q6_K"
    assert stored_type(target, Shape("llama", 80, 0, has_output=True), "blk.10.attn_v.weight", 8192) == "Q5_K"


@pytest.mark.parametrize(
    ("name", "width", "expected"),
    [("Q4_K_M", 576, "Q5_0"), ("Q5_K_M", 576, "Q5_1"), ("Q6_K", 576, "Q8_0"), ("Q4_0", 40, "F16")],
)
def test_rows_that_do_not_fill_blocks_fall_back(name: str, width: int, expected: str) -> None:
    model = Shape("llama", 8, 0, has_output=True)
    assert stored_type(find_target(name), model, "blk.1.attn_q.weight", width) == expected


def test_small_tensors_keep_their_type() -> None:
    assert is_matrix("blk.0.attn_q.weight", (4, 4))
    for name, shape in {
        "blk.0.attn_norm.weight": (64,),
        "blk.0.attn_q.bias": (64,),
        "blk.0.ffn_gate_inp.weight": (8, 64),
        "blk.0.ssm_conv1d.weight": (8, 4),
    }.items():
        assert not is_matrix(name, shape)


def test_an_unknown_target_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnsupportedFormat, match="IQ2_XXS") as caught:
        find_target("IQ2_XXS")
    assert caught.value.hint == f"one of {', '.join(TARGETS)}"


def test_requantising_copies_the_header_and_what_is_of_the_right_type() -> None:
    settings = config("llama")
    first, data = convert(weights(settings), model_files(settings), "Q8_0")
    again, copy = requantise(data, "Q8_0")
    assert hashlib.sha256(copy).digest() == hashlib.sha256(data).digest()
    assert again.types == first.types
    plan, other = requantise(data, "Q4_0")
    before, after = read_values(BytesReader(data)), read_values(BytesReader(other))
    assert {key for key in before if before[key] != after[key]} == {"general.file_type"}
    assert "Q8_0" in plan.notes[0]
    assert len(other) == len(header_bytes(plan)) + plan.data_bytes
    assert read_gguf_header(BytesReader(other)).quantisation == "Q4_0"
    for tensor in plan.tensors:
        if not is_matrix(tensor.name, tensor.shape):
            info = open_checkpoint({"a.gguf": BytesReader(other)}).tensors[tensor.name]
            assert info.dtype == "F32"


def test_the_package_reads_what_was_written(tmp_path: Path) -> None:
    settings = config("qwen2")
    plan, data = convert(weights(settings), model_files(settings), "Q4_K_M" if _chunk() else "Q4_0")
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    reader = gguf.GGUFReader(path)
    assert [tensor.name for tensor in reader.tensors] == [tensor.name for tensor in plan.tensors]
    assert [tensor.tensor_type.name for tensor in reader.tensors] == [item.dtype for item in plan.tensors]
    assert reader.fields["general.architecture"].contents() == "qwen2"


def test_half_a_split_model_is_refused() -> None:
    settings = config("llama")
    data = convert(weights(settings), model_files(settings), "F16")[1]
    key = b"split.count"
    entry = struct.pack("<Q", len(key)) + key + struct.pack("<IH", 2, 3)
    count = struct.unpack("<Q", data[16:24])[0] + 1
    reader = BytesReader(data[:16] + struct.pack("<Q", count) + entry + data[24:] + bytes(64))
    with pytest.raises(UnsupportedFormat, match=r"one of 3 parts, of which 1"):
        requantise(reader.read(0, reader.size_bytes), "Q8_0")


@pytest.mark.parametrize("target", ["F16", "Q8_0"])
@pytest.mark.parametrize("piece", [1, 3000, 70_000])
def test_the_size_of_the_pieces_changes_nothing(
    target: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config("llama", attention_bias=True)
    state, files = weights(settings), model_files(settings)
    whole = hashlib.sha256(convert(state, files, target)[1]).digest()
    monkeypatch.setattr("seedstock.convert.plan._PIECE_ELEMENTS", piece)
    assert hashlib.sha256(convert(state, files, target)[1]).digest() == whole
