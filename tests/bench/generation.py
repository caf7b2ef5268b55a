"""Generation through the hub against the same engine process asked directly, and streams that nobody reads to their end.

Both sides stream the same chat from the same client, each first in every other round, and each round gives one ratio.
The ratio is what the hub costs; the engine, its settings and its loaded weights are the same.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections import defaultdict
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import msgspec

from tests.bench import processes
from tests.bench.results import Goal, Plan, Row, Section, Table
from tests.bench.run_hub import RunHub, run_hub
from tests.contract.open_things import OpenThings, quiet_things

STREAMS = (1, 4, 8)
ABANDONED = 200


class Target(msgspec.Struct, frozen=True):
    """Where to ask, as whom, for what."""

    url: str
    key: str
    model: str


class Sample(msgspec.Struct, frozen=True):
    """One run of some streams at once; `hub_cpu_s` is what the hub's own processes took meanwhile."""

    tokens_per_s: float
    first_token_s: float
    hub_cpu_s: float


def measure(plan: Plan) -> Section:
    """1, 4 and 8 streams at once."""
    rounds, tokens = (1, 8) if plan.quick else (9, 48)
    with run_hub(plan.folder) as hub:
        found = asyncio.run(_rounds(hub, rounds, tokens))
    rows, goals, costs = [], [], []
    for streams, pairs in found.items():
        named = f"{streams} stream{'s' if streams > 1 else ''}"
        for side, at in (("llama.cpp asked directly", 0), ("the hub", 1)):
            rows.append(Row(f"{named}, {side}", "tokens/s", [pair[at].tokens_per_s for pair in pairs]))
        ratios = [ours.tokens_per_s / bare.tokens_per_s for bare, ours in pairs]
        added = [1000 * (ours.first_token_s - bare.first_token_s) for bare, ours in pairs]
        spent = [1000 * ours.hub_cpu_s / (streams * tokens) for _, ours in pairs]
        goals.append(Goal(f"generation, {named}: tokens/s, of llama.cpp's", "x", ratios, at_least=0.95))
        goals.append(Goal(f"generation, {named}: added to the first token", "ms", added, at_most=15.0))
        costs.append(Row(f"{named}, processor time of the hub for a token", "ms", spent))
    note = f"SmolLM2-135M Q4_1, chats of {tokens} tokens each, without cached prompts; medians over the streams of a round."
    return Section("Generation", note, rows + costs, goals)


def measure_abandoned(plan: Plan) -> Section:
    """What streams leave behind that are hung up on after their first token."""
    count = 8 if plan.quick else ABANDONED
    with run_hub(plan.folder) as hub:
        before, after, grown = asyncio.run(_abandon(hub, count))
    table = Table(
        f"{count} streams, 8 at a time, closed at their first token",
        ["of the hub and its engine", "before", "after"],
        [
            ["busy slots", str(before.busy), str(after.busy)],
            ["threads", str(before.threads), str(after.threads)],
            ["open files and sockets", str(before.files), str(after.files)],
        ],
    )
    left = max(after.busy - before.busy, after.threads - before.threads, after.files - before.files, 0)
    goals = [
        Goal("abandoned streams: slots, threads or files left by each", "", [left / count], at_most=0.02),
        Goal("abandoned streams: memory more than before", "MB", [grown / 1e6]),
    ]
    note = "The hub has answered as many such streams before the first count, so that pools and caches are filled."
    return Section("Abandoned streams", note, goals=goals, tables=[table])


async def _rounds(hub: RunHub, rounds: int, tokens: int) -> dict[int, list[tuple[Sample, Sample]]]:
    found: dict[int, list[tuple[Sample, Sample]]] = defaultdict(list)
    ours, pids = Target(hub.process.url, hub.key, hub.repo), hub.process.pids()
    async with _client() as client:
        await _sample(client, ours, pids, 1, 8)
        endpoint = await hub.endpoint()
        bare = Target(endpoint.base_url, endpoint.api_key, "any")
        await _sample(client, bare, pids, 1, 8)
        for number in range(rounds):
            for streams in STREAMS:
                order = (bare, ours) if number % 2 else (ours, bare)
                both = {side: await _sample(client, side, pids, streams, tokens) for side in order}
                found[streams].append((both[bare], both[ours]))
    return found


async def _abandon(hub: RunHub, count: int) -> tuple[OpenThings, OpenThings, int]:
    target, root = Target(hub.process.url, hub.key, hub.repo), hub.process.pids()[0]
    async with _client() as client:
        await _hang_up(client, target, count)
        endpoint = await hub.endpoint()
        before, memory = await quiet_things(root, endpoint), processes.memory_bytes(root)
        await _hang_up(client, target, count)
        after = await quiet_things(root, endpoint, before)
        return before, after, processes.memory_bytes(root) - memory


def _client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_keepalive_connections=0)  # the engine closes them after streams
    return httpx.AsyncClient(timeout=300, trust_env=False, limits=limits)


async def _hang_up(client: httpx.AsyncClient, target: Target, count: int) -> None:
    gate = asyncio.Semaphore(8)

    async def one(number: int) -> None:
        async with gate, _ask(client, target, number, 2000) as answer:
            async for line in answer.aiter_lines():
                if '"content":"' in line:
                    return

    await asyncio.gather(*(one(number) for number in range(count)))


async def _sample(
    client: httpx.AsyncClient, target: Target, pids: list[int], streams: int, tokens: int
) -> Sample:
    """Several streams at once."""
    before_s, start = _own_cpu_s(pids), time.perf_counter()
    found = await asyncio.gather(*(_one_stream(client, target, number, tokens) for number in range(streams)))
    tokens_per_s = sum(count for _, count in found) / (time.perf_counter() - start)
    first_s = statistics.median(first for first, _ in found)
    return Sample(tokens_per_s, first_s, _own_cpu_s(pids) - before_s)


async def _one_stream(
    client: httpx.AsyncClient, target: Target, number: int, tokens: int
) -> tuple[float, int]:
    """Time to the first token, and tokens in all."""
    first_s, found, start = 0.0, 0, time.perf_counter()
    async with _ask(client, target, number, tokens) as answer:
        async for line in answer.aiter_lines():
            if not first_s and '"content":"' in line:
                first_s = time.perf_counter() - start
            if '"completion_tokens":' in line:
                found = msgspec.json.decode(line[6:])["usage"]["completion_tokens"]
    assert found == tokens, answer.status_code
    return first_s, found


def _ask(
    client: httpx.AsyncClient, target: Target, number: int, tokens: int
) -> AbstractAsyncContextManager[httpx.Response]:
    body = {
        "model": target.model,
        "messages": [{"role": "user", "content": f"{number}: Tell me a long story about a river."}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "cache_prompt": False,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    headers = {"Authorization": f"Bearer {target.key}"}
    return client.stream("POST", f"{target.url}/v1/chat/completions", json=body, headers=headers)


def _own_cpu_s(pids: list[int]) -> float:
    """Of the hub's own processes; engines are not among them."""
    ticks = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13] for pid in pids]
    return sum(int(user) + int(system) for user, system in ticks) / os.sysconf("SC_CLK_TCK")
