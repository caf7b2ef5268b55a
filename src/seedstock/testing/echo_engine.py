"""A second engine: serves a JSON `Behaviour` file by echoing, fast enough to test the supervisor with.

`python -m seedstock.testing.echo_engine --socket ...` is the supervisor with this engine in it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from seedstock.core.errors import ModelNotRunnable
from seedstock.run.engines.base import AdapterFile, Capabilities, Endpoint, ModelFile, Plan
from seedstock.run.engines.loopback import answers_ok


class Behaviour(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model file of this engine says about itself.

    A prompt whose last word is `crash` kills the child after one token; `slow` makes it answer forever.
    An adapter is a text that answers begin with; with the adapter `bad` it does not start.
    """

    memory_bytes: int = 100
    slots: int = 2
    load_s: float = 0.0
    load_error: str = ""
    crash_on_load: bool = False
    takes_adapters: bool = False


def read_behaviour(model_path: str) -> Behaviour:
    """Parse a model file."""
    return msgspec.json.decode(Path(model_path).read_bytes(), type=Behaviour)


class EchoEngine(msgspec.Struct, frozen=True):
    """Echoes the last message, one word per event."""

    @property
    def name(self) -> str:
        """Short stable name."""
        return "echo"

    @property
    def capabilities(self) -> Capabilities:
        """Streaming only."""
        return Capabilities((".json",), streaming=True, reasoning_split=False, prompt_logprobs=False)

    def plan(self, model: ModelFile, memory_limit_bytes: int) -> Plan:
        """As the model file says."""
        behaviour = read_behaviour(model.path)
        if behaviour.memory_bytes > memory_limit_bytes:
            raise ModelNotRunnable(f"This model needs {behaviour.memory_bytes} bytes of {memory_limit_bytes}")
        shape = behaviour.memory_bytes, behaviour.slots, model.context or 64
        return Plan(*shape, takes_adapters=behaviour.takes_adapters)

    def command(self, model: ModelFile, plan: Plan, adapters: Sequence[AdapterFile] = ()) -> Sequence[str]:
        """Run the child module with this interpreter."""
        module = "seedstock.testing.echo_engine_child"
        numbers = [str(os.getpid()), str(plan.context_tokens)]
        return [sys.executable, "-m", module, model.path, *numbers, *(one.path for one in adapters)]

    async def is_healthy(self, endpoint: Endpoint) -> bool:
        """Whether `/health` answers 200."""
        return await answers_ok(endpoint, "/health")


def main() -> int:
    """Serve echoes."""
    from seedstock.run import supervisor

    return supervisor.run(supervisor.parse_options(sys.argv[1:]), EchoEngine())


if __name__ == "__main__":
    sys.exit(main())
