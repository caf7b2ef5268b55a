"""What a job says, as server-sent events while it runs.

A stream shows only what is stored, in the order of the ids; who comes back with the last id gets what came after,
from whichever server process. Between looks at the database a stream is a timer on the event loop and no thread; a
database that knows whether anything changed in it (SQLite) is asked that first.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from seedstock.core.clock import iso
from seedstock.core.errors import LimitExceeded, Unavailable
from seedstock.db.job_events import EventRow
from seedstock.db.jobs import JobRow
from seedstock.http.threads import in_thread
from seedstock.jobs.service import OVER
from seedstock.wiring import Hub

_LEAST_PAUSE_S, _MOST_PAUSE_S = 0.25, 2.0
_GROWTH = 1.3
_HEARTBEAT_S = 15.0
_BATCH = 1000
_MOST_BYTES = 8 << 20
"""Of one connection; the client comes back for the rest. A client that does not read costs no more than this."""
_MOST_STREAMS, _MOST_STREAMS_PER_ACCOUNT = (
    150,
    20,
)  # of this process; the server answers 256 requests at a time


def event_json(row: EventRow) -> dict[str, Any]:
    """A log line or event as the API shows it."""
    what = {"text": row.text} if row.data is None else {"data": row.data}
    return {"id": row.id, "at": iso(row.at), "kind": row.kind} | what


class Slots:
    """How many streams are open in this process; used on the event loop only."""

    def __init__(self) -> None:
        self._open: Counter[int | None] = Counter()
        self.closing = False
        """Whether the server is stopping: streams end within seconds, and whoever follows comes back to the next one."""

    def take(self, account_id: int | None) -> None:
        """Count one more. Raises LimitExceeded."""
        if self._open[account_id] >= _MOST_STREAMS_PER_ACCOUNT or self._open.total() >= _MOST_STREAMS:
            raise LimitExceeded("Too many jobs are being followed at once", hint="close some of the streams")
        self._open[account_id] += 1

    def give_back(self, account_id: int | None) -> None:
        """Count one less."""
        self._open[account_id] -= 1
        if self._open[account_id] <= 0:
            del self._open[account_id]


SLOTS = Slots()


class JobStream(Response):
    """The answer. Whoever makes one has taken a slot for the account, and it is given back when the client is gone."""

    def __init__(self, hub: Hub, job_id: int, account_id: int | None, after: int) -> None:
        self._hub = hub
        self._job_id = job_id
        self._account_id = account_id
        self._after = after
        self.status_code = 200
        self.background = None
        self.init_headers(
            {
                "content-type": "text/event-stream; charset=utf-8",
                "cache-control": "no-store",
                "x-accel-buffering": "no",
            }
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the job is over or the client gone."""
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                async with aclosing(self._pieces(gone)) as pieces:
                    async for piece in pieces:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except OSError:
            return  # the client hung up
        finally:
            SLOTS.give_back(self._account_id)
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone

    async def _pieces(self, gone: asyncio.Future[None]) -> AsyncGenerator[bytes]:
        loop = asyncio.get_running_loop()
        teller = _Teller(self._after)
        yield b"retry: 1000\n\n"
        pause_s, sent, stamp, said_at_s = _LEAST_PAUSE_S, 0, None, loop.time()
        while not (gone.done() or SLOTS.closing):
            seen = self._hub.stamp()
            piece = b""
            if seen is None or seen != stamp:
                with suppress(Unavailable):  # the database is away: wait, it may come back
                    piece = await in_thread(self._look, teller)
                    stamp = None if teller.has_more else seen
            if not piece and loop.time() - said_at_s >= _HEARTBEAT_S:
                piece = b": still here\n\n"
            if piece:
                said_at_s, sent = loop.time(), sent + len(piece)
                yield piece
            if teller.over or sent > _MOST_BYTES:
                return
            if teller.has_more:
                continue
            pause_s = _LEAST_PAUSE_S if teller.told else min(pause_s * _GROWTH, _MOST_PAUSE_S)
            await asyncio.wait({gone}, timeout=pause_s)

    def _look(self, teller: _Teller) -> bytes:
        return teller.tell(*self._hub.jobs.follow(self._job_id, teller.after, _BATCH))


class _Teller:
    """Turns how a job stands, again and again, into events of what is new."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.over = False
        self.has_more = False
        self.told = False
        """Whether there was anything new the last time."""
        self._state: dict[str, Any] | None = None
        self._progress: dict[str, Any] | None = None

    def tell(self, job: JobRow | None, said: list[EventRow]) -> bytes:
        """The events since the last time."""
        pieces = [_event(row.kind, event_json(row), row.id) for row in said]
        self.after = said[-1].id if said else self.after
        self.has_more = len(said) == _BATCH
        if job is None:
            pieces.append(_event("end", {"state": "gone", "result": None, "error": "The job was forgotten"}))
            self.over = True
        else:
            pieces += self._standing(job)
        self.told = bool(pieces)
        return b"".join(pieces)

    def _standing(self, job: JobRow) -> list[bytes]:
        pieces = []
        state = {"state": job.state, "attempts": job.attempts, "error": job.error}
        if state != self._state:
            self._state = state
            pieces.append(_event("state", state))
        if job.progress and job.progress != self._progress:
            self._progress = job.progress
            pieces.append(_event("progress", job.progress))
        if job.state in OVER and not self.has_more:
            pieces.append(_event("end", {"state": job.state, "result": job.result, "error": job.error}))
            self.over = True
        return pieces


def _event(name: str, data: dict[str, Any], number: int | None = None) -> bytes:
    head = f"event: {name}\n" + (f"id: {number}\n" if number is not None else "")
    return head.encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
