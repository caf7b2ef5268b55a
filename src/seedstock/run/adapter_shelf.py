"""Which adapters are loaded together with a model.

An engine loads adapters only when it starts, so that one more means starting anew: all that are wanted or were used
lately are loaded at once, the most recently used first, as many as memory and `MAX_ADAPTERS` allow.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from seedstock.run.engines.base import AdapterFile
from seedstock.run.leases import Identity, Loaded, Ticket

MAX_ADAPTERS = 32


class AdapterShelf:
    """The adapters that each model was asked for since it was last unloaded."""

    def __init__(self) -> None:
        self._recent: dict[Identity, dict[str, AdapterFile]] = {}
        self._careful: set[Identity] = set()
        """Models that did not start with several adapters: any of those may be at fault."""

    def use(self, ticket: Ticket) -> None:
        """Note that an adapter is used."""
        if ticket.adapter is not None:
            recent = self._recent.setdefault(ticket.identity, {})
            recent.pop(ticket.adapter.key, None)
            recent[ticket.adapter.key] = ticket.adapter
            while len(recent) > MAX_ADAPTERS:
                del recent[next(iter(recent))]

    def forget(self, identity: Identity) -> None:
        """The model is unloaded, or one of its adapters cannot be."""
        self._recent.pop(identity, None)

    def choose(self, ticket: Ticket, waiting: Iterable[Ticket], room_bytes: int) -> tuple[AdapterFile, ...]:
        """What to load for `ticket`: its own adapter, those of other requests, and those used lately."""
        chosen = {} if ticket.adapter is None else {ticket.adapter.key: ticket.adapter}
        if ticket.identity in self._careful:
            return tuple(chosen.values())
        others = [one.adapter for one in waiting if one.identity == ticket.identity and one.adapter]
        others += reversed(self._recent.get(ticket.identity, {}).values())
        room_bytes -= sum(one.memory_bytes for one in chosen.values())
        for other in others:
            fits = len(chosen) < MAX_ADAPTERS and other.memory_bytes <= room_bytes
            if other.key not in chosen and fits and Path(other.path).exists():
                chosen[other.key] = other
                room_bytes -= other.memory_bytes
        return tuple(chosen.values())

    def started(self, identity: Identity) -> None:
        """Everything that was chosen loads."""
        self._careful.discard(identity)

    def blame(self, loaded: Loaded) -> AdapterFile | None:
        """The adapter that kept a model from starting, if it was loaded with just one; with several, try one at a time."""
        self.forget(loaded.identity)
        if len(loaded.adapters) > 1:
            self._careful.add(loaded.identity)
        return loaded.adapters[0] if len(loaded.adapters) == 1 else None
