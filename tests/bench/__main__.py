"""`make bench`: run the benchmarks and write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import machine, memory, report, requests, startup, transfers
from tests.bench.results import Part, Plan, Section, full_plan, quick_plan
from tests.bench.servers import nginx_version

SECTIONS: dict[str, Callable[[Plan], Section]] = {
    "uploads": transfers.measure_uploads,
    "downloads": transfers.measure_downloads,
    "requests": requests.measure_requests,
    "commits": requests.measure_commits,
    "startup": startup.measure,
    "memory": memory.measure,
}
_DOCS = Path(__file__).parents[2] / "docs"


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smoke run; the figures mean nothing")
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--out", type=Path, help="folder of the report [docs; with --quick: none]")
    parser.add_argument("--work", type=Path, default=None, help="folder to work in: the disk to measure")
    given = parser.parse_args(arguments)
    if nginx_version() is None and "downloads" in given.only:
        sys.exit("needs nginx from the system's packages: apt-get install nginx")
    facts = machine.describe_hub()
    with tempfile.TemporaryDirectory(prefix="seedstock-bench-", dir=given.work) as folder:
        plan = quick_plan(Path(folder)) if given.quick else full_plan(Path(folder))
        sections = [_run(name, plan) for name in given.only]
    out = given.out or (None if given.quick else _DOCS)
    command = "make bench" if set(given.only) == set(SECTIONS) and not given.quick else "make bench BENCH=…"
    part = Part("The hub", command, facts, sections)
    print(report.render([part]))
    if out is not None:
        report.write(out, "hub", part)


def _run(name: str, plan: Plan) -> Section:
    print(f"measuring {name} ...", file=sys.stderr, flush=True)
    began = time.perf_counter()
    section = SECTIONS[name](plan)
    print(f"  {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return section


if __name__ == "__main__":
    main()
