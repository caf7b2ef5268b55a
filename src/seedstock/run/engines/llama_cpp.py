"""llama.cpp (through the `xllamacpp` wheel) as an engine for GGUF files."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from seedstock.core.errors import ModelNotRunnable
from seedstock.run.engines.base import Ability, AdapterFile, Capabilities, Endpoint, ModelFile, Plan
from seedstock.run.engines.gguf_header import read_gguf_header
from seedstock.run.engines.llama_cpp_memory import estimate
from seedstock.run.engines.loopback import answers_ok


class LlamaCpp(msgspec.Struct, frozen=True):
    """The llama.cpp engine; `slots` is the number of requests one model answers at a time."""

    threads: int = max(1, (os.cpu_count() or 1) - 1)
    """One core is left to the hub: threads wait for one another by spinning, and with every core taken, generation
    fell from 86 to 3 tokens/s whenever anything else ran (2 cores, SmolLM2; 1 thread: 33)."""
    slots: int = 4

    @property
    def name(self) -> str:
        """Short stable name."""
        return "llama.cpp"

    @property
    def capabilities(self) -> Capabilities:
        """What llama.cpp can do; `echo` with prompt logprobs it cannot."""
        return Capabilities((".gguf",), streaming=True, reasoning_split=True, prompt_logprobs=False)

    def plan(self, model: ModelFile, memory_limit_bytes: int) -> Plan:
        """The largest of a few shapes that fits: slots are halved first, then the context down to 2048.

        A context that the request names is never shrunk, only limited to what the model was trained for.
        """
        if find_spec("xllamacpp") is None:
            raise ModelNotRunnable(
                "No engine for GGUF files is installed", hint="pip install 'seedstock[run]'"
            )
        header = read_gguf_header(Path(model.path))
        if header.get("split.count", 1) != 1 and not model.rest_bytes:
            raise ModelNotRunnable(
                "This GGUF file is one part of several", hint="run it from a repo that holds all parts"
            )
        found = estimate(header, model.weights_bytes, memory_limit_bytes, model.context, self.slots)
        found.check(memory_limit_bytes)
        return Plan(
            found.total_bytes, found.slots, found.context_tokens, found.abilities, found.micro_batch_tokens
        )

    def command(self, model: ModelFile, plan: Plan, adapters: Sequence[AdapterFile] = ()) -> Sequence[str]:
        """Run the child module with this interpreter."""
        return [
            sys.executable,
            "-m",
            "seedstock.run.engines.llama_cpp_child",
            f"--model={model.path}",
            f"--slots={plan.slots}",
            f"--context-tokens={plan.context_tokens}",
            f"--threads={self.threads}",
            f"--micro-batch-tokens={plan.micro_batch_tokens}",
            *(f"--adapter={adapter.path}" for adapter in adapters),
            *(["--embedding"] if Ability.EMBEDDINGS in plan.abilities else []),
            f"--parent-pid={os.getpid()}",
        ]

    async def is_healthy(self, endpoint: Endpoint) -> bool:
        """`/health` turns 200 once the model is loaded."""
        return await answers_ok(endpoint, "/health")
