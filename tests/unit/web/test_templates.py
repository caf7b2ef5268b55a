"""Every page renders, reads only its view model, and asks for nothing from other hosts or inline."""

import re
from html.parser import HTMLParser

import pytest

from seedstock.web.assets import STATIC_DIR, static_url, static_version
from seedstock.web.render import TEMPLATE_DIR, environment, render
from seedstock.web.views.accounts import ErrorPage
from seedstock.web.views.common import Page
from tests.web_preview.sample_pages import SAMPLES
from tests.web_preview.sample_repos import ANONYMOUS, DEMO, NOW, SITE

VOID = {"br", "hr", "img", "input", "link", "meta", "rect", "source", "wbr", "col"}


class Document(HTMLParser):
    """Collects elements and ids; fails on tags that do not nest."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.ids, self._open = [], [], []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.elements.append((tag, values))
        self.ids += [values["id"]] if "id" in values else []
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag


@pytest.fixture(scope="module", params=SAMPLES)
def document(request):
    _, page, viewer = SAMPLES[request.param]
    return Document(render(page, viewer=viewer, site=SITE, now=NOW))


def test_pages_load_only_from_this_host_and_hold_no_inline_code(document):
    for tag, values in document.elements:
        assert "style" not in values
        assert tag != "style"
        assert not any(name.startswith("on") for name in values)
        for name in ("src", "action", "hx-get", "hx-post"):
            if values.get(name):
                assert values[name].startswith("/")
                assert not values[name].startswith("//")
        if tag == "script":
            assert values["src"].startswith(f"/static/{static_version()}/")
        if tag == "link":
            assert values["href"].startswith(f"/static/{static_version()}/")


def test_ids_are_unique_and_labels_point_at_them(document):
    assert len(document.ids) == len(set(document.ids))
    for tag, values in document.elements:
        if tag == "label" and "for" in values:
            assert values["for"] in document.ids
        for name in ("aria-labelledby", "aria-describedby"):
            if name in values:
                assert values[name] in document.ids


def test_every_post_form_carries_the_csrf_field(document):
    posts = sum(tag == "form" and values.get("method") == "post" for tag, values in document.elements)
    fields = [values for tag, values in document.elements if tag == "input" and values.get("name") == "csrf"]
    assert len(fields) == posts
    assert all(values["value"] == "csrf-sample" for values in fields)


def test_each_page_has_one_main_heading_and_a_skip_link(document):
    headings = [tag for tag, values in document.elements if tag == "h1" and "id" not in values]
    assert len(headings) == 1
    assert ("a", {"class": "skip-link", "href": "#main"}) in document.elements


def test_buttons_and_images_have_names(document):
    for tag, values in document.elements:
        if tag == "img":
            assert "alt" in values
        if tag == "button" and "icon-button" in values.get("class", ""):
            assert values["aria-label"]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_page_renders_for_anonymous_and_signed_in_viewers(name):
    _, page, _ = SAMPLES[name]
    assert "Sign out" not in render(page, viewer=ANONYMOUS, site=SITE, now=NOW)
    assert "Sign out" in render(page, viewer=DEMO, site=SITE, now=NOW)


def leaf_pages(kind=Page):
    return {leaf for child in kind.__subclasses__() for leaf in (leaf_pages(child) or {child})}


def test_samples_cover_every_page():
    assert {type(page) for _, page, _ in SAMPLES.values()} == leaf_pages()


def test_view_model_text_is_escaped():
    page = ErrorPage(404, "<script>1</script>", '"><img src=x>')
    html = render(page, viewer=ANONYMOUS, site=SITE, now=NOW)
    assert "<script>1" not in html
    assert "<img" not in html


def test_no_template_or_style_sheet_names_another_host():
    for path in [*TEMPLATE_DIR.rglob("*.html"), *STATIC_DIR.glob("*.css"), *STATIC_DIR.glob("*.js")]:
        text = path.read_text()
        assert not re.search(r"""(?:src|href|action)=["']?(?:https?:)?//""", text), path
        assert not re.search(r"@import|\burl\(", text), path
        assert "innerHTML" not in text, path


def test_static_addresses_change_with_content_and_exist():
    assert static_url("tokens.css") == f"/static/{static_version()}/tokens.css"
    with pytest.raises(FileNotFoundError):
        static_url("missing.css")


def test_scripts_stay_small_and_import_only_files_that_exist():
    for path in STATIC_DIR.glob("*.js"):
        text = path.read_text()
        assert text.count("\n") < 250, path
        for name in re.findall(r'from "\./([^"]+)"', text):
            assert (STATIC_DIR / name).is_file()


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


TOKENS = {
    name: (light, dark)
    for name, light, dark in re.findall(
        r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", (STATIC_DIR / "tokens.css").read_text()
    )
}
GROUNDS = ("bg", "surface", "sunken", "raised", "hover")
PAIRS = [
    (text, ground) for text in ("text", "text-soft", "text-muted", "accent", "graft") for ground in GROUNDS
] + [
    ("on-accent", "accent-fill"),
    ("on-accent", "accent-fill-hover"),
    *((tone, f"{tone}-soft") for tone in ("accent", "graft", "good", "warn", "bad", "info")),
    # marks of evidence stand on panels, in hovered rows and in the row of the model itself
    *(
        (tone, ground)
        for tone in ("good", "warn", "bad", "info")
        for ground in ("bg", "surface", "hover", "accent-soft")
    ),
    *(("graft", ground) for ground in ("accent-soft",)),
    *((text, "accent-soft") for text in ("text", "text-soft", "text-muted")),
]


@pytest.mark.parametrize(("text", "ground"), PAIRS)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_contrast_meets_aa(text, ground, theme):
    assert contrast(TOKENS[text][theme], TOKENS[ground][theme]) >= 4.5


def test_templates_all_compile():
    for name in environment().list_templates(extensions=["html"]):
        environment().get_template(name)
