"""Which models a hub that has vLLM runs with it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from seedstock.core.errors import Invalid, ModelNotRunnable, ModelPreparing, UnsupportedFormat
from seedstock.hub.models import LocatedModel
from seedstock.settings import load
from seedstock.wiring import Hub, open_hub, reopen_hub
from tests.factories.hf_model import TOKENIZER_CONFIG, config, safetensors_bytes, tokenizer_json, weights
from tests.factories.lora import adapter_config, adapter_weights
from tests.unit.lineage.conftest import Family

LLAMA = config("llama", architectures=["LlamaForCausalLM"])
STATE = weights(LLAMA)
ADAPTER = adapter_config("ada/llama")


def files(settings: dict[str, Any]) -> dict[str, bytes]:
    return {
        "config.json": json.dumps(settings).encode(),
        "tokenizer.json": tokenizer_json(),
        "tokenizer_config.json": TOKENIZER_CONFIG,
    }


@pytest.fixture
def family(hub: Hub) -> Iterator[Family]:
    family = Family(hub)
    hub_with = open_hub(msgspec.structs.replace(hub.settings, vllm=Path(sys.executable)))
    family.hub = hub_with
    yield family
    hub_with.close()


def publish(family: Family, name: str, settings: dict[str, Any], **more: bytes) -> None:
    family.publish(f"ada/{name}", safetensors_bytes(STATE), files=files(settings) | more)


def publish_adapter(family: Family, name: str, settings: dict[str, Any]) -> None:
    matrices = safetensors_bytes(adapter_weights(STATE, ADAPTER, 1), "F32")
    held = {"adapter_config.json": json.dumps(settings).encode(), "adapter_model.safetensors": matrices}
    family.publish(f"ada/{name}", None, files=held)


def locate(family: Family, name: str) -> LocatedModel:
    return family.hub.models.locate(family.people["ada"], f"ada/{name}")


def test_safetensors_of_known_architectures_go_to_it_and_no_others(family: Family) -> None:
    publish(family, "llama", LLAMA)
    publish(family, "granite", LLAMA | {"model_type": "granite", "architectures": ["GraniteForCausalLM"]})
    publish(family, "other", LLAMA | {"model_type": "other", "architectures": ["OtherForCausalLM"]})
    publish(family, "nameless", {name: value for name, value in LLAMA.items() if name != "architectures"})
    code = {
        "model_type": "granite",
        "architectures": ["GraniteForCausalLM"],
        "auto_map": {"AutoModel": "x.Y"},
    }
    publish(family, "code", LLAMA | code)
    publish(family, "embeds", LLAMA, **{"modules.json": b"[]"})
    family.index()
    for name in ("llama", "granite"):
        found = locate(family, name).file
        assert (found.engine, Path(found.path).name) == ("vllm", "config.json")
        assert (Path(found.path).parent / "model.safetensors").read_bytes() == safetensors_bytes(STATE)
    assert locate(family, "other").file.engine == "transformers"
    assert locate(family, "embeds").file.engine == "transformers"
    for name in ("nameless", "llama:F16"):  # for llama.cpp, which is given a GGUF that has to be made first
        with pytest.raises(ModelPreparing):
            locate(family, name)
    with pytest.raises(ModelNotRunnable):
        locate(family, "code")


def test_the_estimate_is_vllm_s(family: Family) -> None:
    publish(family, "llama", LLAMA)
    family.index()
    fit = family.hub.models.fit(family.people["ada"], "ada/llama")
    assert fit.estimate.slots == 32
    assert family.hub.models.fit(family.people["ada"], "ada/llama:F16").estimate.slots == 4


def test_adapters_are_handed_over_as_they_are_published(family: Family) -> None:
    publish(family, "llama", LLAMA)
    publish_adapter(family, "adapter", ADAPTER)
    publish_adapter(family, "dora", ADAPTER | {"use_dora": True})
    family.index()
    found = locate(family, "adapter").file
    assert found.adapter is not None
    assert msgspec.structs.replace(found, adapter=None) == locate(family, "llama").file
    place = Path(found.adapter.path)
    assert sorted(path.name for path in place.parent.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert found.adapter.size_bytes == place.stat().st_size
    with pytest.raises(UnsupportedFormat, match="use_dora"):
        locate(family, "dora")


def test_the_setting_names_a_program(tmp_path: Path) -> None:
    assert load({}).vllm is None
    settings = load({"SEEDSTOCK_VLLM": sys.executable, "SEEDSTOCK_DATA": str(tmp_path)})
    assert settings.vllm == Path(sys.executable)
    hub = reopen_hub(**msgspec.to_builtins(settings, enc_hook=str))
    assert hub.settings == settings
    hub.close()
    for wrong in (str(tmp_path), str(tmp_path / "python")):
        with pytest.raises(Invalid, match="vllm is the path of a Python"):
            load({"SEEDSTOCK_VLLM": wrong})
