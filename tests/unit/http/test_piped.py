"""A long body ends when nobody is there to read it, whatever the server says of its client."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from seedstock.http import piped
from seedstock.http.piped import PipedBody


class Silent:
    """A server's end that opens the pipe or not, and never says that its client is gone."""

    def __init__(self, *, opens: bool) -> None:
        self.opens = opens
        self.reader = -1

    def response_file(self, _status: int, _headers: Any, path: str) -> None:
        if self.opens:
            self.reader = os.open(path, os.O_RDONLY)

    async def client_disconnect(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piped, "OPENING_S", 0.05)


def test_a_client_that_was_gone_before_the_pipe_was_opened() -> None:
    async def send() -> None:
        body = PipedBody(Silent(opens=False), 200, [])
        try:
            with pytest.raises(BrokenPipeError):
                await asyncio.wait_for(body.write(bytes(4 << 20)), 10)
        finally:
            body.close()

    asyncio.run(send())


def test_a_client_that_takes_nothing_for_a_while_is_waited_for() -> None:
    data = os.urandom(3 << 20)

    async def send() -> bytes:
        server = Silent(opens=True)
        body = PipedBody(server, 200, [])
        writing = asyncio.ensure_future(body.write(data))
        await asyncio.sleep(0.3)
        assert not writing.done()

        def take() -> bytes:
            with os.fdopen(server.reader, "rb") as file:
                return file.read()

        taking = asyncio.get_running_loop().run_in_executor(None, take)
        await asyncio.wait_for(writing, 10)
        body.close()
        return await taking

    assert asyncio.run(send()) == data
