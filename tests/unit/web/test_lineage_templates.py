"""What strangers write - names, titles, licences, reasons - is text on every page about lineage, never markup."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from seedstock.web.render import render
from seedstock.web.views.common import Page
from seedstock.web.views.family import AnalysisState
from tests.web_preview.sample_lineage import LINEAGE_SAMPLES
from tests.web_preview.sample_openness import OPENNESS_SAMPLES
from tests.web_preview.sample_repos import DEMO, NOW, SITE

SAMPLES = LINEAGE_SAMPLES | OPENNESS_SAMPLES
HOSTILE = """<img src=x onerror=a()>'">{{ 7*7 }}"""
# Pages without a word of a stranger, and one that only repeats another at length.
_OURS = {"family-big", "trace", "trace-anonymous", "foundations-empty"}
# What the page decides by, or what must be a number of an address; everything else is a stranger's words.
_KEPT = {
    "kind",
    "mof_class",
    "grade",
    "licence_tone",
    "signature",
    "basis",
    "evidence",
    "direction",
    "readme_html",
    "field",
}


def poisoned(value: Any, name: str = "") -> Any:
    """The same view with every free text replaced."""
    if isinstance(value, msgspec.Struct):
        fields = {field: poisoned(getattr(value, field), field) for field in value.__struct_fields__}
        return type(value)(**fields)
    if isinstance(value, tuple):
        return tuple(poisoned(item, name) for item in value)
    if type(value) is str and value and name not in _KEPT and not name.endswith(("href", "url")):
        return HOSTILE
    return value


class Markup(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in _OURS])
def test_hostile_text_stays_text(name: str) -> None:
    page: Page = poisoned(SAMPLES[name][1])
    found = Markup(render(page, viewer=DEMO, site=SITE, now=NOW))
    assert not [
        attrs for tag, attrs in found.found if tag == "img" or any(key.startswith("on") for key in attrs)
    ]
    assert HOSTILE in found.text
    assert "49" not in found.text.split()


def html_of(name: str) -> str:
    _, page, viewer = SAMPLES[name]
    return render(page, viewer=viewer, site=SITE, now=NOW)


def test_an_unknown_family_says_so_for_each_state_and_loads_no_graph() -> None:
    for state in AnalysisState:
        name = "family-empty" if state is AnalysisState.DONE else f"family-{state}"
        if state is not AnalysisState.RUNNING:
            html = html_of(name)
            assert "Nothing is known of this model’s family yet" in html
            assert "family.js" not in html
    assert "being compared" in html_of("family-running")
    assert "failed: model.safetensors names a tensor beyond" in html_of("family-failed")


def test_a_contradiction_is_said_in_words_not_by_colour_alone() -> None:
    for name in ("family", "evidence-contradicted", "card-contradicted"):
        assert "ontradict" in Markup(html_of(name)).text


def test_unknown_licences_stay_unknown_and_no_page_gives_legal_advice() -> None:
    text = Markup(html_of("openness-unknown")).text
    assert "unknown stays unknown" in text
    assert "No obligations are known" not in text
    for name in ("openness", "openness-conflict", "openness-unknown"):
        assert "No legal advice" in html_of(name)


def test_the_evidence_body_stands_alone_for_the_panel() -> None:
    html = html_of("evidence")
    assert html.count('id="evidence-body"') == 1
    assert "verify-record" in html


def test_a_stated_country_comes_with_its_source_and_others_are_not_stated() -> None:
    html = html_of("foundations")
    assert 'href="/fieldworks">profile of fieldworks</a>' in html
    assert html.count("not stated") >= 2
    assert 'href="/foundations.csv?by=models"' in html
    assert 'href="/foundations.json?by=models"' in html


def test_tracing_promises_not_to_keep_the_file() -> None:
    assert "not published, not kept" in html_of("trace")
    assert "trace-file" not in html_of("trace-anonymous")
