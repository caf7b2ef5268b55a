"""The one process that owns engine children: `python -m seedstock.run.supervisor --socket PATH ...`.

Web workers connect to its Unix socket (mode 0600); a connection is a lease, so a worker that dies gives
everything back. Tokens never pass through here: workers talk to the children directly.

SIGTERM and SIGINT stop all children and exit 0. If this process is killed, the children die with it.
With `--exit-with-stdin` it stops when stdin ends, which ties it to whoever started it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from seedstock.core.errors import HubError, Invalid
from seedstock.run.engines.base import Engine, ModelFile
from seedstock.run.engines.by_model import ByModel
from seedstock.run.engines.llama_cpp import LlamaCpp
from seedstock.run.engines.transformers_engine import Transformers
from seedstock.run.engines.vllm_engine import Vllm
from seedstock.run.scheduler import Limits, Scheduler
from seedstock.run.wire import MAX_LINE_BYTES, Ask, State, Told, tell_error

logger = logging.getLogger(__name__)
_ASK_TIMEOUT_S = 10.0


async def serve(socket_path: Path, engine: Engine, limits: Limits, stop: asyncio.Event) -> None:
    """Answer on `socket_path` until `stop` is set; then end every child."""
    scheduler = Scheduler(engine, limits)
    connections: set[asyncio.Task[None]] = set()

    def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_serve_connection(scheduler, reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    listener = _bind(socket_path)
    server = await asyncio.start_unix_server(on_connection, sock=listener, limit=MAX_LINE_BYTES)
    try:
        await stop.wait()
    finally:
        server.close()
        socket_path.unlink(missing_ok=True)
        await scheduler.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def _bind(path: Path) -> socket.socket:
    """A listening socket only this user can open; a stale file of a dead supervisor is replaced."""
    if path.exists():
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise SystemExit(f"Another engine supervisor answers on {path}")
    listener = socket.socket(socket.AF_UNIX)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    mask = os.umask(0o177)
    try:
        listener.bind(str(fresh))
    finally:
        os.umask(mask)
    listener.listen(128)
    fresh.rename(path)  # so that whoever sees the path can connect
    return listener


async def _serve_connection(
    scheduler: Scheduler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        async with asyncio.timeout(_ASK_TIMEOUT_S):
            line = await reader.readline()
        ask = msgspec.json.decode(line, type=Ask)
        if ask.op == "status":
            _write(writer, scheduler.status())
        elif ask.model is None:
            raise Invalid("A lease needs a model")
        else:
            await _serve_lease(scheduler, ask.model, reader, writer)
        await writer.drain()
    except HubError as error:
        _write(writer, tell_error(error))
    except (msgspec.MsgspecError, ValueError) as error:  # ValueError: longer than the limit
        _write(writer, tell_error(Invalid(f"Not a lease request: {error}")))
    except (ConnectionError, TimeoutError):
        logger.info("a web worker left in the middle of a line")
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _serve_lease(
    scheduler: Scheduler, model: ModelFile, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Hold a slot until the worker closes the connection or the engine dies."""
    _check_file(model.path, model.size_bytes)
    if model.adapter is not None:
        _check_file(model.adapter.path, model.adapter.size_bytes)
    gone = asyncio.create_task(reader.read())
    notify = lambda state, detail: _write(writer, Told(state, detail))  # noqa: E731
    wanted = asyncio.create_task(scheduler.acquire(model, notify))
    try:
        await asyncio.wait({gone, wanted}, return_when=asyncio.FIRST_COMPLETED)
        if not wanted.done():
            return
        ticket, endpoint = wanted.result()
        try:
            _write(writer, Told(State.READY, endpoint=endpoint))
            ends: set[asyncio.Future[bytes] | asyncio.Future[HubError]] = {gone, ticket.lost}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if ticket.lost.done():
                _write(writer, tell_error(ticket.lost.result()))
        finally:
            scheduler.release(ticket)
    finally:
        gone.cancel()
        wanted.cancel()
        await asyncio.gather(gone, wanted, return_exceptions=True)


def _check_file(name: str, size_bytes: int) -> None:
    path = Path(name)
    try:
        found = path.stat()
    except OSError as error:
        raise Invalid(f"The model file cannot be read: {error.strerror}") from error
    if not path.is_absolute() or not stat.S_ISREG(found.st_mode):
        raise Invalid("The model path must be absolute and name a regular file")
    if found.st_size != size_bytes:
        raise Invalid(f"The model file has {found.st_size} bytes, not {size_bytes}")


def _write(writer: asyncio.StreamWriter, line: msgspec.Struct) -> None:
    if not writer.is_closing():
        writer.write(msgspec.json.encode(line) + b"\n")


def parse_options(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m seedstock.run.supervisor", description="Own the engine processes."
    )
    parser.add_argument(
        "--socket", type=Path, required=True, help="Unix socket to listen on (made with mode 0600)"
    )
    parser.add_argument(
        "--memory-limit-bytes", type=int, required=True, help="for all engines together, by estimate"
    )
    parser.add_argument(
        "--idle-timeout-s", type=float, default=300.0, help="unload a model unused for so long"
    )
    parser.add_argument(
        "--queue-limit", type=int, default=64, help="requests that may wait; more are refused"
    )
    parser.add_argument("--start-timeout-s", type=float, default=300.0, help="a model must be ready by then")
    parser.add_argument(
        "--patience-s", type=float, default=15.0, help="wait for memory before loaded models yield"
    )
    parser.add_argument("--drain-s", type=float, default=60.0, help="for how long loaded models then yield")
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        help="per model; 0 means all cores but one (SEEDSTOCK_ENGINE_THREADS)",
    )
    parser.add_argument("--slots", type=int, default=4, help="requests that one model answers at a time")
    parser.add_argument(
        "--vllm", type=Path, metavar="PYTHON", help="the Python that vLLM is installed for (SEEDSTOCK_VLLM)"
    )
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when stdin ends")
    parser.add_argument("--log-level", default="INFO")
    return parser.parse_args(argv)


def run(options: argparse.Namespace, engine: Engine) -> int:
    """Serve `engine` until told to stop; the exit status."""
    logging.basicConfig(level=options.log_level, format="%(levelname)s %(name)s %(message)s")
    limits = Limits(
        memory_limit_bytes=options.memory_limit_bytes,
        idle_timeout_s=options.idle_timeout_s,
        queue_limit=options.queue_limit,
        start_timeout_s=options.start_timeout_s,
        patience_s=options.patience_s,
        drain_s=options.drain_s,
    )
    asyncio.run(_run(options, engine, limits))
    return 0


async def _run(options: argparse.Namespace, engine: Engine, limits: Limits) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.exit_with_stdin:
        loop.add_reader(0, lambda: stop.set() if not os.read(0, 4096) else None)
    await serve(options.socket, engine, limits, stop)


def main() -> int:
    """Serve llama.cpp and transformers, and vLLM where it is named."""
    options = parse_options(sys.argv[1:])
    threads = options.threads or LlamaCpp().threads
    engines: list[Engine] = [LlamaCpp(threads=threads, slots=options.slots), Transformers(threads=threads)]
    if options.vllm is not None:
        engines.append(Vllm(options.vllm, threads=threads))
    return run(options, ByModel(*engines))


if __name__ == "__main__":
    sys.exit(main())
