"""Reading tensors of every format as numbers."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import save

from seedstock.core.errors import UnsupportedFormat
from seedstock.metadata.source import BytesReader
from seedstock.weights.checkpoint import open_checkpoint
from seedstock.weights.elements import decode, round_bf16
from tests.factories import models
from tests.factories.tensors import write_llama_gguf


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "int8", "uint8", "int16", "int32", "int64"]
)
def test_values_are_those_that_the_safetensors_package_wrote(dtype: str) -> None:
    value = (np.arange(24).reshape(4, 6) * 3 - 20).astype(dtype)
    opened = models.opened(save({"w": value, "other": np.ones(3, dtype=np.float32)}))
    np.testing.assert_array_equal(opened.read("w"), value.astype(np.float32))
    np.testing.assert_array_equal(opened.read("w", 1, 3), value[1:3].astype(np.float32))
    assert opened.tensors["w"].shape == (4, 6)


@pytest.mark.parametrize(
    ("dtype", "code", "value"),
    [
        ("F8_E4M3", 0x7E, 448), ("F8_E4M3", 0x01, 2**-9), ("F8_E4M3", 0xC0, -2), ("F8_E4M3", 0x7F, np.nan),
        ("F8_E5M2", 0x7B, 57344), ("F8_E5M2", 0x7C, np.inf), ("F8_E5M2", 0x01, 2**-16), ("F8_E5M2", 0xFC, -np.inf),
        ("F8_E4M3FNUZ", 0x7F, 240), ("F8_E4M3FNUZ", 0x80, np.nan), ("F8_E5M2FNUZ", 0x7F, 57344),
        ("F8_E8M0", 127, 1), ("F8_E8M0", 130, 8),
    ],
)  # fmt: skip
def test_eight_bit_floats_are_read_as_their_standards_say(dtype: str, code: int, value: float) -> None:
    np.testing.assert_equal(float(decode(bytes([code]), dtype)[0]), float(value))


def test_bfloat16_is_read_and_rounded_to_even() -> None:
    raw = struct.pack("<3H", 0x3F80, 0xC040, 0x7F80)
    np.testing.assert_array_equal(decode(raw, "BF16"), [1, -3, np.inf])
    halves = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20], dtype=np.float32)
    np.testing.assert_array_equal(round_bf16(halves), [1, 1 + 2**-6, 1 + 2**-7])


@pytest.mark.parametrize("type_name", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_gguf_tensors_have_logical_shapes_and_near_values(type_name: str) -> None:
    made = models.llama(1)
    opened = models.opened(models.gguf_of(made, type_name))
    name, value = "blk.2.ffn_down.weight", made["model.layers.2.mlp.down_proj.weight"]
    assert opened.tensors[name].shape == value.shape
    assert np.abs(opened.read(name) - value).max() <= 0.13 * np.abs(value).max()
    np.testing.assert_array_equal(opened.read(name, 5, 9), opened.read(name)[5:9])
    assert opened.metadata["general.architecture"] == "llama"


def test_every_block_type_of_gguf_is_decoded_or_refused() -> None:
    from seedstock.weights.elements import BLOCKS

    rng = np.random.default_rng(0)
    refused = set()
    for name, (elements, size_bytes) in BLOCKS.items():
        try:
            assert decode(rng.bytes(3 * size_bytes), name).size == 3 * elements
        except UnsupportedFormat:
            refused.add(name)
    assert refused == {"Q8_1", "Q8_K"}


def test_parts_of_one_model_are_one_checkpoint_and_a_name_twice_is_refused() -> None:
    made = models.llama(1)
    names = list(made)
    first = models.safetensors_of({name: made[name] for name in names[:9]})
    second = models.safetensors_of({name: made[name] for name in names[9:]})
    assert set(models.opened(first, second).tensors) == set(made)
    with pytest.raises(UnsupportedFormat, match="in two files"):
        models.opened(first, first)


def test_bytes_read_are_those_asked_for() -> None:
    opened = models.model(models.llama(1))
    assert opened.bytes_read == 0
    opened.read("model.layers.0.mlp.up_proj.weight", 0, 2)
    assert opened.bytes_read == 2 * models.WIDTH * 2
    assert opened.raw("model.norm.weight", 4, 8) == b"".join(opened.pieces("model.norm.weight"))[4:8]


def test_big_endian_gguf_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = write_llama_gguf(tmp_path / "m.gguf", big_endian=True)
    with pytest.raises(UnsupportedFormat, match="big-endian"):
        models.opened(path.read_bytes())


def test_empty_and_scalar_tensors_are_read() -> None:
    opened = models.opened(
        save({"none": np.empty((0, 7), dtype=np.float32), "one": np.array(3.0, dtype=np.float32)})
    )
    assert opened.read("none").shape == (0, 7)
    np.testing.assert_array_equal(opened.read("one"), [3.0])


def test_four_bit_packings_are_refused_when_read() -> None:
    header = json.dumps({"w": {"dtype": "F4", "shape": [4, 4], "data_offsets": [0, 8]}}).encode()
    opened = models.opened(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(UnsupportedFormat, match="F4"):
        opened.read("w")


def test_a_reader_that_gives_less_than_it_promised_is_an_error() -> None:
    class Short(BytesReader):
        def read(self, start: int, stop: int) -> bytes:
            return super().read(start, min(stop, self.size_bytes // 2))

    opened = open_checkpoint({"m.safetensors": Short(models.safetensors_of(models.llama(1)))})
    with pytest.raises(UnsupportedFormat, match="cut off"):
        opened.read("model.layers.3.mlp.down_proj.weight")
