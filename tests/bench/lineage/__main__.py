"""Compare the families that `build` made, and write the lineage part of docs/benchmarks.md.

`--quick` needs no torch: it plays the training, makes few families, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import machine, report
from tests.bench.lineage import build, costs, hostile, judge, labels, page, smollm2_family, toy_families
from tests.bench.lineage.stand_in import StandIn
from tests.bench.results import Part

_PACKAGES = ("numpy", "scipy", "gguf")
_DOCS = Path(__file__).parents[3] / "docs"


def main(arguments: list[str] | None = None) -> list[judge.Outcome]:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.lineage", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smoke run without torch")
    parser.add_argument("--only", nargs="*", help="families to judge, such as test-llama")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder of the report [docs; with --quick or --only: none]")
    given = parser.parse_args(arguments)
    facts = machine.describe(_PACKAGES)
    with tempfile.TemporaryDirectory(prefix="seedstock-lineage-") as scratch:
        if given.quick:
            folder = Path(scratch)
            toy_families.build("calibration", "llama", folder, StandIn(), toy_families.QUICK)
            models = _one_of_each(labels.load(folder))
        else:
            folder = build.folder()
            models = _chosen(labels.load(folder), given.only)
        outcomes, part = _measure(folder, models, Path(scratch), given.quick, given.processes, facts)
    out = given.out or (None if given.quick or given.only else _DOCS)
    if out is not None:
        report.write(out, "lineage", part)
    print(report.render([part]))
    page.mistakes(outcomes, lambda line: print(line, file=sys.stderr))
    print(page.headline(outcomes), file=sys.stderr)
    return outcomes


def _measure(
    folder: Path, models: labels.Manifest, scratch: Path, quick: bool, processes: int, facts: dict[str, str]
) -> tuple[list[judge.Outcome], Part]:
    kept = None if quick else folder / "answers"
    outcomes = _timed("pairs", lambda: judge.compare_all(folder, models, processes, kept))
    merges = _timed("merges", lambda: judge.explain_all(folder, models, processes))
    attacks = _timed("hostile files", lambda: hostile.run(scratch, large=not quick))
    signed = [] if quick else _timed("signatures", lambda: _sign_real(folder, models))
    rows, shape = (2000, toy_families.QUICK) if quick else (1_000_000, smollm2_family.SHAPE)
    trace = _timed(
        "search", lambda: costs.measure_trace(scratch / "index", models, folder, rows, shape.width, 3)
    )
    made = page.sections(outcomes, merges, attacks, signed, trace)
    return outcomes, Part("What models are built on", "make bench-lineage", facts, made)


def _timed(what, work):  # type: ignore[no-untyped-def]
    print(f"{what} ...", file=sys.stderr, flush=True)
    began = time.perf_counter()
    result = work()
    print(f"  {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return result


def _sign_real(folder: Path, models: labels.Manifest) -> list[costs.SignatureCost]:
    chosen = {
        "base": "safetensors, BF16",
        "copy": "four shards, BF16",
        "ft1.Q8_0": "GGUF, Q8_0",
        "ft1.Q4_0": "GGUF, Q4_0",
    }
    files = {member.name: member.files for member in models.members}
    return [
        costs.measure_signature(title, [folder / file for file in files[f"{smollm2_family.NAME}/{name}"]], 5)
        for name, title in chosen.items()
        if f"{smollm2_family.NAME}/{name}" in files
    ]


def _one_of_each(models: labels.Manifest) -> labels.Manifest:
    """A pair of each class."""
    pairs = {pair.made: pair for pair in reversed(models.pairs)}
    return labels.Manifest(models.members, list(pairs.values()), models.merges[:2] + models.merges[-2:])


def _chosen(models: labels.Manifest, only: list[str] | None) -> labels.Manifest:
    """Some families, or all; pairs across families where both are there."""
    members = [m for m in models.members if not only or m.name.partition("/")[0] in only]
    names = {member.name for member in members}
    return labels.Manifest(
        members,
        [pair for pair in models.pairs if {pair.a, pair.b} <= names],
        [merge for merge in models.merges if {merge.target, *merge.parents, merge.base} <= names],
    )


if __name__ == "__main__":
    main()
