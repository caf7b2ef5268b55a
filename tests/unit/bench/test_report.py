"""Each command writes its own part of the page and leaves the others alone."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench import report
from tests.bench.results import Goal, Part, Row, Section, Table


def _part(title: str, figure: float) -> Part:
    section = Section(
        f"Section of {title}",
        "A note.",
        [Row("a row", "s", [figure])],
        [Goal("a goal", "x", [figure], at_most=2.0)],
        [Table("Counts", ["class", "right"], [["copies", "7/7"]])],
    )
    return Part(title, f"make {title}", {"date": "today"}, [section])


def test_a_part_is_replaced_and_others_stay(tmp_path: Path) -> None:
    report.write(tmp_path, "hub", _part("one", 1.25))
    before = json.loads((tmp_path / "benchmarks.json").read_text())["hub"]
    report.write(tmp_path, "lineage", _part("two", 3.5))
    report.write(tmp_path, "lineage", _part("two", 4.5))
    data = json.loads((tmp_path / "benchmarks.json").read_text())
    assert list(data) == ["hub", "lineage"]
    assert data["hub"] == before
    page = (tmp_path / "benchmarks.md").read_text()
    assert page.count("### Section of one") == page.count("### Section of two") == 1
    assert "| a goal | 1.25 x | 1.25 | 1.25 | at most 2.00 | met |" in page
    assert "| a goal | 4.50 x | 4.50 | 4.50 | at most 2.00 | **not met** |" in page
    assert "3.50" not in page
    assert "| class | right |\n|---|---:|\n| copies | 7/7 |" in page


def test_the_page_of_this_repository_is_its_figures(tmp_path: Path) -> None:
    docs = Path(__file__).parents[3] / "docs"
    parts = report.read(docs)
    assert report.render(list(parts.values())) == (docs / "benchmarks.md").read_text()
