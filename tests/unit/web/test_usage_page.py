"""A report as a page, and its bars."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from seedstock.db.usage import UsageRow
from seedstock.usage.service import UsageReport, day_number
from seedstock.web.charts import usage_chart
from seedstock.web.pages.usage import page_of
from seedstock.web.views.usage import UsageDayView

FIRST, LAST = date(2026, 2, 26), date(2026, 3, 2)


def _row(day: date, model: str, prompt: int, account: str = "ada", token_id: int = 0) -> UsageRow:
    return UsageRow(
        requests=1, prompt_tokens=prompt, completion_tokens=1, day=day_number(day),
        account=account, token_id=token_id, model=model,
    )  # fmt: skip


def test_days_without_use_are_shown_and_the_most_used_comes_first() -> None:
    rows = [_row(FIRST, "a/small", 5), _row(LAST, "a/large", 50), _row(LAST, "a/small", 7, token_id=-1)]
    page = page_of(UsageReport(FIRST, LAST, "ada", rows, [], ()), 7, viewer="ada", is_admin=False)
    assert [(day.label, day.prompt, day.answer) for day in page.days] == [
        ("26 Feb", 5, 1), ("27 Feb", 0, 0), ("28 Feb", 0, 0), ("1 Mar", 0, 0), ("2 Mar", 57, 2),
    ]  # fmt: skip
    assert [(row.name, row.prompt, row.requests) for row in page.models] == [
        ("a/large", 50, 1),
        ("a/small", 12, 2),
    ]
    assert [row.name for row in page.others] == ["Browser sessions", "Revoked tokens"]
    assert page.whose == ()
    assert page.may_limit


def test_admins_see_everybody_by_account_and_set_nobodys_limits_here() -> None:
    rows = [_row(FIRST, "a/m", 5), _row(FIRST, "a/m", 9, account="bob")]
    page = page_of(UsageReport(FIRST, LAST, None, rows, [], ()), 7, viewer="ada", is_admin=True)
    assert [(row.name, row.href) for row in page.accounts] == [
        ("bob", "/settings/usage?days=7&account=bob"),
        ("ada", "/settings/usage?days=7&account=ada"),
    ]
    assert [choice.selected for choice in page.whose] == [False, True]
    assert page.csv_href.endswith("&all=1&format=csv")
    assert not page.may_limit


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1, max_size=90))
def test_bars_stand_on_each_other_inside_the_chart(days: list[tuple[int, int]]) -> None:
    chart = usage_chart([UsageDayView("1 Jan", prompt, answer) for prompt, answer in days])
    assert len(chart.bars) == sum((prompt > 0) + (answer > 0) for prompt, answer in days)
    tops: dict[float, float] = {}
    for bar in chart.bars:
        assert abs(bar.y + bar.height - tops.get(bar.x, chart.base)) < 0.11
        assert bar.y >= 8
        tops[bar.x] = bar.y
