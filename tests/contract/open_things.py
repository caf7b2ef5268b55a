"""What a hub and its engines hold open: slots that work, threads, files."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import msgspec

from seedstock.run.engines.base import Endpoint
from tests.bench.processes import tree


class OpenThings(msgspec.Struct, frozen=True):
    """Counts over a tree of processes."""

    busy: int
    threads: int
    files: int

    def within(self, other: OpenThings) -> bool:
        """Whether nothing is more."""
        return self.busy <= other.busy and self.threads <= other.threads and self.files <= other.files


async def quiet_things(
    root: int, endpoint: Endpoint, at_most: OpenThings | None = None, patience_s: float = 20.0
) -> OpenThings:
    """The counts once they are no more than `at_most`, or when patience ends; without it once no slot works."""
    until_s = time.monotonic() + patience_s
    while True:
        found = await _count(root, endpoint)
        done = found.within(at_most) if at_most else not found.busy
        if done or time.monotonic() > until_s:
            return found
        await asyncio.sleep(0.2)


async def _count(root: int, endpoint: Endpoint) -> OpenThings:
    headers = {"Authorization": f"Bearer {endpoint.api_key}"}
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        slots = (await client.get(f"{endpoint.base_url}/slots", headers=headers)).json()
    # Counted after that connection has closed here; the engine may still hold its end, so callers ask again.
    pids = tree(root)
    return OpenThings(
        sum(slot["is_processing"] for slot in slots),
        sum(_entries(pid, "task") for pid in pids),
        sum(_entries(pid, "fd") for pid in pids),
    )


def _entries(pid: int, kind: str) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/{kind}").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return 0
