"""Adapters of one model, served from its one engine process: who gets which, and what happens to those in use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
from tests.unit.run.conftest import MakeModel, StartSupervisor, Supervisor, until

from seedstock.core.errors import EngineBusy, Invalid, ModelNotRunnable
from seedstock.run.client import fetch_status, lease
from seedstock.run.engines.base import AdapterFile, ModelFile
from seedstock.run.openai_request import Kind, parse_openai_request
from seedstock.run.request import EngineRequest
from seedstock.run.service import ModelRunner

pytestmark = pytest.mark.anyio
MakeAdapter = Callable[..., ModelFile]


def ask(prompt: str = "hello", *, stream: bool = False) -> EngineRequest:
    body = {"model": "me/echo", "prompt": prompt, "stream": stream}
    return parse_openai_request(Kind.COMPLETION, msgspec.json.encode(body))


async def answer(runner: ModelRunner, model: ModelFile) -> str:
    whole = msgspec.json.decode(await runner.complete(model, ask()))
    text: str = whole["choices"][0]["text"]
    return text


@pytest.fixture
def base(echo_model: MakeModel) -> ModelFile:
    return echo_model("base", memory_bytes=100)


@pytest.fixture
def variant(base: ModelFile, tmp_path: Path) -> MakeAdapter:
    """The base with an adapter that has its answers begin with a word."""

    def make(word: str, size_bytes: int = 10) -> ModelFile:
        path = tmp_path / f"{word}.adapter"
        path.write_text(word.ljust(size_bytes) if word != "bad" else word)
        adapter = AdapterFile(f"key of {word}", str(path), path.stat().st_size)
        return msgspec.structs.replace(base, adapter=adapter)

    return make


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[Supervisor], ModelRunner]]:
    runners: list[ModelRunner] = []

    def make(supervisor: Supervisor) -> ModelRunner:
        runners.append(ModelRunner(supervisor.socket, lease_timeout_s=15))
        return runners[-1]

    yield make
    for runner in runners:
        await runner.aclose()


Connect = Callable[[Supervisor], ModelRunner]


async def test_each_request_gets_its_own_adapter_from_one_process(
    start_supervisor: StartSupervisor, base: ModelFile, variant: MakeAdapter, connect: Connect
) -> None:
    supervisor = await start_supervisor()
    runner = connect(supervisor)
    models = [variant("red"), base, variant("blue"), variant("red"), variant("green"), base]
    said = [(await answer(runner, model)).split() for model in models]
    words = [["red"], [], ["blue"], ["red"], ["green"], []]
    assert said == [[*word, "hello"] for word in words]
    at_once = await asyncio.gather(*(answer(runner, model) for model in models * 3))
    assert [text.split() for text in at_once] == said * 3
    (model,) = (await fetch_status(supervisor.socket)).models
    assert (model.memory_bytes, len(model.adapters)) == (100 + 3 * 10, 3)


async def test_an_answer_goes_on_beside_the_process_that_takes_over(
    start_supervisor: StartSupervisor, base: ModelFile, variant: MakeAdapter, connect: Connect
) -> None:
    supervisor = await start_supervisor(memory_limit_bytes=1000)
    runner = connect(supervisor)
    events = await runner.open_stream(base, ask("slow", stream=True))
    await anext(events)
    assert (await answer(runner, variant("red"))).split() == ["red", "hello"]
    assert b"slow" in await anext(events)
    states = sorted(model.state for model in (await fetch_status(supervisor.socket)).models)
    assert states == ["ready", "retiring"]
    await events.aclose()
    await until(lambda: has_models(supervisor, 1))
    assert (await answer(runner, base)).split() == ["hello"]


async def has_models(supervisor: Supervisor, count: int) -> bool:
    return len((await fetch_status(supervisor.socket)).models) == count


async def test_without_memory_for_two_an_adapter_waits_until_its_model_is_free(
    start_supervisor: StartSupervisor, base: ModelFile, variant: MakeAdapter, connect: Connect
) -> None:
    supervisor = await start_supervisor(memory_limit_bytes=150)
    runner = connect(supervisor)
    events = await runner.open_stream(base, ask("slow", stream=True))
    wanted = asyncio.create_task(answer(runner, variant("red")))
    await until(lambda: waits(supervisor))
    assert b"slow" in await anext(events)
    assert not wanted.done()
    await events.aclose()
    assert (await wanted).split() == ["red", "hello"]


async def waits(supervisor: Supervisor) -> bool:
    status = await fetch_status(supervisor.socket)
    assert status.memory_bytes <= status.memory_limit_bytes
    return status.waiting == 1


async def test_a_request_held_for_ever_does_not_hold_up_the_base(
    start_supervisor: StartSupervisor, base: ModelFile, variant: MakeAdapter, connect: Connect
) -> None:
    supervisor = await start_supervisor(memory_limit_bytes=150, patience_s=0, drain_s=0.2)
    runner = connect(supervisor)
    events = await runner.open_stream(base, ask("slow", stream=True))
    with pytest.raises(EngineBusy):
        async with lease(supervisor.socket, variant("red"), timeout_s=1):
            pass
    assert (await answer(runner, base)).split() == ["hello"]
    await events.aclose()


async def test_a_bad_adapter_harms_nobody_else(
    start_supervisor: StartSupervisor, base: ModelFile, variant: MakeAdapter, connect: Connect
) -> None:
    supervisor = await start_supervisor()
    runner = connect(supervisor)
    await answer(runner, variant("red"))
    outcomes = await asyncio.gather(
        *(answer(runner, one) for one in (variant("bad"), variant("blue"), base, variant("red"))),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], ModelNotRunnable)
    assert [str(outcome).split() for outcome in outcomes[1:]] == [
        ["blue", "hello"],
        ["hello"],
        ["red", "hello"],
    ]
    with pytest.raises(ModelNotRunnable, match="a bad adapter"):  # remembered, without a start
        await answer(runner, variant("bad"))
    assert (await answer(runner, base)).split() == ["hello"]


async def test_adapters_beyond_the_memory_limit_take_turns(
    start_supervisor: StartSupervisor, base: ModelFile, variant: MakeAdapter, connect: Connect
) -> None:
    supervisor = await start_supervisor(memory_limit_bytes=150)
    runner = connect(supervisor)
    for word in ("red", "blue", "green"):
        assert (await answer(runner, variant(word, 20))).split() == [word, "hello"]
    (model,) = (await fetch_status(supervisor.socket)).models
    assert (model.memory_bytes, model.adapters) == (140, ["key of green", "key of blue"])
    with pytest.raises(ModelNotRunnable, match="needs 100 bytes of 90"):
        await answer(runner, variant("large", 60))


async def test_an_adapter_whose_file_is_not_as_told_is_refused(
    start_supervisor: StartSupervisor, variant: MakeAdapter, connect: Connect
) -> None:
    supervisor = await start_supervisor()
    red = variant("red")
    assert red.adapter is not None
    Path(red.adapter.path).write_text("cut")
    with pytest.raises(Invalid, match="3 bytes, not 10"):
        await answer(connect(supervisor), red)


async def test_an_engine_that_takes_adapters_up_goes_on(
    start_supervisor: StartSupervisor, echo_model: MakeModel, variant: MakeAdapter, connect: Connect
) -> None:
    supervisor = await start_supervisor(memory_limit_bytes=250)
    runner = connect(supervisor)
    base = echo_model("taker", memory_bytes=100, slots=1, takes_adapters=True)

    def taking(word: str, size_bytes: int = 20) -> ModelFile:
        return msgspec.structs.replace(base, adapter=variant(word, size_bytes).adapter)

    assert (await answer(runner, echo_model("other", memory_bytes=100))).split() == ["hello"]
    assert (await answer(runner, base)).split() == ["hello"]
    (_, before) = (await fetch_status(supervisor.socket)).models
    for word in ("red", "blue", "red", "green"):
        assert (await answer(runner, taking(word))).split() == [word, "hello"]
    (_, after) = (await fetch_status(supervisor.socket)).models
    assert (after.pid, after.memory_bytes) == (before.pid, 140)  # the longest unused made way
    assert after.adapters == ["key of red", "key of green"]
    said = await asyncio.gather(
        *(answer(runner, model) for model in [taking("blue"), base, taking("red")] * 3)
    )
    assert [text.split()[:-1] for text in said] == [["blue"], [], ["red"]] * 3
    assert (await answer(runner, taking("large", 100))).split() == ["large", "hello"]
    (alone,) = (await fetch_status(supervisor.socket)).models  # the idle model made way too
    assert (alone.pid, alone.memory_bytes) == (before.pid, 240)
    assert alone.adapters == ["key of blue", "key of red", "key of large"]
    with pytest.raises(ModelNotRunnable, match="needs 100 bytes of 90"):
        await answer(runner, taking("larger", 160))
