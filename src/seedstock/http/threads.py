"""Runs blocking work off the event loop.

A pool of its own, because every request passes here: a call and its result cost about 15 µs, where the
loop's executor takes 55 µs and anyio 160 µs (which copies the context and starts a cancel scope each time).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

MAX_THREADS = 40

_Task = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class ThreadPool:
    """Threads that start when all others are busy, up to a limit; calls beyond it wait their turn."""

    def __init__(self, max_threads: int = MAX_THREADS) -> None:
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._max_threads = max_threads
        self._lock = threading.Lock()
        self._threads = 0
        self._pending = 0
        """Calls that wait or run. More of them than threads: one more thread is worth its start."""

    def submit(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run a call in some thread; to be called on an event loop, which gets the outcome."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            self._pending += 1
            starts = self._pending > self._threads and self._threads < self._max_threads
            self._threads += starts
        self._tasks.put((loop, future, work))
        if starts:
            threading.Thread(target=self._serve, name="seedstock-work", daemon=True).start()
        return future

    def _serve(self) -> None:
        while True:
            loop, future, work = self._tasks.get()
            try:
                settle = partial(_settle, future, work(), None)
            except BaseException as error:  # noqa: BLE001 - it is the caller's to handle
                settle = partial(_settle, future, None, error)
            with self._lock:
                self._pending -= 1
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle)
            # The next call may be long in coming; nothing of this one is to live until then.
            del loop, future, work, settle


def _settle(future: asyncio.Future[T], result: T, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


_POOL = ThreadPool()
_END = object()


async def in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """The result of a blocking call, or what it raised."""
    return await _POOL.submit(partial(work, *arguments))


async def iterate_in_thread(pieces: Iterator[T]) -> AsyncIterator[T]:
    """The items of a blocking iterator."""
    while (piece := await _POOL.submit(lambda: next(pieces, _END))) is not _END:
        yield piece  # type: ignore[misc] # the sentinel is excluded above
