"""Writes docs/benchmarks.md and, beside it, every sample as JSON."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import msgspec

from tests.bench.results import Goal, Row, Section

_HEAD = """# Benchmarks

Written by `{command}`; every sample is in [benchmarks.json](benchmarks.json). Ratios are computed within each
round, in which both sides were measured one after the other on the same machine; figures are medians of the
rounds, with the smallest and the largest. Trust the ratios more than the digits.

| | |
|---|---|
{machine}
"""


def write(folder: Path, command: str, machine: dict[str, str], sections: list[Section]) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = {"command": command, "machine": machine, "sections": sections}
    data = msgspec.json.format(msgspec.json.encode(raw), indent=1)
    (folder / "benchmarks.json").write_bytes(data + b"\n")
    (folder / "benchmarks.md").write_text(render(command, machine, sections))


def render(command: str, machine: dict[str, str], sections: list[Section]) -> str:
    """The page."""
    facts = "\n".join(f"| {name} | {value} |" for name, value in machine.items())
    parts = [_HEAD.format(command=command, machine=facts), _summary(sections)]
    parts += [_section(section) for section in sections]
    return "\n".join(parts)


def _summary(sections: list[Section]) -> str:
    judged = [goal for section in sections for goal in section.goals if goal.met is not None]
    return "\n".join(["## Targets", "", *_goal_table(judged), ""])


def _section(section: Section) -> str:
    lines = [
        f"## {section.title}",
        "",
        section.note,
        "",
        "| what | median | from | to |",
        "|---|---:|---:|---:|",
    ]
    lines += [_row(row) for row in section.rows]
    lines += ["", *_goal_table(section.goals), ""]
    return "\n".join(lines)


def _row(row: Row) -> str:
    low, high = min(row.samples), max(row.samples)
    return f"| {row.name} | {_number(median(row.samples))} {row.unit} | {_number(low)} | {_number(high)} |"


def _goal_table(goals: list[Goal]) -> list[str]:
    lines = ["| figure | measured | from | to | target | |", "|---|---:|---:|---:|---|---|"]
    for goal in goals:
        low, high = _number(min(goal.samples)), _number(max(goal.samples))
        verdict = {True: "met", False: "**not met**", None: ""}[goal.met]
        lines.append(
            f"| {goal.name} | {_number(goal.value)} {goal.unit} | {low} | {high} | {_target(goal)} | {verdict} |"
        )
    return lines


def _target(goal: Goal) -> str:
    if goal.at_least is not None:
        return f"at least {_number(goal.at_least)}"
    return f"at most {_number(goal.at_most)}" if goal.at_most is not None else ""


def _number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
