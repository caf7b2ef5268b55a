"""Several engines as one: each model says which of them runs it."""

from __future__ import annotations

from collections.abc import Sequence

from seedstock.core.errors import ModelNotRunnable
from seedstock.run.engines.base import AdapterFile, Capabilities, Endpoint, Engine, ModelFile, Plan
from seedstock.run.engines.loopback import answers_ok


class ByModel:
    """An engine that hands each model to the one that it names."""

    def __init__(self, *engines: Engine) -> None:
        self._engines = {engine.name: engine for engine in engines}

    @property
    def name(self) -> str:
        """All their names."""
        return ", ".join(self._engines)

    @property
    def capabilities(self) -> Capabilities:
        """What one or the other can do."""
        each = [engine.capabilities for engine in self._engines.values()]
        return Capabilities(
            tuple(suffix for one in each for suffix in one.file_suffixes),
            streaming=all(one.streaming for one in each),
            reasoning_split=all(one.reasoning_split for one in each),
            prompt_logprobs=all(one.prompt_logprobs for one in each),
        )

    def plan(self, model: ModelFile, memory_limit_bytes: int) -> Plan:
        """As the model's engine plans."""
        return self._of(model).plan(model, memory_limit_bytes)

    def command(self, model: ModelFile, plan: Plan, adapters: Sequence[AdapterFile] = ()) -> Sequence[str]:
        """As the model's engine starts it."""
        return self._of(model).command(model, plan, adapters)

    async def is_healthy(self, endpoint: Endpoint) -> bool:
        """`/health`, which every child here answers."""
        return await answers_ok(endpoint, "/health")

    def _of(self, model: ModelFile) -> Engine:
        found = self._engines.get(model.engine)
        if found is None:
            raise ModelNotRunnable(f"This hub has no engine {model.engine}")
        return found
