"""A streamed body that waits for its reader.

Granian takes what a handler streams into a queue without end: a slow client then has the whole file in the
server's memory (600 MB for a file of 600 MB, measured). Files it reads only as fast as the client takes
them. So a long body goes through a pipe that native code reads as if it were a file; when the pipe is full,
the handler waits.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from typing import Any

PIPED_FROM_BYTES = 4 << 20
"""Shorter bodies may as well wait in memory."""
OPENING_S = 5.0
"""Native code opens a file within milliseconds, or never if the client was gone by then."""
_PIPE_BYTES = 1 << 20


class PipedBody:
    """The writing end, used on the event loop."""

    def __init__(self, protocol: Any, status: int, headers: list[tuple[str, str]]) -> None:
        self._protocol = protocol
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._writer, False)
        fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        # Native code opens this some time later; until then our own reading end must stay open.
        protocol.response_file(status, headers, f"/proc/self/fd/{self._reader}")

    async def write(self, data: bytes) -> None:
        """Give bytes to the client, when it can take them. Raises ConnectionError when it hung up."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._writer, view) :]
            except BlockingIOError:
                await self._until_writable()

    async def _until_writable(self) -> None:
        loop = asyncio.get_running_loop()
        writable: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self._writer, _settle, writable)
        gone = asyncio.ensure_future(self._protocol.client_disconnect())
        try:
            await asyncio.wait(
                {writable, gone},
                return_when=asyncio.FIRST_COMPLETED,
                timeout=OPENING_S if self._reader >= 0 else None,
            )
            if gone.done() and not writable.done():
                raise BrokenPipeError("client disconnected")
        finally:
            loop.remove_writer(self._writer)
            gone.cancel()
        # By now native code has the pipe open, whether or not its client takes anything: only its end counts, and
        # writing fails once that is closed. That a client hung up before is not always told, and with our own
        # end open nothing else would tell: such a body waited for ever.
        self._close_reader()

    def _close_reader(self) -> None:
        if self._reader >= 0:
            os.close(self._reader)
            self._reader = -1

    def close(self) -> None:
        """End the body. One that is shorter than announced breaks the connection."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1
        self._close_reader()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
