"""llama.cpp (through the `xllamacpp` wheel) as an engine for GGUF files.

Memory estimate, an upper bound rather than a forecast: the whole file (mapped, or copied when weights
are repacked), plus an f16 key-value cache for every slot's full context with every layer treated as
full attention, plus the logits of one micro-batch, plus a fixed slack for the process and its scratch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from seedstock.core.errors import ModelNotRunnable, UnsupportedFormat
from seedstock.run.engines.base import Ability, Capabilities, Endpoint, ModelFile, Plan
from seedstock.run.engines.gguf_header import Value, read_gguf_header
from seedstock.run.engines.loopback import answers_ok

MAX_DEFAULT_CONTEXT_TOKENS = 8192
MIN_SHRUNK_CONTEXT_TOKENS = 2048
MICRO_BATCH_TOKENS = 512
SLACK_BYTES = 160 << 20  # interpreter + library 90 MB, scratch buffers of small models 20-60 MB (measured)
MAX_POOLED_TOKENS = 2048
"""The longest text that is embedded in one piece, which most ways of pooling need; more takes much scratch memory."""
_F16_BYTES = 2
_LAST = 3
_POOLINGS = frozenset({1, 2, _LAST})  # mean, of the first token, of the last; 4 ranks pairs of texts
_ENCODERS = frozenset(
    [
        "bert",
        "modern-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "jina-bert-v2",
        "jina-bert-v3",
        "neo-bert",
        "eurobert",
        "gemma-embedding",
    ]
)
_NO_TEXT = frozenset({"t5encoder", "clip", "wavtokenizer-dec"})


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
        shape = _Shape(read_gguf_header(Path(model.path)))
        plans = [
            Plan(
                shape.memory_bytes(model.size_bytes, slots * context),
                slots,
                context,
                shape.abilities,
                shape.micro_batch_tokens,
            )
            for context in _contexts(shape.context_tokens, model.context)
            for slots in _halvings(self.slots)
        ]
        for plan in plans:
            if plan.memory_bytes <= memory_limit_bytes:
                return plan
        least = plans[-1]
        raise ModelNotRunnable(
            f"This model needs about {least.memory_bytes / 1e9:.1f} GB of memory with {least.context_tokens} tokens of"
            f" context; this hub gives engines {memory_limit_bytes / 1e9:.1f} GB",
            hint="use a smaller quantisation, or raise the engine memory limit",
        )

    def command(self, model: ModelFile, plan: Plan) -> Sequence[str]:
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
            *(["--embedding"] if Ability.EMBEDDINGS in plan.abilities else []),
            f"--parent-pid={os.getpid()}",
        ]

    async def is_healthy(self, endpoint: Endpoint) -> bool:
        """`/health` turns 200 once the model is loaded."""
        return await answers_ok(endpoint, "/health")


def _halvings(count: int) -> list[int]:
    return [count >> shift for shift in range(count.bit_length())]


def _contexts(trained: int, asked: int | None) -> list[int]:
    if asked is not None:
        return [min(trained, asked)]
    contexts = [min(trained, MAX_DEFAULT_CONTEXT_TOKENS)]
    while contexts[-1] // 2 >= MIN_SHRUNK_CONTEXT_TOKENS:
        contexts.append(contexts[-1] // 2)
    return contexts


class _Shape:
    """What the estimate needs from a GGUF header."""

    def __init__(self, header: dict[str, Value]) -> None:
        self._header = header
        self._architecture = str(header.get("general.architecture", ""))
        kind = header.get("general.type", "model")
        if not self._architecture or kind != "model" or self._architecture in _NO_TEXT:
            raise ModelNotRunnable(
                f"This GGUF file holds no model of text ({kind} {self._architecture})".rstrip()
            )
        if self._number("split.count", 1, of_architecture=False) > 1:
            raise ModelNotRunnable(
                "This GGUF file is one part of several", hint="merge the parts into one file"
            )
        self._encodes = self._architecture in _ENCODERS
        pooling = self._number("pooling_type", 0)
        self._pooled = self._encodes or pooling in _POOLINGS
        self._whole = self._encodes or (self._pooled and pooling != _LAST)
        trained = self._number("context_length", 0)
        self.context_tokens = min(trained, MAX_POOLED_TOKENS) if self._encodes else trained
        self._layers = self._number("block_count", 0)
        self._width = self._number("embedding_length", 0)
        if min(self.context_tokens, self._layers, self._width) < 1:
            raise UnsupportedFormat(
                "Damaged GGUF header: context_length, block_count or embedding_length is missing"
            )

    @property
    def abilities(self) -> tuple[Ability, ...]:
        """Encoders make no text; decoders make embeddings if the file says how to pool."""
        if self._encodes:
            return (Ability.EMBEDDINGS,)
        return (Ability.GENERATION, Ability.EMBEDDINGS) if self._pooled else (Ability.GENERATION,)

    @property
    def micro_batch_tokens(self) -> int:
        """How many tokens are computed at a time: all of a text, where pooling needs them together."""
        return min(self.context_tokens, MAX_POOLED_TOKENS) if self._whole else MICRO_BATCH_TOKENS

    def memory_bytes(self, file_bytes: int, cells: int) -> int:
        """Estimate for `cells` tokens of cache in all."""
        heads = max(self._per_layer("attention.head_count"))
        attention_bytes = heads * self.micro_batch_tokens**2 * 4 if self._whole else 0
        logits_bytes = (
            0 if self._encodes else self._number("vocab_size", 1 << 18) * self.micro_batch_tokens * 4
        )
        scratch_bytes = attention_bytes + logits_bytes + SLACK_BYTES
        return file_bytes + self._cell_bytes() * cells + self._state_bytes() + scratch_bytes

    def _cell_bytes(self) -> int:
        """Bytes of keys and values per token, all layers."""
        heads = max(self._per_layer("attention.head_count")) or 1
        kv_heads = self._per_layer("attention.head_count_kv", "attention.head_count")
        head_width = self._width // heads
        key = self._number("attention.key_length", head_width)
        value = self._number("attention.value_length", head_width)
        return sum(kv_heads) * (key + value) * _F16_BYTES

    def _state_bytes(self) -> int:
        """Recurrent state per sequence of Mamba-like layers, f32, for up to 8 sequences."""
        inner, state = self._number("ssm.inner_size", 0), self._number("ssm.state_size", 0)
        return inner * (state + 4) * 4 * self._layers * 8

    def _per_layer(self, *names: str) -> list[int]:
        for name in names:
            value = self._header.get(f"{self._architecture}.{name}")
            if isinstance(value, list) and value:
                return [int(item) for item in value]
            if isinstance(value, int):
                return [value] * self._layers
        return [0] * self._layers

    def _number(self, name: str, default: int, *, of_architecture: bool = True) -> int:
        value = self._header.get(f"{self._architecture}.{name}" if of_architecture else name, default)
        return int(value) if isinstance(value, int | float) else default
