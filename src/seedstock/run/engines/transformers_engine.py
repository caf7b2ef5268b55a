"""transformers as an engine: safetensors models of any architecture that it knows, and encoders that embed.

Slower than llama.cpp and without its batching (one request at a time; several choices of one are written together), so
it runs what llama.cpp does not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from seedstock.core.errors import ModelNotRunnable
from seedstock.run.engines.base import AdapterFile, Capabilities, Endpoint, ModelFile, Plan
from seedstock.run.engines.llama_cpp import LlamaCpp
from seedstock.run.engines.loopback import answers_ok
from seedstock.run.engines.model_shape import read_folder
from seedstock.run.engines.transformers_memory import estimate

NAME = "transformers"
MODULES = "modules.json"
"""Of a model that embeds: how, as sentence-transformers writes it."""

IMAGE_SETTINGS = frozenset({"preprocessor_config.json", "processor_config.json"})
"""Of a model that sees: how images are prepared for it; one of them."""


class Transformers(msgspec.Struct, frozen=True):
    """The transformers engine; a model's `path` is the `config.json` of a folder that holds all of it."""

    threads: int = msgspec.field(default_factory=lambda: LlamaCpp().threads)

    @property
    def name(self) -> str:
        """Short stable name."""
        return NAME

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return Capabilities((".safetensors",), streaming=True, reasoning_split=True, prompt_logprobs=False)

    def plan(self, model: ModelFile, memory_limit_bytes: int) -> Plan:
        """One slot, in float32 if that fits and else in bfloat16, with the longest context that fits."""
        if find_spec("torch") is None or find_spec("transformers") is None:
            raise ModelNotRunnable(
                "Models of this architecture run with transformers, which is not installed",
                hint="pip install 'seedstock[adapt]'",
            )
        folder = Path(model.path).parent
        config, parameters = read_folder(folder)
        embeds = (folder / MODULES).exists()
        found, dtype = estimate(config, parameters, memory_limit_bytes, model.context, embeds=embeds)
        found.check(memory_limit_bytes)
        shape = found.total_bytes, found.slots, found.context_tokens, found.abilities
        return Plan(*shape, dtype=dtype, speaks_messages=False, takes_adapters=True)

    def command(self, model: ModelFile, plan: Plan, adapters: Sequence[AdapterFile] = ()) -> Sequence[str]:
        """Run the child module with this interpreter; adapters come with the requests for them."""
        assert not adapters
        return [
            sys.executable,
            "-m",
            "seedstock.run.engines.transformers_child",
            f"--folder={Path(model.path).parent}",
            f"--context-tokens={plan.context_tokens}",
            f"--threads={self.threads}",
            f"--dtype={plan.dtype}",
            f"--parent-pid={os.getpid()}",
        ]

    async def is_healthy(self, endpoint: Endpoint) -> bool:
        """`/health` answers."""
        return await answers_ok(endpoint, "/health")
