"""Run the recipe for three seeds, measure every claim on problems that nobody has looked at, and write down what came out.

`python recipes/r1-tiny/report.py` (or `make replicate-r1`) runs what has not run yet below .cache/r1-tiny and writes
docs/r1-tiny.md and its picture. Exit code 1 if an expected difference is not there.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seedstock.recipes.statistics import Difference, paired_difference
from seedstock.replications.local import LocalRuns, run_local

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "r1-tiny.md"
PICTURE = ROOT / "docs" / "images" / "r1-tiny.svg"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
Scores = NDArray[np.float64]

NAMES = {
    "foundation": "foundation",
    "zero": "R1-Zero: GRPO from the foundation",
    "cold_start": "cold start: SFT on 600 written traces",
    "reasoning": "GRPO after the cold start",
    "rejection": "SFT of the foundation on the latter's kept answers",
    "student_foundation": "student: foundation",
    "student_zero": "student: GRPO from its foundation",
    "distilled": "student: distilled from R1-Zero",
    "student_control": "student: SFT on the 600 written traces, no teacher",
}


class Expected(NamedTuple):
    """A difference that the recipe is expected to show."""

    name: str
    better: str
    worse: str
    points: float
    above_zero: bool = False


EXPECTED = (
    Expected("R1-Zero over its foundation", "zero", "foundation", 10),
    Expected("cold start over the foundation", "cold_start", "foundation", 20),
    Expected(
        "distilled from R1-Zero over direct RL on the student",
        "distilled",
        "student_zero",
        4,
        above_zero=True,
    ),
)
REPORTED = (
    Expected("GRPO after the cold start over the cold start", "reasoning", "cold_start", 0),
    Expected("rejection-sampling SFT over the foundation", "rejection", "foundation", 0),
    Expected("distilled from R1-Zero over the control without a teacher", "distilled", "student_control", 0),
)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "r1-tiny")
    arguments = parser.parse_args()
    began_s = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began_s:6.0f} s  {text}", flush=True)

    runs = run_local(
        HERE / "recipe.toml", arguments.folder, range(arguments.seeds), at_once=arguments.at_once, tell=tell
    )
    differences = {wanted: difference(runs.scores, wanted) for wanted in (*EXPECTED, *REPORTED)}
    met = {wanted: is_met(wanted, differences[wanted]) for wanted in EXPECTED}
    text = report(runs, differences, met, time.monotonic() - began_s)
    print(text)
    PICTURE.write_text(picture(runs))
    write_page(text)
    return 0 if all(met.values()) else 1


def difference(scores: Mapping[str, Scores], wanted: Expected) -> Difference:
    """Mean and 90 % interval over seeds and items.

    Taken seed by seed: both sides of a difference start from the one foundation of that seed, good or bad.
    """
    by_seed = scores[wanted.better] - scores[wanted.worse]
    return paired_difference(np.zeros((1, by_seed.shape[1])), by_seed)


def is_met(wanted: Expected, found: Difference) -> bool:
    """Whether the mean is there, and the interval above zero where that is asked."""
    return 100 * found.mean >= wanted.points and (not wanted.above_zero or found.interval.low > 0)


def report(
    runs: LocalRuns, differences: Mapping[Expected, Difference], met: Mapping[Expected, bool], seconds: float
) -> str:
    """The results as Markdown."""
    seeds = len(runs.runs)
    items = next(iter(runs.scores.values())).shape[1]
    samples = runs.recipe.claim[0].eval.samples
    lines = [
        f"Measured {datetime.datetime.now(tz=datetime.UTC).date().isoformat()}, {platform.machine()}, {seeds} seeds, {items} test problems, {samples} answers each at"
        f" temperature 1; {seconds / 60:.1f} minutes here (stages that were there already are not run again).",
        "",
        f"| model | {' | '.join(f'seed {seed}' for seed in range(seeds))} | mean | CPU s |",
        f"|---|{'---|' * (seeds + 2)}",
    ]
    for stage, name in NAMES.items():
        each = 100 * runs.scores[stage].mean(axis=1)
        cpu = np.mean(
            [
                next(run for run in seed if run.name == stage).result["process_cpu_seconds"]
                for seed in runs.runs
            ]
        )
        lines.append(
            f"| {name} | {' | '.join(f'{value:.1f}' for value in each)} | **{each.mean():.1f}** | {cpu:.0f} |"
        )
    lines += [
        "",
        "| difference, points, seed by seed | mean | 90 % interval | expected |",
        "|---|---|---|---|",
    ]
    for wanted, found in differences.items():
        asked = (
            f"at least {wanted.points:g}{', above 0' if wanted.above_zero else ''}"
            if wanted in met
            else "reported"
        )
        verdict = "" if wanted not in met else ": yes" if met[wanted] else ": **no**"
        low, high = 100 * found.interval.low, 100 * found.interval.high
        lines.append(
            f"| {wanted.name} | {100 * found.mean:+.1f} | {low:+.1f} to {high:+.1f} | {asked}{verdict} |"
        )
    return "\n".join(lines) + "\n"


def write_page(text: str) -> None:
    """Put the results between their marks."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}")


def picture(runs: LocalRuns) -> str:
    """Held-out pass@1 of each model, a dot a seed, as SVG."""
    width, row, left = 760, 34, 330
    names = list(NAMES.items())
    height = row * len(names) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    scale = (width - left - 30) / 60
    for mark in range(0, 61, 10):
        x = left + mark * scale
        parts.append(f'<line x1="{x}" y1="16" x2="{x}" y2="{height - 30}" stroke="#dfe3dc"/>')
        parts.append(f'<text x="{x}" y="{height - 12}" text-anchor="middle" fill="#5d6961">{mark} %</text>')
    for at, (stage, name) in enumerate(names):
        y = 32 + at * row
        each = 100 * runs.scores[stage].mean(axis=1)
        colour = "#c2702c" if stage.startswith("student") or stage == "distilled" else "#0b6b4d"
        parts.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end" fill="#17201b">{name}</text>')
        parts.append(
            f'<rect x="{left}" y="{y - 7}" width="{each.mean() * scale:.1f}" height="14" fill="{colour}" opacity="0.35"/>'
        )
        parts += [
            f'<circle cx="{left + value * scale:.1f}" cy="{y}" r="4" fill="{colour}"/>' for value in each
        ]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    sys.exit(main())
