"""The real llama.cpp, on a tiny random model."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gguf
import msgspec
import pytest

pytest.importorskip("xllamacpp", reason="the `run` extra is not installed")

from tests.factories.gguf_model import THINKING, write_tiny_llama
from tests.unit.run.conftest import StartSupervisor, Supervisor, until

from seedstock.core.errors import EngineFailed, Invalid, ModelNotRunnable, UnsupportedFormat
from seedstock.run.client import fetch_status, lease
from seedstock.run.engine_process import start_engine
from seedstock.run.engines.base import Ability, Endpoint, ModelFile, Plan
from seedstock.run.engines.llama_cpp import LlamaCpp
from seedstock.run.exchange import complete, open_client, stream
from seedstock.run.openai_request import Kind, parse_openai_request

pytestmark = pytest.mark.anyio
ENGINE = LlamaCpp(threads=1)
MESSAGES = [{"role": "user", "content": "hi"}]


def as_model(path: Path, **fields: Any) -> ModelFile:
    return ModelFile(path.name, str(path), path.stat().st_size, **fields)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return as_model(write_tiny_llama(tmp_path_factory.mktemp("gguf") / "tiny.gguf", context_tokens=4096))


@pytest.fixture
async def endpoint(tiny: ModelFile) -> AsyncIterator[Endpoint]:
    process = await start_engine(ENGINE, tiny, ENGINE.plan(tiny, 1 << 30), start_timeout_s=30)
    assert process.endpoint is not None
    yield process.endpoint
    process.kill()
    await process.wait()


async def chat(endpoint: Endpoint, **body: Any) -> dict[str, Any]:
    data = msgspec.json.encode({"model": "me/tiny", "messages": MESSAGES} | body)
    async with open_client() as client:
        answer: dict[str, Any] = msgspec.json.decode(
            await complete(client, endpoint, parse_openai_request(Kind.CHAT, data))
        )
    return answer


async def test_it_answers_as_openai_does(endpoint: Endpoint) -> None:
    answer = await chat(endpoint, max_tokens=5, n=2, logprobs=True, top_logprobs=2)
    assert answer["model"] == "me/tiny"
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    for choice in answer["choices"]:
        assert choice["finish_reason"] == "length"
        assert choice["message"]["content"].strip().replace(" ", "a").isalpha()
        assert len(choice["logprobs"]["content"]) == 5


async def test_seed_stop_and_grammar_reach_the_model(endpoint: Endpoint) -> None:
    texts = [
        (await chat(endpoint, max_tokens=8, seed=seed))["choices"][0]["message"]["content"]
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]
    (choice,) = (await chat(endpoint, grammar='root ::= "abc"', stop="c"))["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("ab", "stop")


async def test_each_slot_has_the_whole_context_and_says_so(endpoint: Endpoint) -> None:
    assert (endpoint.slots, endpoint.context_tokens) == (4, 4096)
    await chat(endpoint, messages=[{"role": "user", "content": "x" * 3900}], max_tokens=1)
    with pytest.raises(Invalid, match=r"holds 4096 tokens, and the request has 50\d\d"):
        await chat(endpoint, messages=[{"role": "user", "content": "x" * 5000}])


async def test_four_requests_run_at_the_same_time_without_mixing(endpoint: Endpoint) -> None:
    words = ["ab", "cd", "ef", "gh"]
    answers = await asyncio.gather(*(chat(endpoint, grammar=f'root ::= "{word}"') for word in words))
    assert [answer["choices"][0]["message"]["content"] for answer in answers] == words


async def test_streams_may_follow_one_another_at_once(endpoint: Endpoint) -> None:
    body = msgspec.json.encode({"model": "m", "messages": MESSAGES, "stream": True, "max_tokens": 1})
    request = parse_openai_request(Kind.CHAT, body)
    async with open_client() as client:
        for _ in range(50):
            *_, last = [event async for event in stream(client, endpoint, request)]
            assert last.endswith(b"data: [DONE]\n\n")


async def test_hanging_up_frees_the_slot(endpoint: Endpoint) -> None:
    async with open_client() as client:

        async def busy() -> int:
            headers = {"Authorization": f"Bearer {endpoint.api_key}"}
            slots = (await client.get(f"{endpoint.base_url}/slots", headers=headers)).json()
            return sum(slot["is_processing"] for slot in slots)

        async def is_free() -> bool:
            return await busy() == 0

        body = msgspec.json.encode({"model": "m", "messages": MESSAGES, "stream": True})
        events = stream(client, endpoint, parse_openai_request(Kind.CHAT, body))
        await anext(events)
        assert await busy() == 1
        await events.aclose()
        await until(is_free)
        waiting = asyncio.create_task(chat(endpoint))
        await until(lambda: busy_is(busy, 1))
        waiting.cancel()
        # Without a stream llama.cpp looks for a hang-up only after a second without any result, /slots included.
        await asyncio.sleep(1.2)
        await until(is_free, timeout_s=5, every_s=1.2)


async def supervisor_noticed(supervisor: Supervisor) -> bool:
    return (await fetch_status(supervisor.socket)).models == []


async def busy_is(busy: Any, count: int) -> bool:
    return bool(await busy() == count)


async def test_a_thinking_model_keeps_its_thoughts_apart(tmp_path: Path) -> None:
    model = as_model(write_tiny_llama(tmp_path / "think.gguf", chat_template=THINKING))
    process = await start_engine(ENGINE, model, ENGINE.plan(model, 1 << 30), start_timeout_s=30)
    try:
        assert process.endpoint is not None
        answer = await chat(process.endpoint, grammar='root ::= "hm</think>" "yes"')
    finally:
        process.kill()
        await process.wait()
    message = answer["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("hm", "yes")


async def test_a_native_crash_takes_only_the_child_and_the_next_lease_starts_another(
    start_supervisor: StartSupervisor, tiny: ModelFile
) -> None:
    supervisor = await start_supervisor(
        module="seedstock.run.supervisor", memory_limit_bytes=1 << 30, threads=1
    )
    async with lease(supervisor.socket, tiny) as endpoint, open_client() as client:
        body = msgspec.json.encode({"model": "m", "messages": MESSAGES, "stream": True})
        events = stream(client, endpoint, parse_openai_request(Kind.CHAT, body))
        await anext(events)
        (model,) = (await fetch_status(supervisor.socket)).models
        assert model.pid is not None
        os.kill(model.pid, signal.SIGSEGV)
        rest = [event async for event in events]
        assert b'"code":"engine_failed"' in rest[-1]
        await until(lambda: supervisor_noticed(supervisor))
    async with lease(supervisor.socket, tiny) as endpoint:
        assert (await chat(endpoint, max_tokens=1))["choices"]


async def test_a_file_that_llama_cpp_rejects_is_not_runnable(tmp_path: Path) -> None:
    unknown = as_model(write_tiny_llama(tmp_path / "unknown.gguf", architecture="martian"))
    with pytest.raises(ModelNotRunnable, match="martian"):
        await start_engine(ENGINE, unknown, ENGINE.plan(unknown, 1 << 30), start_timeout_s=30)


async def test_a_truncated_file_is_not_runnable(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "cut.gguf")
    path.write_bytes(path.read_bytes()[:-100_000])
    model = as_model(path)
    with pytest.raises((ModelNotRunnable, EngineFailed)):
        await start_engine(ENGINE, model, ENGINE.plan(model, 1 << 30), start_timeout_s=30)


def test_a_plan_shrinks_slots_then_context_and_then_gives_up(tmp_path: Path) -> None:
    model = as_model(write_tiny_llama(tmp_path / "long.gguf", context_tokens=100_000))
    roomy = ENGINE.plan(model, 1 << 30)
    assert (roomy.slots, roomy.context_tokens) == (4, 8192)
    fewer = ENGINE.plan(model, roomy.memory_bytes - 1)
    assert (fewer.slots, fewer.context_tokens) == (2, 8192)
    assert (
        roomy.memory_bytes - fewer.memory_bytes == 2 * 8192 * 2 * (2 * (16 + 16)) * 2
    )  # slots, tokens, layers, kv, f16
    one = ENGINE.plan(model, 1 << 30)
    assert ENGINE.plan(msgspec.structs.replace(model, context=300_000), 1 << 40).context_tokens == 100_000
    with pytest.raises(ModelNotRunnable, match="needs about"):
        ENGINE.plan(model, one.memory_bytes // 4)


def test_only_text_generators_are_planned(tmp_path: Path) -> None:
    encoder = as_model(write_tiny_llama(tmp_path / "clip.gguf", architecture="clip"))
    with pytest.raises(ModelNotRunnable, match="no model of text"):
        ENGINE.plan(encoder, 1 << 30)
    other = tmp_path / "model.gguf"
    other.write_bytes(b"PK\x03\x04 not a model")
    with pytest.raises(UnsupportedFormat, match="not a GGUF file"):
        ENGINE.plan(as_model(other), 1 << 30)


def test_embeddings_are_planned_where_the_file_says_how_to_pool(tmp_path: Path) -> None:
    def plan(name: str, **shape: Any) -> Plan:
        path = write_tiny_llama(tmp_path / f"{name}.gguf", context_tokens=8192, **shape)
        return ENGINE.plan(as_model(path), 1 << 40)

    plain, generated = plan("plain"), (Ability.GENERATION,)
    assert (plain.abilities, plain.micro_batch_tokens) == (generated, 512)
    mean = plan("mean", pooling=gguf.PoolingType.MEAN)
    assert (mean.abilities, mean.micro_batch_tokens) == ((*generated, Ability.EMBEDDINGS), 2048)
    assert mean.memory_bytes > plain.memory_bytes
    last = plan("last", pooling=gguf.PoolingType.LAST)
    assert (last.abilities, last.micro_batch_tokens) == (mean.abilities, 512)
    ranks = plan("rank", pooling=gguf.PoolingType.RANK)
    assert ranks.abilities == generated
    encoder = plan("encoder", architecture="bert")
    assert (encoder.abilities, encoder.context_tokens) == ((Ability.EMBEDDINGS,), 2048)
