"""Ten adapters of one base take little more memory than one: measured, in the engine's own processes."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("xllamacpp", reason="the `run` extra is not installed")

from tests.factories.hf_model import State, config, safetensors_bytes
from tests.factories.lora import adapter_config, adapter_weights
from tests.unit.convert.conftest import convert, convert_adapter, model_files
from tests.unit.run.conftest import StartSupervisor, Supervisor

from seedstock.convert.architectures import LAYER_NAMES, expected_shapes, read_config
from seedstock.run.client import fetch_status
from seedstock.run.engines.base import AdapterFile, ModelFile
from seedstock.run.openai_request import Kind, parse_openai_request
from seedstock.run.service import ModelRunner

pytestmark = pytest.mark.anyio
VARIANTS = 10
SETTINGS = config(
    "llama",
    hidden_size=512,
    intermediate_size=1408,
    num_hidden_layers=16,
    num_attention_heads=8,
    num_key_value_heads=4,
    tie_word_embeddings=True,
)
ADAPTER = adapter_config(r=8)
_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def _weights() -> State:
    """Some 47 million parameters, under PEFT's names."""
    theirs = {ours: name for name, ours in LAYER_NAMES.items()}
    outer = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
    random = np.random.default_rng(0)
    state: State = {}
    parsed, _ = read_config(msgspec.json.encode(SETTINGS))
    for name, shape in expected_shapes(parsed).items():
        layer = re.match(r"blk\.(\d+)\.(\w+)\.weight\Z", name)
        stem = f"model.layers.{layer[1]}.{theirs[layer[2]]}" if layer else outer[name.removesuffix(".weight")]
        values = random.standard_normal(shape, dtype=np.float32) / np.sqrt(shape[-1])
        state[f"{stem}.weight"] = values if len(shape) > 1 else np.ones(shape, np.float32)
    return state


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> list[ModelFile]:
    folder = tmp_path_factory.mktemp("variants")
    state = _weights()
    base = folder / "base.gguf"
    base.write_bytes(convert(state, model_files(SETTINGS), "F16")[1])
    assert base.stat().st_size > 80 << 20
    found = []
    for seed in range(VARIANTS):
        path = folder / f"{seed}.gguf"
        matrices = safetensors_bytes(adapter_weights(state, ADAPTER, seed, _MODULES), "F16")
        path.write_bytes(convert_adapter(matrices, ADAPTER, base.read_bytes()))
        adapter = AdapterFile(f"adapter {seed}", str(path), path.stat().st_size)
        found.append(ModelFile("base", str(base), base.stat().st_size, adapter=adapter))
    return found


async def _resident_bytes(supervisor: Supervisor) -> int:
    """Of all engine processes, shared pages counted in each."""
    total = 0
    for model in (await fetch_status(supervisor.socket)).models:
        if model.pid is not None and Path(f"/proc/{model.pid}").exists():
            status = Path(f"/proc/{model.pid}/status").read_text()
            match = re.search(r"VmRSS:\s+(\d+) kB", status)
            assert match is not None
            total += int(match[1]) << 10
    return total


async def _answer(runner: ModelRunner, model: ModelFile) -> list[float]:
    body = {"model": "m", "prompt": [10, 77, 200, 34], "max_tokens": 4, "temperature": 0, "logprobs": 1}
    request = parse_openai_request(Kind.COMPLETION, msgspec.json.encode(body))
    answer = msgspec.json.decode(await runner.complete(model, request))
    return answer["choices"][0]["logprobs"]["token_logprobs"]


async def test_ten_adapters_take_at_most_a_third_more_memory_than_one(
    start_supervisor: StartSupervisor, variants: list[ModelFile]
) -> None:
    supervisor = await start_supervisor(
        module="seedstock.run.supervisor", memory_limit_bytes=2 << 30, threads=1
    )
    runner = ModelRunner(supervisor.socket)
    try:
        first = await _answer(runner, variants[0])
        one = await _resident_bytes(supervisor)
        most, said = 0, []
        for _ in range(2):
            for model in variants:
                said.append(await _answer(runner, model))
                most = max(most, await _resident_bytes(supervisor))
        (loaded,) = (await fetch_status(supervisor.socket)).models
    finally:
        await runner.aclose()
    assert len(loaded.adapters) == VARIANTS
    # To some thousandths: what is cached of a prompt is computed in other batches.
    assert said[0] == pytest.approx(first, abs=0.01)
    for number, (once, again) in enumerate(zip(said[:VARIANTS], said[VARIANTS:], strict=True)):
        assert once == pytest.approx(again, abs=0.01)
        assert all(once != pytest.approx(other, abs=0.01) for other in said[:number])
    print(f"one: {one / 1e6:.0f} MB, ten: {most / 1e6:.0f} MB, {most / one:.2f} x")
    assert most <= 1.3 * one
