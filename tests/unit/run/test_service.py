"""The whole way: the stock OpenAI client, the product's web server, the supervisor, llama.cpp."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import openai
import pytest

pytest.importorskip("xllamacpp", reason="the `run` extra is not installed")

from tests.factories.gguf_model import write_tiny_llama
from tests.unit.run.conftest import SOURCE, StartSupervisor, Supervisor, until

from seedstock.run.client import fetch_status
from seedstock.run.engines.base import ModelFile

pytestmark = pytest.mark.anyio


@pytest.fixture
async def supervisor(start_supervisor: StartSupervisor) -> Supervisor:
    return await start_supervisor(module="seedstock.run.supervisor", memory_limit_bytes=1 << 30, threads=1)


@pytest.fixture
async def client(supervisor: Supervisor, tmp_path: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    path = write_tiny_llama(tmp_path / "tiny.gguf", context_tokens=4096)
    model = ModelFile("tiny", str(path), path.stat().st_size)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "granian",
        "--interface=asgi",
        f"--port={port}",
        "tests.unit.run.openai_app:app",
    ]
    environment = os.environ | {
        "PYTHONPATH": f"{SOURCE}:{Path(SOURCE).parent}",
        "TEST_MODEL": msgspec.json.encode(model).decode(),
        "TEST_SOCKET": str(supervisor.socket),
    }
    web = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.DEVNULL, start_new_session=True
    )
    await until(lambda: answers(port))
    async with openai.AsyncOpenAI(
        base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0
    ) as client:
        yield client
    os.killpg(web.pid, signal.SIGKILL)  # the server and its worker
    await web.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def is_unused(supervisor: Supervisor) -> bool:
    return [model.leases for model in (await fetch_status(supervisor.socket)).models] == [0]


async def test_the_stock_client_chats_streams_and_hangs_up(
    client: openai.AsyncOpenAI, supervisor: Supervisor
) -> None:
    whole = await client.chat.completions.create(
        model="me/tiny", messages=[{"role": "user", "content": "hi"}], max_tokens=6, seed=3
    )
    assert whole.model == "me/tiny"
    streamed = await client.chat.completions.create(
        model="me/tiny",
        messages=[{"role": "user", "content": "hi"}],
        max_tokens=6,
        seed=3,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in streamed]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert {chunk.model for chunk in chunks} == {"me/tiny"}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6

    endless = await client.completions.create(model="me/tiny", prompt="abc", stream=True)
    async for _ in endless:
        break
    assert not await is_unused(supervisor)
    await endless.close()
    await until(lambda: is_unused(supervisor))


async def test_errors_reach_the_stock_client_before_and_during_a_stream(
    client: openai.AsyncOpenAI, supervisor: Supervisor
) -> None:
    with pytest.raises(openai.BadRequestError, match="4096 tokens"):
        await client.completions.create(model="me/tiny", prompt="abc" * 2000, stream=True)
    endless = await client.completions.create(model="me/tiny", prompt="abc", stream=True)
    (model,) = (await fetch_status(supervisor.socket)).models
    assert model.pid is not None
    os.kill(model.pid, 9)
    with pytest.raises(openai.APIError, match="The engine stopped"):
        async for _ in endless:
            pass
    again = await client.completions.create(model="me/tiny", prompt="abc", max_tokens=1)
    assert again.choices[0].finish_reason == "length"
