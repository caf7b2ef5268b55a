"""Memory of the hub while one very large file goes up and down."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable

from tests.bench import clients
from tests.bench.processes import PeakMemory, memory_bytes
from tests.bench.results import Goal, Plan, Row, Section, size_text
from tests.bench.servers import LiveHub, live_hub
from tests.bench.transfers import upload

_MB = 1e6
_LIMIT_MB = 150.0


def measure(plan: Plan) -> Section:
    """Peak over idle, for both ways up and down; every way on a hub that has just started."""
    rows, goals = [], []
    folder = plan.folder / "big"
    folder.mkdir()
    for name in ("plain", "Xet"):
        path = folder / f"{name}.safetensors"
        clients.write_file(path, plan.big_file_bytes, seed=200)
        with live_hub(plan.folder / f"memory-{name}") as hub:
            repo = f"{hub.user}/big-{name}"
            url = f"{hub.url}/{repo}/resolve/main/{path.name}"
            ways: dict[str, Callable[[], object]] = {
                f"{name} upload": lambda hub=hub, name=name, path=path: upload(hub, name, path),  # type: ignore[misc]
                f"{name} download": lambda hub=hub, repo=repo, path=path, name=name: clients.stock_client(  # type: ignore[misc]
                    hub, folder / "home", "down", repo, path, xet=name == "Xet"
                ),
                f"{name}, resolve": lambda url=url: clients.curl_download(url, plan.big_file_bytes),  # type: ignore[misc]
            }
            idle = _idle_mb(hub, plan)
            rows.append(Row(f"{name}: idle", "MB", [idle]))
            for way, work in ways.items():
                with PeakMemory(hub.process.pid) as watched:
                    work()
                peak = watched.peak_bytes / _MB
                rows.append(Row(f"{way}: peak", "MB", [peak]))
                goals.append(Goal(f"{way}: peak over idle", "MB", [peak - idle], at_most=_LIMIT_MB))
        path.unlink()
    shutil.rmtree(folder)
    return Section(
        f"Memory with a file of {size_text(plan.big_file_bytes)}",
        "Proportional set size of every process of the hub together, sampled ten times a second. Idle is measured"
        " once the hub has answered its first requests.",
        rows,
        goals,
    )


def _idle_mb(hub: LiveHub, plan: Plan) -> float:
    repo = hub.create_repo("warm")
    with hub.http() as http:
        http.get(f"/api/models/{repo}").raise_for_status()
    time.sleep(0 if plan.quick else 3)
    return memory_bytes(hub.process.pid) / _MB
