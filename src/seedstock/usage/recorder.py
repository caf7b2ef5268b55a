"""Counts what is asked of models in memory, and adds it to the database every two seconds.

A worker that is killed loses what it counted since it last wrote: at most `FLUSH_S`, and the answers under way. What
cannot be written is kept and tried again.
"""

from __future__ import annotations

import logging
from threading import Event, Lock, Thread
from typing import Protocol

import sqlalchemy.exc

from seedstock.core.clock import DAY_MS, Clock
from seedstock.core.errors import HubError
from seedstock.db.engine import Database
from seedstock.db.usage import UsageKey, UsageSums, add_usage
from seedstock.usage.rules import Caller

log = logging.getLogger("seedstock.usage")

FLUSH_S = 2.0


class UsageRecorder:
    """The counts of one process. Its thread starts with the first, for a process that forks later has none to lose."""

    def __init__(self, database: Database, clock: Clock, flush_s: float = FLUSH_S) -> None:
        self._database = database
        self._clock = clock
        self._flush_s = flush_s
        self._sums: dict[UsageKey, UsageSums] = {}
        self._lock = Lock()
        self._writing = Lock()
        self._over = Event()
        self._thread: Thread | None = None

    def record(self, caller: Caller, model: str, sums: UsageSums) -> None:
        """Count one request; takes no longer than adding numbers."""
        key = UsageKey(self._clock() // DAY_MS, caller.account_id, caller.token_id or 0, model[:250])
        with self._lock:
            found = self._sums.get(key)
            if found is None:
                self._sums[key] = found = UsageSums()
            found.add(sums)
            if self._thread is None and not self._over.is_set():
                self._thread = Thread(target=self._run, name="seedstock-usage", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Write what was counted. Raises StoreUnreachable, with nothing lost."""
        with self._writing:
            with self._lock:
                sums, self._sums = self._sums, {}
            if not sums:
                return
            try:
                with self._database.write() as connection:
                    add_usage(connection, sums)
            except BaseException:
                with self._lock:
                    for key, one in sums.items():
                        self._sums.setdefault(key, UsageSums()).add(one)
                raise

    def close(self) -> None:
        """Write the rest, and end the thread."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._over.wait(self._flush_s):
            try:
                self.flush()
            except (HubError, sqlalchemy.exc.SQLAlchemyError) as error:
                log.warning("usage is kept in memory for now: %s", str(error)[:200])


class Counted(Protocol):
    """What a tally says of an answer."""

    @property
    def prompt_tokens(self) -> int:
        """Cached ones among them."""
        ...

    @property
    def cached_tokens(self) -> int:
        """Those that the engine had kept."""
        ...

    @property
    def completion_tokens(self) -> int:
        """Those that were made."""
        ...


def sums_of(counted: Counted, *, failed: bool, duration_s: float) -> UsageSums:
    """One request's share of the sums."""
    return UsageSums(
        requests=1,
        failures=int(failed),
        prompt_tokens=counted.prompt_tokens,
        cached_tokens=counted.cached_tokens,
        completion_tokens=counted.completion_tokens,
        duration_ms=round(duration_s * 1000),
    )
