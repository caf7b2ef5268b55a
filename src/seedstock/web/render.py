"""Turn a page's view model into HTML."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from seedstock.web import charts, filters
from seedstock.web.assets import static_url
from seedstock.web.line_chart import line_chart
from seedstock.web.views.common import Page, SiteView, ViewerView
from seedstock.web.views.files import CommitRowView

TEMPLATE_DIR = Path(__file__).parent / "templates"
# Every response with a page should carry this: the templates need nothing beyond it.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pass_context
def _ago(context: Context, moment: datetime) -> Markup:
    return filters.time_tag(moment, context["now"])


def _by_day(commits: Iterable[CommitRowView]) -> list[list[CommitRowView]]:
    """Runs of neighbouring commits of the same UTC day, in the order given."""
    return [list(run) for _, run in groupby(commits, key=lambda commit: filters.day(commit.committed_at))]


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The template environment; names that a view model lacks are errors, never blanks."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATE_DIR),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "size",
        "count",
        "parameters",
        "percent",
        "share",
        "thousands",
        "day",
        "duration",
        "path_segment",
        "path_quote",
        "tone",
    ):
        env.filters[name] = getattr(filters, name)
    env.filters["ago"] = _ago
    env.filters["by_day"] = _by_day
    env.filters["area_chart"] = charts.area_chart
    env.filters["layer_chart"] = charts.layer_chart
    env.filters["usage_chart"] = charts.usage_chart
    env.filters["line_chart"] = line_chart
    env.globals["static_url"] = static_url
    return env


def render(page: Page, *, viewer: ViewerView, site: SiteView, now: datetime | None = None) -> str:
    """The whole HTML document of a page; `now` is what ages are counted from."""
    template = environment().get_template(page.template)
    return template.render(page=page, viewer=viewer, site=site, now=now or datetime.now(UTC))
