"""Generation through the hub against the same engine process asked directly: `python -m tests.bench.generation MODEL.gguf`.

Both sides stream the same chat from the same client, in turn, and each round gives one ratio. The ratio is
what the hub costs; the engine, its settings and its loaded weights are the same.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import msgspec
from huggingface_hub import HfApi
from huggingface_hub.utils import disable_progress_bars

from seedstock.run.client import lease
from seedstock.run.engines.base import ModelFile
from seedstock.settings import load
from tests.contract.server import HubProcess

REPO = "ada/bench"


class Target(msgspec.Struct):
    """Where to ask, as whom, for what."""

    url: str
    key: str
    model: str


class Sample(msgspec.Struct):
    """One run of some streams at once; `hub_cpu_s` is what the hub's own processes took meanwhile."""

    tokens_per_s: float
    first_token_s: float
    hub_cpu_s: float


async def one_stream(
    client: httpx.AsyncClient, target: Target, number: int, tokens: int
) -> tuple[float, int]:
    """Time to the first token, and tokens in all."""
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
    first_s, found = 0.0, 0
    start = time.perf_counter()
    headers = {"Authorization": f"Bearer {target.key}"}
    async with client.stream(
        "POST", f"{target.url}/v1/chat/completions", json=body, headers=headers
    ) as answer:
        async for line in answer.aiter_lines():
            if not first_s and '"content":"' in line:
                first_s = time.perf_counter() - start
            if '"completion_tokens":' in line:
                found = msgspec.json.decode(line[6:])["usage"]["completion_tokens"]
    assert found == tokens, answer.status_code
    return first_s, found


def cpu_s(pids: list[int]) -> float:
    """CPU time that processes have taken so far; engines are not among them."""
    ticks = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13] for pid in pids]
    return sum(int(user) + int(system) for user, system in ticks) / os.sysconf("SC_CLK_TCK")


async def sample(
    client: httpx.AsyncClient, target: Target, pids: list[int], streams: int, tokens: int
) -> Sample:
    """Several streams at once."""
    before_s = cpu_s(pids)
    start = time.perf_counter()
    found = await asyncio.gather(*(one_stream(client, target, number, tokens) for number in range(streams)))
    wall_s = time.perf_counter() - start
    tokens_per_s = sum(count for _, count in found) / wall_s
    return Sample(tokens_per_s, statistics.median(first for first, _ in found), cpu_s(pids) - before_s)


async def measure(
    hub: Target, pids: list[int], socket: Path, model: ModelFile, counts: list[int], rounds: int, tokens: int
) -> None:
    """Print a line per number of streams."""
    limits = httpx.Limits(max_keepalive_connections=0)  # the engine closes them after streams
    async with httpx.AsyncClient(timeout=300, trust_env=False, limits=limits) as client:
        await sample(client, hub, pids, 1, 8)
        async with lease(
            socket, model
        ) as endpoint:  # loaded by now, so this is the process that the hub asks
            direct = Target(endpoint.base_url, endpoint.api_key, "any")
        await sample(client, direct, pids, 1, 8)
        print(
            "streams | direct tok/s | hub tok/s | hub/direct median (least, most) | added ms to first token"
        )
        for streams in counts:
            pairs = []
            for number in range(rounds):
                order = (direct, hub) if number % 2 else (hub, direct)
                both = {id(one): await sample(client, one, pids, streams, tokens) for one in order}
                pairs.append((both[id(direct)], both[id(hub)]))
            ratios = sorted(through.tokens_per_s / alone.tokens_per_s for alone, through in pairs)
            added = statistics.median(through.first_token_s - alone.first_token_s for alone, through in pairs)
            spent_s = statistics.median(through.hub_cpu_s for _, through in pairs) / (streams * tokens)
            alone_s = statistics.median(one.tokens_per_s for one, _ in pairs)
            through_s = statistics.median(one.tokens_per_s for _, one in pairs)
            spread = f"{statistics.median(ratios):.3f} ({ratios[0]:.3f}, {ratios[-1]:.3f})"
            print(
                f"{streams} | {alone_s:.1f} | {through_s:.1f} | {spread} | {added * 1000:.1f} | {spent_s * 1000:.2f}",
                flush=True,
            )


def main() -> None:
    """Publish the model on a hub of its own, and measure."""
    parser = argparse.ArgumentParser(prog="tests.bench.generation")
    parser.add_argument("model", type=Path)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=48)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="seedstock-bench-") as folder:
        hub = HubProcess(Path(folder) / "data")
        hub.people()
        hub.start()
        try:
            disable_progress_bars()
            api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
            api.create_repo(REPO)
            api.upload_file(path_or_fileobj=options.model, path_in_repo=options.model.name, repo_id=REPO)
            target = Target(hub.url, hub.tokens["ada"], REPO)
            path = options.model.resolve()
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            model = ModelFile(digest, str(path), path.stat().st_size)
            socket = load({}, data=hub.data).run_socket
            asyncio.run(
                measure(target, hub.pids(), socket, model, options.streams, options.rounds, options.tokens)
            )
        finally:
            hub.stop()


if __name__ == "__main__":
    main()
