"""Turn a page's view model into HTML."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from seedstock.web import filters
from seedstock.web.assets import static_url
from seedstock.web.views.common import Page, SiteView, ViewerView

TEMPLATE_DIR = Path(__file__).parent / "templates"
# Every response with a page should carry this: the templates need nothing beyond it.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pass_context
def _ago(context: Context, moment: datetime) -> Markup:
    return filters.time_tag(moment, context["now"])


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
    for name in ("size", "count", "parameters", "thousands", "day", "duration", "path_segment", "path_quote", "tone"):
        env.filters[name] = getattr(filters, name)
    env.filters["ago"] = _ago
    env.globals["static_url"] = static_url
    return env


def render(page: Page, *, viewer: ViewerView, site: SiteView, now: datetime | None = None) -> str:
    """The whole HTML document of a page; `now` is what ages are counted from."""
    template = environment().get_template(page.template)
    return template.render(page=page, viewer=viewer, site=site, now=now or datetime.now(UTC))
