"""One engine child: start, handshake, health, exit, kill."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import signal
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec

import seedstock
from seedstock.core.errors import EngineFailed, HubError, ModelNotRunnable
from seedstock.run.engines.base import (
    AdapterFile,
    Endpoint,
    Engine,
    ModelFile,
    Plan,
    Ready,
    Secrets,
)

logger = logging.getLogger(__name__)
_KEPT_LOG_LINES = 400
_LAST_LINES = 40
_EXCEPTION = re.compile(r"\b[A-Z]\w*(?:Error|Exception): \S.*")
_MAX_LOG_LINE_BYTES = 64 * 1024
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
_ENVIRONMENT_PREFIXES = ("OMP_", "GOMP_", "GGML_", "CUDA_", "HIP_", "ROCR_", "ASAN_", "COVERAGE_")


class EngineProcess:
    """A child that answers at `endpoint`; made by `start_engine`, ended by `kill`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.endpoint: Endpoint | None = None
        self._process = process
        self._log: deque[str] = deque(maxlen=_KEPT_LOG_LINES)
        self._log_task = asyncio.create_task(self._keep_log())

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    async def wait(self) -> str:
        """Wait for the child's end and say how it ended."""
        code = await self._process.wait()
        await asyncio.shield(self._log_task)
        if self._process.stdin is not None:
            self._process.stdin.close()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return f"{how}{self._last_words()}"

    def kill(self) -> None:
        """Order the child's end at once; `wait` tells when its memory is free. Engines hold nothing to save."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def handshake(self, engine: Engine, plan: Plan) -> Endpoint:
        """Hand over the api key, wait for the port, and check that the engine answers there."""
        if self._process.stdin is None or self._process.stdout is None:
            raise EngineFailed("The engine process has no pipes")
        api_key = secrets.token_urlsafe(32)
        self._process.stdin.write(msgspec.json.encode(Secrets(api_key)) + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise EngineFailed(f"The engine died while loading the model: {await self.wait()}")
        ready = msgspec.json.decode(line, type=Ready)
        if ready.error:
            await self.wait()
            raise ModelNotRunnable(f"{ready.error}{self._cause() or self._last_words()}")
        url = f"http://127.0.0.1:{ready.port}"
        endpoint = Endpoint(
            url,
            api_key,
            plan.slots,
            plan.context_tokens,
            plan.abilities + ready.abilities,
            speaks_messages=plan.speaks_messages,
            dialect=plan.dialect,
        )
        if not await engine.is_healthy(endpoint):
            raise EngineFailed("The engine started but does not answer")
        self.endpoint = endpoint
        return endpoint

    def _cause(self) -> str:
        """The first exception that Python told of: those that follow from it come after it."""
        found = next((match[0] for line in self._log if (match := _EXCEPTION.search(line))), "")
        return f" ({found[:300]})" if found else ""

    def _last_words(self) -> str:
        """The last log line that reads like a complaint, for error messages."""
        last = list(self._log)[-_LAST_LINES:]
        marked = [line for line in last if "error" in line.lower() or "failed" in line.lower()]
        return f" ({marked[0][:300]})" if marked else ""

    async def _keep_log(self) -> None:
        stream = self._process.stderr
        while stream is not None:
            try:
                line = await stream.readline()
            except ValueError:  # longer than the limit; the stream dropped it
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip()
            self._log.append(text)
            logger.debug("engine %d: %s", self._process.pid, text)


async def start_engine(
    engine: Engine,
    model: ModelFile,
    plan: Plan,
    *,
    start_timeout_s: float,
    adapters: Sequence[AdapterFile] = (),
) -> EngineProcess:
    """Start a child for `model` and its adapters and wait until it answers.

    Raises ModelNotRunnable if the engine refuses the file, EngineFailed if it dies or takes too long;
    in both cases, and when cancelled, no process is left.
    """
    pipe = asyncio.subprocess.PIPE
    process = EngineProcess(
        await asyncio.create_subprocess_exec(
            *engine.command(model, plan, adapters),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=_environment(),
            limit=_MAX_LOG_LINE_BYTES,
        )
    )
    try:
        async with asyncio.timeout(start_timeout_s):
            await process.handshake(engine, plan)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise EngineFailed(f"The engine was not ready after {start_timeout_s:g} s") from None
    except (OSError, msgspec.MsgspecError) as error:
        process.kill()
        await process.wait()
        raise EngineFailed(f"The engine process broke the handshake: {error}") from error
    except (HubError, asyncio.CancelledError):
        process.kill()
        await process.wait()
        raise
    return process


def _environment() -> dict[str, str]:
    """What a child may see of ours: no secrets; the package even if not installed, and no module from the working directory."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT or name.startswith(_ENVIRONMENT_PREFIXES)
    }
    return kept | {"PYTHONPATH": str(Path(seedstock.__file__).parents[1]), "PYTHONSAFEPATH": "1"}
