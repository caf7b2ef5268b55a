"""Writes docs/benchmarks.md and, beside it, every sample as JSON."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import msgspec

from tests.bench.results import Goal, Part, Row, Section, Table

_HEAD = """# Benchmarks

Every sample is in [benchmarks.json](benchmarks.json). Ratios are computed within each round, in which both sides were
measured one after the other on the same machine; figures are medians of the rounds, with the smallest and the largest.
Trust the ratios more than the digits. Each part is written by its own command and leaves the others as they were.
"""


def write(folder: Path, name: str, part: Part) -> None:
    """Put a part into both files; parts that other commands measured stay."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = read(folder) | {name: part}
    data = msgspec.json.format(msgspec.json.encode(parts), indent=1)
    (folder / "benchmarks.json").write_bytes(data + b"\n")
    (folder / "benchmarks.md").write_text(render(list(parts.values())))


def read(folder: Path) -> dict[str, Part]:
    """All parts that were measured, by name."""
    path = folder / "benchmarks.json"
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Part]) if path.exists() else {}


def render(parts: list[Part]) -> str:
    """The page."""
    sections = [section for part in parts for section in part.sections]
    return "\n".join([_HEAD, _summary(sections), *map(_part, parts)])


def _summary(sections: list[Section]) -> str:
    judged = [goal for section in sections for goal in section.goals if goal.met is not None]
    return "\n".join(["## Targets", "", *_goal_table(judged), ""])


def _part(part: Part) -> str:
    lines = [f"## {part.title}", "", f"Written by `{part.command}`.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in part.machine.items()]
    return "\n".join([*lines, "", *map(_section, part.sections)])


def _section(section: Section) -> str:
    lines = [f"### {section.title}", "", section.note, ""]
    if section.rows:
        lines += ["| what | median | from | to |", "|---|---:|---:|---:|", *map(_row, section.rows), ""]
    for table in section.tables:
        lines += [f"**{table.title}**", "", *_table(table), ""]
    if section.goals:
        lines += [*_goal_table(section.goals), ""]
    return "\n".join(lines)


def _table(table: Table) -> list[str]:
    rule = "|---" + "|---:" * (len(table.head) - 1) + "|"
    return [f"| {' | '.join(table.head)} |", rule, *(f"| {' | '.join(row)} |" for row in table.rows)]


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
