"""`make bench-run`: what answering through the hub costs beside the engine asked directly; writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.bench import generation, machine, report, run_adapters
from tests.bench.results import Part, full_plan, quick_plan

SECTIONS = {
    "generation": generation.measure,
    "abandoned": generation.measure_abandoned,
    "adapters": run_adapters.measure,
}
_PACKAGES = ("granian", "starlette", "httpx", "msgspec", "xllamacpp")
_DOCS = Path(__file__).parents[2] / "docs"


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smoke run; the figures mean nothing")
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--out", type=Path, help="folder of the report [docs; with --quick: none]")
    given = parser.parse_args(arguments)
    facts = machine.describe(_PACKAGES)
    sections = []
    for name in given.only:
        with tempfile.TemporaryDirectory(prefix="seedstock-bench-") as folder:
            plan = (quick_plan if given.quick else full_plan)(Path(folder))
            sections.append(SECTIONS[name](plan))
    part = Part("Running models", "make bench-run", facts, sections)
    print(report.render([part]))
    out = given.out or (None if given.quick else _DOCS)
    if out is not None:
        report.write(out, "run", part)


if __name__ == "__main__":
    main()
