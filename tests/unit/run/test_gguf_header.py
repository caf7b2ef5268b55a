from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.factories.gguf_model import write_tiny_llama

from seedstock.core.errors import HubError, UnsupportedFormat
from seedstock.run.engines.base import ModelFile
from seedstock.run.engines.gguf_header import read_gguf_header
from seedstock.run.engines.llama_cpp import LlamaCpp


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_tiny_llama(tmp_path_factory.mktemp("gguf") / "tiny.gguf").read_bytes()


def header_of(path: Path, data: bytes) -> dict[str, object]:
    path.write_bytes(data)
    return dict(read_gguf_header(path))


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf_file(*pairs: bytes, version: int = 3, keys: int | None = None) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, 0, len(pairs) if keys is None else keys) + b"".join(pairs)


def test_it_reads_what_the_public_writer_writes(tmp_path: Path, tiny: bytes) -> None:
    header = header_of(tmp_path / "m", tiny)
    assert header["general.architecture"] == "llama"
    assert header["llama.context_length"] == 512
    assert header["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-5)
    assert len(header["tokenizer.ggml.tokens"]) == 288


def test_long_arrays_are_stepped_over(tmp_path: Path) -> None:
    words = text("words") + struct.pack("<IIQ", 9, 8, 2000) + text("word") * 2000
    numbers = text("numbers") + struct.pack("<IIQ", 9, 4, 2000) + bytes(8000)
    layers = text("layers") + struct.pack("<IIQ3i", 9, 5, 3, 1, -2, 3)
    last = text("last") + struct.pack("<I?", 7, True)
    assert header_of(tmp_path / "m", gguf_file(words, numbers, layers, last)) == {
        "layers": [1, -2, 3],
        "last": True,
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGU",
        b"GGUF",
        gguf_file(version=1),
        gguf_file(keys=1),
        gguf_file(keys=1 << 60),
        gguf_file(struct.pack("<Q", 1 << 62)),
        gguf_file(text("k") + struct.pack("<I", 99)),
        gguf_file(text("k") + struct.pack("<IIQ", 9, 9, 1)),
        gguf_file(text("k") + struct.pack("<IIQ", 9, 10, 1 << 61)),
    ],
)
def test_damage_is_named_and_never_followed(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UnsupportedFormat):
        header_of(tmp_path / "m", data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutated_header_gives_a_plan_or_one_of_our_errors(
    data: st.DataObject, tmp_path: Path, tiny: bytes
) -> None:
    mutated = bytearray(tiny[:1200])
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "m"
    path.write_bytes(mutated + tiny[1200:])
    try:
        plan = LlamaCpp(threads=1).plan(ModelFile("m", str(path), len(tiny)), 1 << 33)
    except HubError:
        return
    assert 0 < plan.memory_bytes <= 1 << 33
    assert plan.context_tokens > 0
