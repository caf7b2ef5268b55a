"""`make bench-adapt`: what training and merging cost beside the same work done without a hub; writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.bench import adapt_speed, machine, merge, report, rollouts
from tests.bench.results import Part, full_plan, quick_plan

SECTIONS = {"training": adapt_speed.measure, "merging": merge.measure, "rollouts": rollouts.measure}
_DOCS = Path(__file__).parents[2] / "docs"


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.adapt", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smoke run; the figures mean nothing")
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--out", type=Path, help="folder of the report [docs; with --quick: none]")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="seedstock-bench-") as folder:
        plan = quick_plan(Path(folder)) if given.quick else full_plan(Path(folder))
        sections = [SECTIONS[name](plan) for name in given.only]
    part = Part("Making models", "make bench-adapt", machine.describe_hub(), sections)
    print(report.render([part]))
    out = given.out or (None if given.quick else _DOCS)
    if out is not None:
        report.write(out, "adapt", part)


if __name__ == "__main__":
    main()
