"""The pool that blocking work runs on."""

from __future__ import annotations

import asyncio
import threading

import pytest

from seedstock.http.threads import ThreadPool, in_thread, iterate_in_thread


def test_results_errors_and_items_come_back() -> None:
    async def main() -> None:
        assert await in_thread(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await in_thread(divmod, 7, 0)
        assert [item async for item in iterate_in_thread(iter([1, None, 2]))] == [1, None, 2]

    asyncio.run(main())


def test_calls_run_side_by_side_up_to_the_limit_and_the_rest_wait() -> None:
    pool, gate, inside = ThreadPool(max_threads=3), threading.Event(), threading.Semaphore(0)
    names: set[str] = set()

    def work() -> int:
        names.add(threading.current_thread().name + str(threading.get_ident()))
        inside.release()
        gate.wait()
        return 1

    async def main() -> None:
        calls = [pool.submit(work) for _ in range(7)]
        for _ in range(3):
            await asyncio.to_thread(inside.acquire)
        assert not inside.acquire(blocking=False)
        gate.set()
        assert sum(await asyncio.gather(*calls)) == 7

    asyncio.run(main())
    assert len(names) == 3


def test_a_caller_that_went_away_does_no_harm() -> None:
    pool, gate = ThreadPool(max_threads=1), threading.Event()

    async def main() -> None:
        left = pool.submit(gate.wait)
        left.cancel()
        gate.set()
        assert await pool.submit(lambda: 5) == 5

    asyncio.run(main())
