"""The port between the supervisor and an inference engine.

An engine is a recipe for child processes: how much memory a model needs, which command serves it, and
how to see that it answers. The child speaks OpenAI-shaped HTTP on a loopback port.

Handshake, the same for every engine: the child reads one JSON `Secrets` line from stdin and then watches
stdin for its end (the supervisor is gone); it writes one JSON `Ready` line to the stdout it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

SERVED_MODEL = "seedstock-engine"
"""The model id that every child answers with; `run/openai_answers.py` replaces it by the id the caller used."""


class Ability(StrEnum):
    """What one model can do and another cannot."""

    GENERATION = "generation"
    EMBEDDINGS = "embeddings"
    TOOLS = "tools"
    """Its chat template has a place for tools."""
    REASONING_EFFORT = "reasoning_effort"
    """Its chat template heeds how long it should think."""
    IMAGES = "images"
    """It sees."""


class Dialect(StrEnum):
    """Whose words an engine uses where OpenAI's API has none, or more than one."""

    LLAMA_CPP = "llama.cpp"
    VLLM = "vllm"


class AdapterFile(msgspec.Struct, frozen=True):
    """A change to a loaded model, small beside it; `key` names its content."""

    key: str
    path: str
    size_bytes: int
    rest_bytes: int = 0
    """Of memory that it takes beyond the size of its file."""

    @property
    def memory_bytes(self) -> int:
        """What it takes when it is loaded."""
        return self.size_bytes + self.rest_bytes


class ModelFile(msgspec.Struct, frozen=True):
    """One model on disk.

    `key` names its content (normally a SHA-256); `path` is absolute; `context` asks for tokens per slot.
    """

    key: str
    path: str
    size_bytes: int
    context: int | None = None
    rest_bytes: int = 0
    """Of further parts that lie beside the first."""
    adapter: AdapterFile | None = None
    """Asked for with the model, and served from the same weights as the model without it."""
    engine: str = "llama.cpp"
    """The name of the engine that runs it."""

    @property
    def weights_bytes(self) -> int:
        """All parts together."""
        return self.size_bytes + self.rest_bytes


class Plan(msgspec.Struct, frozen=True):
    """How a model will be loaded; `memory_bytes` is an upper estimate, counted against the limit."""

    memory_bytes: int
    slots: int
    context_tokens: int
    abilities: tuple[Ability, ...] = (Ability.GENERATION,)
    """As far as the file tells; the running model may add to them."""
    micro_batch_tokens: int = 512
    dtype: str = ""
    """Element type of the arithmetic, where the engine has a choice."""
    speaks_messages: bool = True
    """Whether the engine knows Anthropic's API beside OpenAI's."""
    takes_adapters: bool = False
    """Whether a running model takes up adapters, each with the first request for it; else it is started anew with them."""
    dialect: Dialect = Dialect.LLAMA_CPP
    cache_bytes: int = 0
    """Of `memory_bytes`, for keys and values; only where the engine is told."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where a running model answers; `context_tokens` holds for each of the `slots`.

    `abilities` are those that models differ in.
    """

    base_url: str
    api_key: str
    slots: int
    context_tokens: int
    abilities: tuple[Ability, ...] = ()
    adapters: int = 0
    """How many adapters are loaded beside the model."""
    adapter: int | None = None
    """Which of them the lease is for."""
    held: tuple[AdapterFile, ...] = ()
    """Of an engine that takes adapters up while it runs: all that it may keep by now, the lease's among them."""
    speaks_messages: bool = True
    """Whether it knows Anthropic's API beside OpenAI's."""
    dialect: Dialect = Dialect.LLAMA_CPP


class Secrets(msgspec.Struct, frozen=True):
    """First line on a child's stdin; not in argv, which every local user can read."""

    api_key: str


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """A child's only line on stdout: the port it listens on and what the model can do, or why it cannot be loaded."""

    port: int = 0
    error: str = ""
    abilities: tuple[Ability, ...] = ()


class Capabilities(msgspec.Struct, frozen=True):
    """What an engine can do, for callers that choose one."""

    file_suffixes: tuple[str, ...]
    streaming: bool
    reasoning_split: bool
    prompt_logprobs: bool


class Engine(Protocol):
    """A kind of inference server."""

    @property
    def name(self) -> str:
        """Short stable name, for logs and status."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the engine can do."""
        ...

    def plan(self, model: ModelFile, memory_limit_bytes: int) -> Plan:
        """Decide slots and context so that the model fits. Reads the file header; may block.

        Raises ModelNotRunnable if it can never fit or the engine cannot load such a file, and
        UnsupportedFormat if the header is damaged.
        """
        ...

    def command(self, model: ModelFile, plan: Plan, adapters: Sequence[AdapterFile] = ()) -> Sequence[str]:
        """Argument list of the child process; it answers with the adapter of the number that a request names."""
        ...

    async def is_healthy(self, endpoint: Endpoint) -> bool:
        """Whether the child answers."""
        ...
