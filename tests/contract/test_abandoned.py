"""Two hundred streams that nobody reads to their end leave no slot, thread or file behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi

pytest.importorskip("xllamacpp", reason="the `run` extra is not installed")

from seedstock.run.client import fetch_status, lease
from seedstock.run.engines.base import Endpoint, ModelFile
from seedstock.settings import load
from tests.bench.processes import memory_bytes
from tests.contract.models import publish_file
from tests.contract.open_things import OpenThings, quiet_things
from tests.contract.server import HubProcess
from tests.factories.gguf_model import write_tiny_llama

pytestmark = pytest.mark.anyio
ABANDONED = 200
ENDLESS = {
    "model": "ada/long",
    "prompt": "a",
    "max_tokens": 8000,
    "ignore_eos": True,
    "temperature": 0,
    "stream": True,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("model") / "long.gguf", context_tokens=32768, seed=1)


@pytest.fixture(scope="module")
def alone(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that nothing else asks meanwhile."""
    process = HubProcess(tmp_path_factory.mktemp("alone") / "data")
    process.people()
    process.start()
    try:
        publish_file(HfApi(endpoint=process.url, token=process.tokens["ada"]), "ada/long", model)
        process.admin("jobs", "--wait")
        yield process
    finally:
        process.stop()
    assert not process.failures()


async def _endpoint(socket: Path, model: Path) -> Endpoint:
    """The engine process that answers for the hub."""
    (running,) = (await fetch_status(socket)).models
    async with lease(socket, ModelFile(running.key, str(model), model.stat().st_size)) as endpoint:
        return endpoint


async def test_two_hundred_abandoned_streams_leave_nothing(alone: HubProcess, model: Path) -> None:
    root = alone.pids()[0]
    headers = {"Authorization": f"Bearer {alone.tokens['ada']}"}
    gate = asyncio.Semaphore(8)
    async with httpx.AsyncClient(
        base_url=alone.url,
        headers=headers,
        timeout=120,
        trust_env=False,
        limits=httpx.Limits(max_keepalive_connections=0),
    ) as client:

        async def abandon() -> None:
            async with gate, client.stream("POST", "/v1/completions", json=ENDLESS) as answer:
                assert answer.status_code == 200
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        return

        # First some that fill pools and caches.
        await asyncio.gather(*(abandon() for _ in range(40)))
        endpoint = await _endpoint(load({}, data=alone.data).run_socket, model)
        before, memory = await quiet_things(root, endpoint), memory_bytes(root)
        await asyncio.gather(*(abandon() for _ in range(ABANDONED)))
        # A pool may still gain a thread and a database connection, which are two files. A leak would be hundreds.
        most = OpenThings(busy=0, threads=before.threads + 4, files=before.files + 8)
        after = await quiet_things(root, endpoint, most)
        assert after.within(most), f"{after}, {before} before"
        assert memory_bytes(root) - memory < 32 << 20
        whole = await client.post("/v1/completions", json=ENDLESS | {"max_tokens": 3, "stream": False})
        assert whole.json()["usage"]["completion_tokens"] == 3
