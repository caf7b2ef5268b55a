"""Runs the application under Granian: one parent that owns the socket, one or more worker processes."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from seedstock.core.errors import Invalid, Unavailable
from seedstock.http.app import build_app
from seedstock.http.job_stream import SLOTS
from seedstock.http.rsgi import RsgiApp
from seedstock.settings import Settings
from seedstock.wiring import open_hub

log = logging.getLogger("seedstock.server")
_DRAIN_S = 30
_PR_SET_PDEATHSIG = 1


def claim_port(host: str, port: int) -> int:
    """The port if nobody listens on it, or a free one for 0. Raises Unavailable, Invalid (the host)."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.create_server(address[:2], family=family) as probe:
            return int(probe.getsockname()[1])
    except socket.gaierror as error:
        raise Invalid(f"Cannot listen on host {host!r}: {error.strerror}", hint="check --host") from None
    except OSError as error:
        hint = (
            "stop what uses it, or choose another --port"
            if error.errno == errno.EADDRINUSE
            else "check --host and --port"
        )
        raise Unavailable(
            f"Cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}", hint=hint
        ) from None


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain. `on_ready` gets the URL once a request was answered."""
    server = Server(
        "seedstock",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.RSGI,
        workers=settings.workers,
        websockets=False,
        backpressure=256,
        log_level=LogLevels.warning,
        http1_settings=HTTP1Settings(header_read_timeout=30_000, max_buffer_size=1 << 20),
        workers_kill_timeout=_DRAIN_S,
        respawn_failed_workers=True,
    )
    server.main_loop_interrupt = _PolledEvent()
    threading.Thread(target=_announce, args=(settings, on_ready), daemon=True).start()
    with _metrics_folder(settings) as folder:
        server.serve(target_loader=lambda *_: _application(settings, folder), wrap_loader=False)


@contextmanager
def _metrics_folder(settings: Settings) -> Iterator[Path]:
    """A folder that the workers keep their numbers in; those of servers that were killed are swept."""
    above = settings.data_dir / "run" / "metrics"
    above.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in above.iterdir():
        if left.name.isdigit() and not Path(f"/proc/{left.name}").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = above / str(os.getpid())
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _PolledEvent(threading.Event):
    """An event whose waiter looks up now and then.

    Python runs signal handlers in the main thread, and a signal that the system gives to another thread does not
    wake it: a SIGTERM in the moment when the job worker is started was not seen until something else happened.
    """

    def wait(self, timeout: float | None = None) -> bool:
        """Wait like an Event, handling signals every quarter of a second."""
        if timeout is not None:
            return super().wait(timeout)
        while not super().wait(0.25):
            pass
        return True


def _application(settings: Settings, metrics: Path) -> Any:
    """Built in each worker process, after the fork: database connections do not cross it."""
    # A worker that outlived a killed parent would hold the port and keep the next start out.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    hub = open_hub(settings)
    hub.usage.metrics.share(metrics)
    return RsgiApp(build_app(hub), on_start=_end_streams_on_signal, on_stop=hub.close)


def _end_streams_on_signal() -> None:
    """Let endless answers end with the server, which otherwise waits for them till its time limit.

    The loop hears signals by its wake-up file descriptor, so a handler beside its own takes nothing from it.
    """

    def end(*_: object) -> None:
        SLOTS.closing = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _announce(settings: Settings, on_ready: Callable[[str], None]) -> None:
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - compared
    while True:
        connection = HTTPConnection(host, settings.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                on_ready(settings.public_url or f"http://{host}:{settings.port}")
                return
        except (OSError, HTTPException):
            time.sleep(0.01)
        finally:
            connection.close()
