"""Uploads and downloads of one file against the floor for the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.bench import clients
from tests.bench.processes import cpu_s
from tests.bench.results import Goal, Plan, Row, Section, ratios, size_text
from tests.bench.servers import LiveHub, live_hub, nginx

_FLOOR = "cp, sync, sha256"
_HASHING = "sha256 + blake3"
_RANGES = {"8 MiB": 8 << 20, "64 KiB": 64 << 10}
_GIGA = 1e9


def measure_uploads(plan: Plan) -> Section:
    """Plain and Xet uploads by the stock client, and one bare PUT."""
    walls = {name: Row(name, "s", []) for name in (_FLOOR, *_UPLOADS)}
    cpus = {name: Row(f"{name}: server CPU", "s", []) for name in _UPLOADS}
    floor_cpu, hash_cpu = Row(f"{_FLOOR}: CPU", "s", []), Row(f"{_HASHING}: CPU", "s", [])
    with live_hub(plan.folder / "uploads") as hub:
        for number in range(plan.transfer_rounds):
            folder = plan.folder / f"up-{number}"
            folder.mkdir()
            for kind, name in enumerate(_UPLOADS):
                path = folder / f"{name.split()[0]}.safetensors"
                clients.write_file(path, plan.file_bytes, seed=10 * number + kind)
                before = cpu_s(hub.process.pid)
                walls[name].samples.append(upload(hub, name, path))
                cpus[name].samples.append(cpu_s(hub.process.pid) - before)
            floor = clients.copy_and_hash(path, folder / "copy")
            walls[_FLOOR].samples.append(floor.wall_s)
            floor_cpu.samples.append(floor.cpu_s)
            hash_cpu.samples.append(clients.hash_twice(path).cpu_s)
            shutil.rmtree(folder)
    goals = [
        Goal(f"Xet upload: server CPU, of {_HASHING}", "x", ratios(cpus["Xet"], hash_cpu), at_most=2.0),
        Goal(f"plain upload: server CPU, of {_FLOOR}", "x", ratios(cpus["plain"], floor_cpu)),
        *(
            Goal(f"{name} upload: time, of {_FLOOR}", "x", ratios(walls[name], walls[_FLOOR]))
            for name in _UPLOADS
        ),
    ]
    return Section(
        f"Upload of {size_text(plan.file_bytes)}",
        "Random bytes, other ones each time. `plain` and `Xet` are `upload_file` of the stock huggingface_hub (Git LFS;"
        " hf-xet with empty caches), from call to return: the client's own hashing and the commit are in the"
        " time. `bare PUT` is curl sending to a signed LFS address. Server CPU is user and system time of every"
        " process of the hub, receiving and writing included.",
        [*walls.values(), floor_cpu, hash_cpu, *cpus.values()],
        goals,
    )


_UPLOADS = ("bare PUT", "plain", "Xet")


def upload(hub: LiveHub, name: str, path: Path) -> float:
    """Seconds of one upload into a repo of its own, called like the file and its folder."""
    repo = hub.create_repo(f"{path.parent.name}-{path.stem}")
    if name == "bare PUT":
        return _put(hub, repo, path)
    return clients.stock_client(hub, path.parent / "home", "up", repo, path, xet=name == "Xet")


def _put(hub: LiveHub, repo: str, path: Path) -> float:
    item = {"oid": clients.sha256_of(path), "size": path.stat().st_size}
    with hub.http() as http:
        answer = http.post(
            f"/{repo}.git/info/lfs/objects/batch", json={"operation": "upload", "objects": [item]}
        )
    action = answer.raise_for_status().json()["objects"][0]["actions"]["upload"]
    return clients.curl_upload(action["href"], path)


def measure_downloads(plan: Plan) -> Section:
    """Whole files and ranges against nginx, and the stock client."""
    rows: dict[str, Row] = {}
    stock = {name: Row(f"huggingface_hub, {name}", "s", []) for name in ("plain", "Xet")}
    folder = plan.folder / "down"
    folder.mkdir()
    paths = {name: folder / f"{name}.safetensors" for name in stock}
    with live_hub(plan.folder / "downloads") as hub:
        for seed, (name, path) in enumerate(paths.items(), 100):
            digest = clients.write_file(path, plan.file_bytes, seed)
            upload(hub, name, path)
            if name == "plain":
                stored = hub.stored_file(digest)
        pages = {name: f"/{hub.user}/down-{name}/resolve/main/{path.name}" for name, path in paths.items()}
        with nginx(plan.folder / "nginx", stored.parent) as address:
            sides = {
                "nginx": (address, f"/{stored.name}"),
                "plain": (hub.address, pages["plain"]),
                "Xet": (hub.address, pages["Xet"]),
            }
            for number in range(plan.rounds):
                _serve_round(plan, sides, rows, number)
        for _ in range(plan.transfer_rounds):
            for name, row in stock.items():
                repo = f"{hub.user}/down-{name}"
                row.samples.append(
                    clients.stock_client(hub, folder / "home", "down", repo, paths[name], xet=name == "Xet")
                )
    shutil.rmtree(folder)
    goals = [
        Goal("whole file, of nginx", "x", ratios(rows["plain: whole"], rows["nginx: whole"]), at_least=0.8),
        *(
            Goal(f"ranges of {size}, of nginx", "x", _of_nginx(rows, "plain", size), at_least=0.5)
            for size in _RANGES
        ),
        Goal("whole file decoded from Xet, of nginx", "x", _of_nginx(rows, "Xet", "whole")),
        Goal("huggingface_hub: Xet, of plain", "x", ratios(stock["Xet"], stock["plain"])),
    ]
    return Section(
        f"Download of {size_text(plan.file_bytes)}",
        "nginx (sendfile, without tcp_nopush, the same stored file) and the hub serve the same client in turn: curl for whole files, one"
        " keep-alive connection for ranges at random offsets. `Xet` asks `resolve` for a file that is stored in"
        " xorbs only, which the hub decodes and verifies on the way. `huggingface_hub` is the stock client with"
        " empty caches, which also writes the file to disk.",
        [*rows.values(), *stock.values()],
        goals,
    )


def _of_nginx(rows: dict[str, Row], who: str, what: str) -> list[float]:
    return ratios(rows[f"{who}: {what}"], rows[f"nginx: {what}"])


def _serve_round(
    plan: Plan, sides: dict[str, tuple[tuple[str, int], str]], rows: dict[str, Row], seed: int
) -> None:
    """One measurement of each kind on each side, side by side."""
    for who, (address, path) in sides.items():
        url = f"http://{address[0]}:{address[1]}{path}"
        rate = clients.curl_download(url, plan.file_bytes) / _GIGA
        rows.setdefault(f"{who}: whole", Row(f"{who}: whole", "GB/s", [])).samples.append(rate)
    for size, range_bytes in _RANGES.items():
        for who, (address, path) in sides.items():
            rate = (
                clients.range_reads(address, path, plan.file_bytes, range_bytes, plan.seconds, seed) / _GIGA
            )
            name = f"{who}: {size}"
            rows.setdefault(name, Row(f"{who}: ranges of {size}", "GB/s", [])).samples.append(rate)
