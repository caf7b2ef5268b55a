"""The foundations report: sentences, shares and charts from counts."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.web.charts import WIDTH, area_chart, layer_chart, nice_top
from seedstock.web.foundations import RootCount, Totals, report
from seedstock.web.foundations_export import as_csv, as_json
from seedstock.web.views.common import Link
from seedstock.web.views.evidence import LayerChartView, LayerView
from seedstock.web.views.foundations import Measure, OriginView, TrendView


def root(name: str, models: int, country: str | None = None, **rest: int) -> RootCount:
    return RootCount(name, name.partition("/")[0], models, origin=OriginView(country), **rest)


def test_one_sentence_says_what_the_hub_is_built_on() -> None:
    roots = (
        root("lab/a", 6, "France", verified=6),
        root("lab/b", 3, "Kenya", declared=3),
        root("x/c", 1, verified=1),
    )
    page = report(roots, Totals(models=14, derived=10))
    assert (
        page.headline
        == "10 of this hub’s 14 models are built on others: 60% on lab/a, 30% on lab/b and 10% on x/c."
    )
    assert page.lead == (
        "As their publishers state it, the foundations come 60% from France and 30% from Kenya; for 10% no country is "
        "stated. Of the descent, 70% verified from weights and 30% only declared."
    )


@pytest.mark.parametrize(
    ("roots", "totals", "expected"),
    [
        ((), Totals(0, 0), "None of this hub’s 0 models is known to be built on another."),
        ((root("a/b", 0),), Totals(1, 0), "None of this hub’s 1 model is known to be built on another."),
        ((root("a/b", 1),), Totals(2, 1), "1 of this hub’s 2 models is built on others, all on a/b."),
    ],
)
def test_sentences_for_little(roots: tuple[RootCount, ...], totals: Totals, expected: str) -> None:
    page = report(roots, totals)
    assert page.headline == expected
    assert "France" not in page.lead


def test_a_country_that_nobody_states_is_never_named() -> None:
    page = report((root("kimi-fan/qwen-like", 5),), Totals(6, 5))
    assert page.lead.startswith("For 100% no country is stated.")
    assert page.roots[0].origin.country is None
    assert [part.label for part in page.bars[1].segments] == ["Not stated"]


def test_the_measure_orders_roots_and_leads_downloads_and_links() -> None:
    roots = (root("a/many", 9, downloads=10), root("a/loud", 1, downloads=990))
    page = report(
        roots, Totals(12, 10), measure=Measure.DOWNLOADS, scope=Link("a", "/a"), base="/a/foundations"
    )
    assert [row.name for row in page.roots] == ["a/loud", "a/many"]
    assert page.roots[0].percent == 99
    assert page.csv_href == "/a/foundations.csv?by=downloads"
    assert [choice.href for choice in page.measures] == [
        "/a/foundations", "/a/foundations?by=downloads", "/a/foundations?by=use",
    ]  # fmt: skip
    assert page.headline == "10 of a’s 12 models are built on others: 90% on a/many and 10% on a/loud."


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.sampled_from([None, "France", "Kenya", "China"]), st.integers(0, 9)),
        max_size=20,
    )
)
def test_bars_are_wholes(counts: list[tuple[int, str | None, int]]) -> None:
    roots = [
        root(f"a/{i}", models, country, downloads=models, verified=models)
        for i, (models, country, _) in enumerate(counts)
    ]
    page = report(roots, Totals(len(roots), sum(models for models, _, _ in counts)))
    for bar in page.bars:
        assert sum(part.percent for part in bar.segments) == pytest.approx(100)
        assert len(bar.segments) <= 7
    assert len(page.roots) == len(roots)


@given(st.integers(0, 10**9))
def test_the_top_of_an_axis_is_round_and_near(most: int) -> None:
    top = nice_top(most)
    assert max(2, most) <= top <= max(2, 2 * most)
    assert top % 2 == 0
    assert re.fullmatch(r"\d0*", str(top))


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=30))
def test_areas_stay_inside_the_picture_and_stack(values: list[tuple[int, int]]) -> None:
    moments = tuple(f"2026-{i:02}" for i in range(len(values)))
    series = tuple((name, i, tuple(pair[i] for pair in values)) for i, name in enumerate(("a", "b")))
    chart = area_chart(TrendView(moments, series))
    for area in chart.areas:
        numbers = [tuple(map(float, pair.split())) for pair in re.findall(r"[\d.]+ [\d.]+", area.path)]
        assert all(0 <= x <= WIDTH and 0 <= y <= chart.base for x, y in numbers)
    lower_top = re.findall(r"[\d.]+ [\d.]+", chart.areas[0].path)[0]
    upper_foot = re.findall(r"[\d.]+ [\d.]+", chart.areas[1].path)[-1]
    assert lower_top == upper_foot


@given(st.lists(st.floats(-5, 5), max_size=200), st.none() | st.floats(0, 1))
def test_bars_of_layers_stay_inside(values: list[float], threshold: float | None) -> None:
    chart = layer_chart(
        LayerChartView("x", tuple(LayerView(str(i), v) for i, v in enumerate(values)), threshold)
    )
    for bar, value in zip(chart.bars, values, strict=True):
        assert bar.x >= 0
        assert bar.x + bar.width <= WIDTH
        assert bar.y + bar.height <= chart.base + 1
        assert (bar.kind == "low") == (threshold is not None and value < threshold)


def test_the_files_hold_the_numbers_of_the_page() -> None:
    roots = (root("a/small", 1, downloads=9), root("b/large", 7, "Kenya", verified=7))
    table = list(csv.DictReader(io.StringIO(as_csv(roots))))
    assert [line["root"] for line in table] == ["b/large", "a/small"]
    assert table[0]["stated_country"] == "Kenya"
    assert table[1]["stated_country"] == ""
    answer = json.loads(as_json(roots, Totals(9, 8), Measure.DOWNLOADS))
    assert [row["root"] for row in answer["roots"]] == ["a/small", "b/large"]
    assert answer["totals"]["derived"] == 8
    assert answer["roots"][0]["stated_country"] is None


def test_no_cell_of_the_csv_is_a_formula() -> None:
    hostile = RootCount("a/b", "=HYPERLINK(1)", 1, licence='@SUM(1)"\r\n+1', origin=OriginView("-1"))
    line = next(csv.DictReader(io.StringIO(as_csv([hostile]))))
    assert [line["publisher"], line["stated_country"]] == ["'=HYPERLINK(1)", "'-1"]
    assert line["licence"].startswith("'@SUM")
