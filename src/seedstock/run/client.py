"""What a web worker uses to get a running model: a lease on the supervisor's socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from seedstock.core.errors import EngineBusy, EngineFailed
from seedstock.run.engines.base import Endpoint, ModelFile
from seedstock.run.wire import MAX_LINE_BYTES, Ask, State, Status, Told, error_of


@asynccontextmanager
async def lease(
    socket_path: Path,
    model: ModelFile,
    *,
    timeout_s: float = 300.0,
    on_progress: Callable[[Told], None] | None = None,
) -> AsyncIterator[Endpoint]:
    """Hold one slot of `model`, loaded if need be, for the duration of the block.

    Raises EngineBusy if the queue is full or the model is not ready within `timeout_s`, EngineFailed if
    it could not start or no supervisor runs, ModelNotRunnable, and Invalid for a file that is not as told.
    """
    reader, writer = await _connect(socket_path)
    try:
        try:
            async with asyncio.timeout(timeout_s):
                endpoint = await _wait_for_ready(reader, writer, model, on_progress)
        except TimeoutError:
            raise EngineBusy(f"The model was not ready after {timeout_s:g} s") from None
        yield endpoint
    finally:
        writer.close()


async def fetch_status(socket_path: Path, *, timeout_s: float = 5.0) -> Status:
    """What the supervisor holds now. Raises EngineFailed if it does not answer."""
    reader, writer = await _connect(socket_path)
    try:
        async with asyncio.timeout(timeout_s):
            writer.write(msgspec.json.encode(Ask(op="status")) + b"\n")
            return msgspec.json.decode(await reader.readline(), type=Status)
    except (OSError, TimeoutError, msgspec.DecodeError) as error:
        raise EngineFailed("The engine supervisor does not answer") from error
    finally:
        writer.close()


async def _connect(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_unix_connection(path, limit=MAX_LINE_BYTES)
    except OSError as error:
        raise EngineFailed("The engine supervisor is not running") from error


async def _wait_for_ready(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    model: ModelFile,
    on_progress: Callable[[Told], None] | None,
) -> Endpoint:
    try:
        writer.write(msgspec.json.encode(Ask(model)) + b"\n")
        while line := await reader.readline():
            told = msgspec.json.decode(line, type=Told)
            if told.endpoint is not None:
                return told.endpoint
            if told.state is State.ERROR:
                raise error_of(told)
            if on_progress is not None:
                on_progress(told)
    except OSError as error:
        raise EngineFailed("The engine supervisor died") from error
    raise EngineFailed("The engine supervisor stopped")
