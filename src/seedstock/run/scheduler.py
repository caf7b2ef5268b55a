"""Which models are in memory, and who may use them.

Level-triggered: every event (a request, a release, a child's end) ends in `_settle`, which walks the
queue oldest first and does whatever is possible now. Invariants: the estimates of all living children,
those being killed included, never pass the limit; a model with a lease is never evicted.

Fairness: loads are strictly first come, first served. A request for a loaded model may overtake one
that waits for memory, but only for `patience_s`: then the hub stops granting for up to `drain_s`, so that
leases run out and memory becomes free. It does not stop for longer, as some lease may be held for hours.

Adapters: a request for an adapter that its model was not loaded with has the model loaded anew. One that nobody uses
is ended first; one in use answers on beside its successor if memory allows, and takes no more requests. Some engines take
adapters up while they run; which ones they keep is said with every lease.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from seedstock.core.errors import EngineBusy, EngineFailed, HubError, ModelNotRunnable
from seedstock.run.adapter_shelf import MAX_ADAPTERS, AdapterShelf
from seedstock.run.engine_process import start_engine
from seedstock.run.engines.base import Ability, Endpoint, Engine, ModelFile, Plan
from seedstock.run.failures import FailureLog
from seedstock.run.leases import Identity, Loaded, Notify, Ticket
from seedstock.run.wire import State, Status


class Limits(msgspec.Struct, frozen=True):
    """What the supervisor may spend."""

    memory_limit_bytes: int
    idle_timeout_s: float = 300.0
    queue_limit: int = 64
    start_timeout_s: float = 300.0
    patience_s: float = 15.0
    drain_s: float = 60.0


class Scheduler:
    """Owner of all engine children; must live in one event loop."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self._failures = FailureLog()
        self._models: dict[Identity, Loaded] = {}
        self._stopping: set[Loaded] = set()
        self._shelf = AdapterShelf()
        self._waiting: list[Ticket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def acquire(self, model: ModelFile, notify: Notify) -> tuple[Ticket, Endpoint]:
        """Wait for a slot of `model`; give it back with `release`.

        Raises EngineBusy if the queue is full, ModelNotRunnable, or EngineFailed.
        """
        if len(self._waiting) >= self._limits.queue_limit:
            raise EngineBusy(f"{len(self._waiting)} requests already wait for an engine")
        plan = await self._plan(model)
        ticket = Ticket(model, plan, notify, time.monotonic())
        self._waiting.append(ticket)
        self._settle()
        try:
            return ticket, await ticket.granted
        except BaseException:
            self.release(ticket)
            raise

    async def _plan(self, model: ModelFile) -> Plan:
        """The plan a loaded model runs by; else a new one, which reads the file header (70 ms, measured)."""
        loaded = self._models.get((model.key, model.context))
        limit = self._limits.memory_limit_bytes - (model.adapter.memory_bytes if model.adapter else 0)
        if loaded is not None and loaded.plan.memory_bytes <= limit:
            plan = loaded.plan
        else:
            plan = await asyncio.to_thread(self._engine.plan, model, limit)
        if model.adapter is not None and Ability.EMBEDDINGS in plan.abilities:
            raise ModelNotRunnable("Adapters of models that make embeddings are not run")
        return plan

    def release(self, ticket: Ticket) -> None:
        """Give a lease back, or leave the queue; harmless when repeated."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)
        loaded = ticket.holder
        if loaded is not None and ticket in loaded.leases:
            loaded.leases.discard(ticket)
            loaded.used_s = time.monotonic()
            if loaded.retiring:
                self._stop(loaded)
            else:
                loaded.expire_in(self._limits.idle_timeout_s, self._unload)
        self._settle()

    def status(self) -> Status:
        """A snapshot for people and metrics."""
        now_s = time.monotonic()
        models = [loaded.status(now_s) for loaded in (*self._models.values(), *self._stopping)]
        limit = self._limits.memory_limit_bytes
        return Status(self._engine.name, limit, self._memory_bytes(), len(self._waiting), models)

    async def close(self) -> None:
        """Kill every child, wait until all are gone, and fail every request."""
        self._closed = True
        for ticket in list(self._waiting):
            self._refuse(ticket, EngineFailed("The hub is shutting down"))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _settle(self) -> None:
        """Do whatever is possible now, oldest request first."""
        if self._closed:
            return
        now_s = time.monotonic()
        memory_wanted_since_s: float | None = None
        for position, ticket in enumerate(list(self._waiting)):
            loaded = self._models.get(ticket.identity)
            draining = memory_wanted_since_s is not None and self._is_draining(now_s - memory_wanted_since_s)
            if loaded is not None and loaded.serves(ticket.adapter):
                self._grant_or_queue(ticket, loaded, position, draining=draining)
            elif (failure := self._failure_of(ticket, now_s)) is not None:
                self._refuse(ticket, failure)
            elif loaded is not None and loaded.endpoint is None:
                ticket.tell(State.LOADING)  # without the adapter; then anew
            elif memory_wanted_since_s is None and self._make_room_for(ticket, loaded):
                self._begin_load(ticket)
            else:
                if memory_wanted_since_s is None:
                    memory_wanted_since_s = ticket.since_s
                    self._settle_after_drain(ticket)
                ticket.tell(State.QUEUED, f"position {position + 1}")

    def _failure_of(self, ticket: Ticket, now_s: float) -> HubError | None:
        """What keeps the model from being loaded, or its adapter."""
        failure = self._failures.find(ticket.identity, now_s)
        if failure is None and ticket.adapter is not None:
            failure = self._failures.find((ticket.identity, ticket.adapter.key), now_s)
        return failure

    def _is_draining(self, waited_s: float) -> bool:
        return self._limits.patience_s < waited_s < self._limits.patience_s + self._limits.drain_s

    def _settle_after_drain(self, ticket: Ticket) -> None:
        """Requests held back for `ticket` must not wait for an unrelated event once the drain is over."""
        if not ticket.starving:
            ticket.starving = True
            delay_s = self._limits.patience_s + self._limits.drain_s
            asyncio.get_running_loop().call_later(delay_s, self._settle)

    def _grant_or_queue(self, ticket: Ticket, loaded: Loaded, position: int, *, draining: bool) -> None:
        if loaded.endpoint is None:
            ticket.tell(State.LOADING)
        elif draining or len(loaded.leases) >= loaded.plan.slots or not self._take_up(ticket, loaded):
            ticket.tell(State.QUEUED, f"position {position + 1}")
        else:
            self._waiting.remove(ticket)
            loaded.leases.add(ticket)
            ticket.holder = loaded
            self._shelf.use(ticket)
            loaded.keep()
            ticket.grant(loaded.endpoint_for(ticket.adapter, loaded.endpoint))

    def _take_up(self, ticket: Ticket, loaded: Loaded) -> bool:
        """Whether a running model has the ticket's adapter by now; for one that lacks memory, idle models make way."""
        adapter = ticket.adapter
        if adapter is None or not loaded.plan.takes_adapters:
            return True
        room = self._limits.memory_limit_bytes - self._memory_bytes()
        return loaded.take_up(adapter, room, MAX_ADAPTERS) or self._make_room(adapter.memory_bytes)

    def _refuse(self, ticket: Ticket, error: HubError) -> None:
        self._waiting.remove(ticket)
        ticket.refuse(error)

    def _memory_bytes(self) -> int:
        return sum(loaded.memory_bytes for loaded in (*self._models.values(), *self._stopping))

    def _make_room_for(self, ticket: Ticket, loaded: Loaded | None) -> bool:
        """Whether the ticket's model can be loaded now; one that runs without the ticket's adapter makes way."""
        if loaded is None:
            return self._make_room(ticket.memory_bytes)
        if loaded.evictable:
            self._stop(loaded)
            return False
        if self._memory_bytes() + ticket.memory_bytes > self._limits.memory_limit_bytes:
            return False
        loaded.retiring = True
        del self._models[loaded.identity]
        self._stopping.add(loaded)
        return True

    def _make_room(self, need_bytes: int) -> bool:
        """Whether `need_bytes` are free now; if not, evict idle models, least recently used first."""
        limit = self._limits.memory_limit_bytes
        if self._memory_bytes() + need_bytes <= limit:
            return True
        lacking = sum(loaded.memory_bytes for loaded in self._models.values()) + need_bytes - limit
        idle = sorted(
            (loaded for loaded in self._models.values() if loaded.evictable), key=lambda one: one.used_s
        )
        if sum(loaded.memory_bytes for loaded in idle) >= lacking:
            for loaded in idle:
                if lacking <= 0:
                    break
                lacking -= loaded.memory_bytes
                self._unload(loaded)
        return False

    def _begin_load(self, ticket: Ticket) -> None:
        room = self._limits.memory_limit_bytes - self._memory_bytes() - ticket.plan.memory_bytes
        adapters = () if ticket.plan.takes_adapters else self._shelf.choose(ticket, self._waiting, room)
        loaded = Loaded(ticket, adapters, time.monotonic())
        self._models[loaded.identity] = loaded
        ticket.tell(State.LOADING)
        task = asyncio.create_task(self._tend(loaded))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tend(self, loaded: Loaded) -> None:
        """A model's whole life: start the child, watch it, note its end."""
        timeout_s = self._limits.start_timeout_s
        try:
            process = await start_engine(
                self._engine,
                loaded.model,
                loaded.plan,
                start_timeout_s=timeout_s,
                adapters=loaded.adapters,
            )
        except HubError as error:
            self._on_failed_start(loaded, error)
            return
        loaded.process = process
        self._shelf.started(loaded.identity)
        loaded.ready_s = loaded.used_s = time.monotonic()
        loaded.expire_in(self._limits.idle_timeout_s, self._unload)
        self._settle()
        try:
            ending = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        self._on_exit(loaded, ending)

    def _on_failed_start(self, loaded: Loaded, error: HubError) -> None:
        del self._models[loaded.identity]
        blamed = self._shelf.blame(loaded)
        if blamed is not None or not loaded.adapters:
            at_fault = loaded.identity if blamed is None else (loaded.identity, blamed.key)
            self._failures.add(at_fault, error, time.monotonic())
            for ticket in [one for one in self._waiting if one.identity == loaded.identity]:
                if blamed is None or (ticket.adapter is not None and ticket.adapter.key == blamed.key):
                    self._refuse(ticket, error)
        self._settle()

    def _on_exit(self, loaded: Loaded, ending: str) -> None:
        loaded.keep()
        self._stopping.discard(loaded)
        if not loaded.stopping:
            now_s = time.monotonic()
            error = EngineFailed(f"The engine died: {ending}")
            self._failures.add(loaded.identity, error, now_s, ran_s=now_s - loaded.ready_s)
            if self._models.get(loaded.identity) is loaded:
                del self._models[loaded.identity]
            for ticket in loaded.leases:
                ticket.lost.set_result(error)
        self._settle()

    def _unload(self, loaded: Loaded) -> None:
        """End an unused model, and forget which adapters it had."""
        self._shelf.forget(loaded.identity)
        self._stop(loaded)

    def _stop(self, loaded: Loaded) -> None:
        """Kill an unused model; its memory counts until the process is gone."""
        if loaded.process is not None and loaded.evictable:
            loaded.stopping = True
            if self._models.get(loaded.identity) is loaded:
                del self._models[loaded.identity]
            self._stopping.add(loaded)
            loaded.process.kill()
