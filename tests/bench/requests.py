"""Requests and commits per second."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import httpx

from tests.bench.load import requests_per_s
from tests.bench.results import Goal, Plan, Row, Section, ratios
from tests.bench.servers import LiveHub, live_hub

_FILES = 1000
_CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 32000}
_CARD = """---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [text-generation, benchmark]
---
# A model
"""
_EMPTY = "empty route (/healthz)"


def measure_requests(plan: Plan) -> Section:
    """Metadata requests against a route that does nothing."""
    with live_hub(plan.folder / "requests") as hub:
        repo, wide = hub.create_repo("model"), hub.create_repo("wide")
        with hub.http() as http:
            weights = {f"weights-{number}.txt": "0" for number in range(8)}
            commit(http, repo, {"README.md": _CARD, "config.json": json.dumps(_CONFIG), **weights})
            commit(http, wide, {f"part-{number:04d}.txt": str(number) for number in range(_FILES)})
        routes = {
            _EMPTY: ("GET", "/healthz"),
            "repo info": ("GET", f"/api/models/{repo}"),
            "repo info at a revision": ("GET", f"/api/models/{repo}/revision/main"),
            "HEAD of resolve": ("HEAD", f"/{repo}/resolve/main/config.json"),
            "tree of 1,000 entries": ("GET", f"/api/models/{wide}/tree/main?limit=1000"),
        }
        rows = _interleaved(plan, hub, routes)
        signed = _signed_in(plan, hub, routes["repo info"][1])
    empty = rows[_EMPTY]
    goals = [
        Goal(f"{name}, of the empty route", "x", ratios(row, empty), at_least=_TARGETS.get(name))
        for name, row in rows.items()
        if name != _EMPTY
    ]
    return Section(
        "Requests per second",
        "16 keep-alive connections from one process, one worker, anonymous callers unless said otherwise. The empty"
        " route is `/healthz`: it runs on the event loop, without the thread, the caller's identity and the"
        " database that every other route needs, so that the ratio is the strictest one.",
        [*rows.values(), signed],
        goals,
    )


_TARGETS = {"repo info": 0.35}


def _interleaved(plan: Plan, hub: LiveHub, routes: dict[str, tuple[str, str]]) -> dict[str, Row]:
    rows = {name: Row(name, "requests/s", []) for name in routes}
    for method, path in routes.values():  # caches are warm in every round
        requests_per_s(hub.address, path, method=method, seconds=plan.seconds / 10)
    for _ in range(plan.rounds):
        for name, (method, path) in routes.items():
            rate = requests_per_s(hub.address, path, method=method, seconds=plan.seconds)
            rows[name].samples.append(rate)
    return rows


def _signed_in(plan: Plan, hub: LiveHub, path: str) -> Row:
    headers = (f"Authorization: Bearer {hub.token}",)
    samples = [
        requests_per_s(hub.address, path, seconds=plan.seconds, headers=headers) for _ in range(plan.rounds)
    ]
    return Row("repo info with a token", "requests/s", samples)


def commit(http: httpx.Client, repo: str, files: dict[str, str]) -> None:
    """Commit small files to main."""
    lines = [{"key": "header", "value": {"summary": "Add files"}}]
    lines += [{"key": "file", "value": {"path": path, "content": text}} for path, text in files.items()]
    body = "\n".join(json.dumps(line) for line in lines)
    http.post(f"/api/models/{repo}/commit/main", content=body).raise_for_status()


def measure_commits(plan: Plan) -> Section:
    """Commits of one small file each, one after another, against durable transactions on the same disk."""
    hub_rate, floor_rate = Row("commits", "commits/s", []), Row("bare transactions", "transactions/s", [])
    with live_hub(plan.folder / "commits") as hub, hub.http() as http:
        for number in range(plan.rounds):
            repo = hub.create_repo(f"commits-{number}")
            commit(http, repo, {"warm.txt": "up"})
            began = time.perf_counter()
            for serial in range(plan.commits):
                commit(http, repo, {f"file-{serial % 50}.txt": str(serial)})
            hub_rate.samples.append(plan.commits / (time.perf_counter() - began))
            floor_rate.samples.append(_transactions_per_s(plan.folder / f"floor-{number}.db", plan.commits))
    return Section(
        "Commits per second",
        "One client, one connection, one small file per commit; each is on disk before it is acknowledged. The floor"
        " is one SQLite transaction that inserts one row, equally durable (WAL, `synchronous=FULL`).",
        [floor_rate, hub_rate],
        [Goal("commits, of bare transactions", "x", ratios(hub_rate, floor_rate))],
    )


def _transactions_per_s(path: Path, count: int) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value TEXT)")
    began = time.perf_counter()
    for number in range(count):
        connection.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 500))
    rate = count / (time.perf_counter() - began)
    connection.close()
    path.unlink()
    return rate
