from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

import seedstock
from seedstock.run.engines.base import ModelFile
from seedstock.testing.echo_engine import Behaviour

SOURCE = str(Path(seedstock.__file__).parents[1])
StartSupervisor = Callable[..., Awaitable["Supervisor"]]
MakeModel = Callable[..., ModelFile]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Supervisor:
    """A supervisor process of its own, and its socket."""

    def __init__(self, process: asyncio.subprocess.Process, socket: Path) -> None:
        self.process = process
        self.socket = socket

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
            await asyncio.sleep(0)


async def until(
    condition: Callable[[], bool | Awaitable[bool]], timeout_s: float = 60.0, every_s: float = 0.01
) -> None:
    deadline_s = time.monotonic() + timeout_s
    while True:
        met = condition()
        if not isinstance(met, bool):
            met = await met
        if met:
            return
        assert time.monotonic() < deadline_s, "the condition was not met in time"
        await asyncio.sleep(every_s)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
async def start_supervisor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StartSupervisor]:
    """Start the supervisor with the echo engine, or with `module`; options by keyword."""
    started: list[Supervisor] = []

    async def start(
        *,
        module: str = "seedstock.testing.echo_engine",
        socket: Path | None = None,
        flags: tuple[str, ...] = (),
        **options: object,
    ) -> Supervisor:
        socket = socket or tmp_path_factory.mktemp("s") / "engines"
        options = {"memory_limit_bytes": 1000} | options
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, f"--socket={socket}", *arguments, *flags,
            stdin=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": SOURCE, "SEEDSTOCK_SECRET": "do-not-leak"},
        )  # fmt: skip
        supervisor = Supervisor(process, socket)
        started.append(supervisor)
        made_ns = socket.stat().st_ctime_ns if socket.exists() else None
        await until(
            lambda: (
                process.returncode is not None or (socket.exists() and socket.stat().st_ctime_ns != made_ns)
            )
        )
        return supervisor

    yield start
    for supervisor in started:
        await supervisor.end()


@pytest.fixture
def echo_model(tmp_path: Path) -> MakeModel:
    def make(key: str, **behaviour: object) -> ModelFile:
        path = tmp_path / f"{key}.json"
        size_bytes = path.write_bytes(msgspec.json.encode(Behaviour(**behaviour)))
        return ModelFile(key, str(path), size_bytes)

    return make
