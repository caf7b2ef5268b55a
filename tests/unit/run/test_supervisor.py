"""The supervisor as a process, with the echo engine: memory, queueing, failures, and who dies with whom."""

from __future__ import annotations

import asyncio
import signal
import stat
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from tests.unit.run.conftest import MakeModel, StartSupervisor, Supervisor, is_alive, until

from seedstock.core.errors import EngineBusy, EngineFailed, Invalid, ModelNotRunnable
from seedstock.run.client import fetch_status, lease
from seedstock.run.engines.base import ModelFile
from seedstock.run.exchange import complete, open_client, stream
from seedstock.run.openai_request import Kind, parse_openai_request
from seedstock.run.wire import Ask, State, Told

pytestmark = pytest.mark.anyio


def ask(prompt: str, *, streamed: bool = False) -> bytes:
    return msgspec.json.encode({"model": "me/echo", "prompt": prompt, "stream": streamed})


async def keys(supervisor: Supervisor) -> list[str]:
    status = await fetch_status(supervisor.socket)
    assert status.memory_bytes <= status.memory_limit_bytes
    return sorted(model.key for model in status.models)


async def pid_of(supervisor: Supervisor, key: str) -> int:
    (pid,) = [model.pid for model in (await fetch_status(supervisor.socket)).models if model.key == key]
    assert pid is not None
    return pid


async def is_queued(supervisor: Supervisor, count: int) -> bool:
    return (await fetch_status(supervisor.socket)).waiting == count


async def touch(supervisor: Supervisor, model: ModelFile, timeout_s: float = 15.0) -> None:
    async with lease(supervisor.socket, model, timeout_s=timeout_s):
        pass


async def test_a_lease_loads_the_model_and_reports_progress(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor()
    told: list[Told] = []
    async with (
        lease(supervisor.socket, echo_model("a"), on_progress=told.append) as endpoint,
        open_client() as client,
    ):
        request = parse_openai_request(Kind.COMPLETION, ask("hello there"))
        answer = msgspec.json.decode(await complete(client, endpoint, request))
        (model,) = (await fetch_status(supervisor.socket)).models
        assert (model.leases, model.slots, model.state) == (1, 2, "ready")
    assert answer["choices"][0]["text"] == "hello there"
    assert answer["model"] == "me/echo"
    assert [line.state for line in told] == [State.LOADING]
    assert stat.S_IMODE(supervisor.socket.stat().st_mode) == 0o600


async def test_a_child_sees_no_secrets_and_shows_none(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor()
    async with lease(supervisor.socket, echo_model("a")) as endpoint:
        process = Path(f"/proc/{await pid_of(supervisor, 'a')}")
        assert b"do-not-leak" not in (process / "environ").read_bytes()
        assert endpoint.api_key.encode() not in (process / "cmdline").read_bytes()
        wrong = msgspec.structs.replace(endpoint, api_key="guess")
        async with open_client() as client:
            with pytest.raises(EngineFailed):
                await complete(client, wrong, parse_openai_request(Kind.COMPLETION, ask("hello")))


async def test_the_least_recently_used_idle_model_makes_room(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor(memory_limit_bytes=250)
    a, b, c = echo_model("a"), echo_model("b"), echo_model("c")
    for model in (a, b, a, c):
        await touch(supervisor, model)
    assert await keys(supervisor) == ["a", "c"]


async def test_a_model_in_use_is_not_evicted(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor(memory_limit_bytes=250)
    small, big = echo_model("small"), echo_model("big", memory_bytes=200)
    states: list[State] = []
    async with AsyncExitStack() as held:
        await held.enter_async_context(lease(supervisor.socket, small))
        waiting = lease(supervisor.socket, big, on_progress=lambda told: states.append(told.state))
        wanted = asyncio.create_task(waiting.__aenter__())
        await until(lambda: states == [State.QUEUED])
        assert await keys(supervisor) == ["small"]
        await held.aclose()
        await asyncio.wait_for(wanted, 15)
        assert await keys(supervisor) == ["big"]
        await waiting.__aexit__(None, None, None)


async def test_a_request_that_waits_for_memory_is_not_overtaken_for_ever(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor(memory_limit_bytes=100, patience_s=0)
    loaded, other = echo_model("loaded"), echo_model("other")
    order: list[str] = []

    async def use(model: ModelFile) -> None:
        async with lease(supervisor.socket, model, timeout_s=15):
            order.append(model.key)

    async with lease(supervisor.socket, loaded):
        first = asyncio.create_task(use(other))
        await until(lambda: is_queued(supervisor, 1))
        second = asyncio.create_task(use(loaded))
        await until(lambda: is_queued(supervisor, 2))
    await asyncio.gather(first, second)
    assert order == ["other", "loaded"]


async def test_a_lease_held_for_hours_does_not_shut_its_model_to_others(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor(memory_limit_bytes=100, patience_s=0, drain_s=0.2)
    loaded = echo_model("loaded")
    async with lease(supervisor.socket, loaded):
        starved = asyncio.create_task(touch(supervisor, echo_model("other")))
        await until(lambda: is_queued(supervisor, 1))
        await touch(supervisor, loaded)
        assert not starved.done()
    await starved


async def test_a_model_that_can_never_fit_is_refused(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor(memory_limit_bytes=250)
    with pytest.raises(ModelNotRunnable, match="needs 251 bytes of 250"):
        await touch(supervisor, echo_model("huge", memory_bytes=251))


async def test_slots_are_shared_out_and_the_queue_has_an_end(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor(queue_limit=1)
    model = echo_model("a", slots=1)
    async with lease(supervisor.socket, model):
        waiting = asyncio.create_task(touch(supervisor, model))
        await until(lambda: is_queued(supervisor, 1))
        with pytest.raises(EngineBusy, match="already wait"):
            await touch(supervisor, model)
    await waiting


async def test_a_request_that_waits_too_long_is_told_so_and_leaves_the_queue(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor()
    model = echo_model("a", slots=1)
    async with lease(supervisor.socket, model):
        with pytest.raises(EngineBusy, match=r"not ready after 0\.1 s"):
            await touch(supervisor, model, timeout_s=0.1)
        await until(lambda: is_queued(supervisor, 0))


async def test_an_idle_model_is_unloaded(start_supervisor: StartSupervisor, echo_model: MakeModel) -> None:
    supervisor = await start_supervisor(idle_timeout_s=0.05)
    async with lease(supervisor.socket, echo_model("a")):
        pid = await pid_of(supervisor, "a")
    await until(lambda: not is_alive(pid))

    async def is_empty() -> bool:
        return await keys(supervisor) == []

    await until(is_empty)


async def test_a_crash_ends_the_stream_with_an_error_and_tells_the_lease(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor()
    model = echo_model("a")
    reader, writer = await asyncio.open_unix_connection(supervisor.socket)
    writer.write(msgspec.json.encode(Ask(model)) + b"\n")
    while (told := msgspec.json.decode(await reader.readline(), type=Told)).endpoint is None:
        pass
    async with open_client() as client:
        request = parse_openai_request(Kind.COMPLETION, ask("one crash", streamed=True))
        events = [event async for event in stream(client, told.endpoint, request)]
    assert b'"text":"one "' in b"".join(events)
    last = msgspec.json.decode(events[-1].removeprefix(b"data: "))
    assert last["error"]["code"] == "engine_failed"
    error = msgspec.json.decode(await reader.readline(), type=Told)
    assert (error.state, error.code) == (State.ERROR, "engine_failed")
    assert "exit status 3" in error.message
    assert await reader.read() == b""
    writer.close()
    await touch(supervisor, model)


async def test_crashes_in_a_row_back_off(start_supervisor: StartSupervisor, echo_model: MakeModel) -> None:
    supervisor = await start_supervisor()
    model = echo_model("a", crash_on_load=True)
    for _ in range(2):
        with pytest.raises(EngineFailed, match="died while loading the model: signal SIGABRT"):
            await touch(supervisor, model)
    with pytest.raises(EngineFailed, match=r"failed 2 times in a row.*SIGABRT"):
        await touch(supervisor, model)
    await touch(supervisor, echo_model("b"))


async def test_a_file_the_engine_refuses_is_reported(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor()
    for _ in range(2):
        with pytest.raises(ModelNotRunnable, match="bad tensors"):
            await touch(supervisor, echo_model("a", load_error="bad tensors"))


async def test_a_model_that_loads_too_slowly_is_given_up(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor(start_timeout_s=0.1)
    with pytest.raises(EngineFailed, match=r"not ready after 0\.1 s"):
        await touch(supervisor, echo_model("a", load_s=60))
    assert await keys(supervisor) == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("load_s", [0, 60])
async def test_children_do_not_outlive_the_supervisor(
    start_supervisor: StartSupervisor, echo_model: MakeModel, how: signal.Signals, load_s: float
) -> None:
    supervisor = await start_supervisor()
    task = asyncio.create_task(hold(supervisor, echo_model("a", load_s=load_s)))
    children = Path(f"/proc/{supervisor.process.pid}/task/{supervisor.process.pid}/children")
    await until(lambda: bool(children.read_text().split()))
    (pid,) = map(int, children.read_text().split())
    if not load_s:
        await until(lambda: is_loaded(supervisor))
    supervisor.process.send_signal(how)
    code = await supervisor.process.wait()
    await until(lambda: not is_alive(pid))
    assert code == (0 if how == signal.SIGTERM else -how)
    assert supervisor.socket.exists() == (how == signal.SIGKILL)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def hold(supervisor: Supervisor, model: ModelFile) -> None:
    async with lease(supervisor.socket, model):
        await asyncio.get_running_loop().create_future()


async def is_loaded(supervisor: Supervisor) -> bool:
    return [model.leases for model in (await fetch_status(supervisor.socket)).models] == [1]


async def test_a_dead_web_worker_gives_everything_back(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor()
    model = echo_model("a", slots=1)
    connections = []
    for _ in range(2):  # one will hold the slot, one will wait for it
        reader, writer = await asyncio.open_unix_connection(supervisor.socket)
        writer.write(msgspec.json.encode(Ask(model)) + b"\n")
        connections.append((reader, writer))
    await until(lambda: is_queued(supervisor, 1))
    for _, writer in connections:
        writer.transport.abort()
    await touch(supervisor, model)
    assert await is_queued(supervisor, 0)


async def test_hanging_up_early_frees_the_engine(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor()
    async with lease(supervisor.socket, echo_model("a")) as endpoint, open_client() as client:

        async def busy() -> int:
            headers = {"Authorization": f"Bearer {endpoint.api_key}"}
            return int((await client.get(f"{endpoint.base_url}/slots", headers=headers)).json()["busy"])

        events = stream(
            client, endpoint, parse_openai_request(Kind.COMPLETION, ask("go slow", streamed=True))
        )
        assert b"go" in await anext(events)
        assert await busy() == 1
        await events.aclose()

        async def is_free() -> bool:
            return await busy() == 0

        await until(is_free)


async def test_a_file_that_is_not_as_told_is_refused(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    supervisor = await start_supervisor()
    model = echo_model("a")
    wrong_size = msgspec.structs.replace(model, size_bytes=1)
    missing = msgspec.structs.replace(model, path=model.path + ".gone")
    for bad in (
        wrong_size,
        missing,
        msgspec.structs.replace(model, path="/dev", size_bytes=Path("/dev").stat().st_size),
    ):
        with pytest.raises(Invalid):
            await touch(supervisor, bad)


@pytest.mark.parametrize("line", [b"not json\n", b"{}\n", b'{"op":"explode"}\n', b"x" * 200_000 + b"\n"])
async def test_a_malformed_request_is_answered_and_harms_nobody(
    start_supervisor: StartSupervisor, echo_model: MakeModel, line: bytes
) -> None:
    supervisor = await start_supervisor()
    reader, writer = await asyncio.open_unix_connection(supervisor.socket)
    writer.write(line)
    assert msgspec.json.decode(await reader.readline(), type=Told).code == "invalid"
    writer.close()
    await touch(supervisor, echo_model("a"))


async def test_a_stale_socket_is_replaced_and_a_living_one_is_not(
    start_supervisor: StartSupervisor, echo_model: MakeModel
) -> None:
    first = await start_supervisor()
    rival = await start_supervisor(socket=first.socket)
    assert await rival.process.wait() == 1
    first.process.kill()
    await first.process.wait()
    with pytest.raises(EngineFailed, match="not running"):
        await fetch_status(first.socket)
    heir = await start_supervisor(socket=first.socket)
    await touch(heir, echo_model("a"))


async def test_it_can_be_tied_to_whoever_started_it(start_supervisor: StartSupervisor) -> None:
    supervisor = await start_supervisor(flags=("--exit-with-stdin",))
    assert supervisor.process.stdin is not None
    supervisor.process.stdin.close()
    assert await asyncio.wait_for(supervisor.process.wait(), 15) == 0
