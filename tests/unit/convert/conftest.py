"""Conversion of models in memory, and the real llama.cpp to judge the result."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seedstock.convert.adapter import plan_adapter, read_adapter_config
from seedstock.convert.from_safetensors import ModelFiles, plan_from_safetensors
from seedstock.convert.mixtures import find_target
from seedstock.convert.plan import Plan, write
from seedstock.convert.requantise import plan_requantising
from seedstock.metadata.source import BytesReader
from seedstock.weights.checkpoint import open_checkpoint
from tests.factories.hf_model import TOKENIZER_CONFIG, State, safetensors_bytes, tokenizer_json

Ask = Callable[..., list[Any]]


def model_files(settings: dict[str, Any], tokenizer: bytes | None = None) -> ModelFiles:
    return ModelFiles("tiny", json.dumps(settings).encode(), tokenizer or tokenizer_json(), TOKENIZER_CONFIG)


def convert(state: State, files: ModelFiles, target: str, dtype: str = "F32") -> tuple[Plan, bytes]:
    """A GGUF of a safetensors model."""
    checkpoint = open_checkpoint({"model.safetensors": BytesReader(safetensors_bytes(state, dtype))})
    plan = plan_from_safetensors(checkpoint, files, find_target(target))
    plan.check(checkpoint)
    pieces: list[bytes] = []
    write(plan, checkpoint, pieces.append)
    return plan, b"".join(pieces)


def convert_adapter(adapter: bytes, settings: dict[str, Any], base: bytes) -> bytes:
    """A GGUF adapter of one that PEFT saved, for a base that is a GGUF."""
    checkpoint = open_checkpoint({"adapter_model.safetensors": BytesReader(adapter)})
    made = open_checkpoint({"base.gguf": BytesReader(base)})
    plan = plan_adapter(checkpoint, read_adapter_config(json.dumps(settings).encode()), made)
    plan.check(checkpoint)
    pieces: list[bytes] = []
    write(plan, checkpoint, pieces.append)
    return b"".join(pieces)


def requantise(source: bytes, target: str) -> tuple[Plan, bytes]:
    """A GGUF of a GGUF."""
    reader = BytesReader(source)
    checkpoint = open_checkpoint({"model.gguf": reader})
    plan = plan_requantising(checkpoint, reader, find_target(target))
    plan.check(checkpoint)
    pieces: list[bytes] = []
    write(plan, checkpoint, pieces.append)
    return plan, b"".join(pieces)


@pytest.fixture
def ask() -> Ask:
    """Send requests to llama.cpp's own server."""
    pytest.importorskip("xllamacpp", reason="the `run` extra is not installed")

    def asked(model: Path, requests: list[tuple[str, dict[str, Any]]], *adapters: Path) -> list[Any]:
        script = Path(__file__).with_name("ask_llama_cpp.py")
        done = subprocess.run(
            [sys.executable, str(script), str(model), "128", *map(str, adapters)],
            input=json.dumps(requests),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWERS ")]
        assert lines, done.stderr[-3000:]
        answers: list[Any] = json.loads(lines[-1].removeprefix("ANSWERS "))
        return answers

    return asked
