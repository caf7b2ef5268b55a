"""The scheduler's records: a request for a model, and a model in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from seedstock.core.errors import HubError
from seedstock.run.engine_process import EngineProcess
from seedstock.run.engines.base import AdapterFile, Endpoint, ModelFile, Plan
from seedstock.run.wire import ModelStatus, State

Identity = tuple[str, int | None]
Notify = Callable[[State, str], None]


class Ticket:
    """One request for a model: first waiting, then a lease. `lost` is set if the engine dies under it."""

    def __init__(self, model: ModelFile, plan: Plan, notify: Notify, now_s: float) -> None:
        self.identity: Identity = (model.key, model.context)
        self.model = model
        self.adapter = model.adapter
        self.plan = plan
        self.holder: Loaded | None = None
        self.since_s = now_s
        self.starving = False
        loop = asyncio.get_running_loop()
        self.granted: asyncio.Future[Endpoint] = loop.create_future()
        self.lost: asyncio.Future[HubError] = loop.create_future()
        self._notify = notify
        self._told: tuple[State, str] | None = None

    @property
    def memory_bytes(self) -> int:
        """What it takes to load the model for this request alone."""
        return self.plan.memory_bytes + (self.adapter.memory_bytes if self.adapter else 0)

    def tell(self, state: State, detail: str = "") -> None:
        """Report progress, once per change."""
        if self._told != (state, detail):
            self._told = (state, detail)
            self._notify(state, detail)

    def grant(self, endpoint: Endpoint) -> None:
        """End the wait; one that was abandoned meanwhile is released by whoever abandoned it."""
        if not self.granted.done():
            self.granted.set_result(endpoint)

    def refuse(self, error: HubError) -> None:
        """End the wait with `error`."""
        if not self.granted.done():
            self.granted.set_exception(error)


class Loaded:
    """A model that is loading (`process` is None), running, stopping, or retiring: replaced, but still answering."""

    def __init__(self, ticket: Ticket, adapters: tuple[AdapterFile, ...], now_s: float) -> None:
        self.identity = ticket.identity
        self.adapters = adapters
        self.model = ticket.model
        self.plan = ticket.plan
        self.process: EngineProcess | None = None
        self.leases: set[Ticket] = set()
        self.ready_s = now_s
        self.used_s = now_s
        self.stopping = False
        self.retiring = False
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it answers, once it does."""
        return self.process.endpoint if self.process else None

    @property
    def memory_bytes(self) -> int:
        """The estimate for the model, and its adapters' files."""
        return self.plan.memory_bytes + sum(adapter.memory_bytes for adapter in self.adapters)

    def serves(self, adapter: AdapterFile | None) -> bool:
        """Whether it answers with that adapter, as it runs."""
        return (
            adapter is None
            or self.plan.takes_adapters
            or any(one.key == adapter.key for one in self.adapters)
        )

    def take_up(self, adapter: AdapterFile, room_bytes: int, most: int) -> bool:
        """Whether an adapter is among those held, or can be now; those longest unused make way."""
        used = {ticket.adapter.key for ticket in self.leases if ticket.adapter}
        others = [one for one in self.adapters if one.key != adapter.key]
        if len(others) == len(self.adapters):
            idle = [one for one in others if one.key not in used]
            while idle and (len(others) >= most or adapter.memory_bytes > room_bytes):
                others.remove(idle[0])
                room_bytes += idle.pop(0).memory_bytes
            if adapter.memory_bytes > room_bytes:
                return False
        self.adapters = (*others, adapter)
        return True

    def endpoint_for(self, adapter: AdapterFile | None, endpoint: Endpoint) -> Endpoint:
        """The endpoint, with the number of the adapter."""
        keys = [one.key for one in self.adapters]
        number = None if adapter is None else keys.index(adapter.key)
        held = self.adapters if self.plan.takes_adapters else ()
        return msgspec.structs.replace(endpoint, adapters=len(keys), adapter=number, held=held)

    @property
    def evictable(self) -> bool:
        """Running, and nobody uses it."""
        return self.process is not None and not self.leases and not self.stopping

    def expire_in(self, idle_timeout_s: float, stop: Callable[[Loaded], None]) -> None:
        """Start the idle clock."""
        self.keep()
        if self.evictable:
            self._expiry = asyncio.get_running_loop().call_later(idle_timeout_s, stop, self)

    def keep(self) -> None:
        """Stop the idle clock."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def status(self, now_s: float) -> ModelStatus:
        """A snapshot."""
        state = "ready" if self.process else "loading"
        if self.stopping or self.retiring:
            state = "stopping" if self.stopping else "retiring"
        return ModelStatus(
            key=self.model.key,
            state=state,
            pid=self.process.pid if self.process else None,
            memory_bytes=self.memory_bytes,
            leases=len(self.leases),
            slots=self.plan.slots,
            context_tokens=self.plan.context_tokens,
            idle_s=0.0 if self.leases else now_s - self.used_s,
            adapters=[adapter.key for adapter in self.adapters],
        )
