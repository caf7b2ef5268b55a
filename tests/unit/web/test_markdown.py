"""What hostile and ordinary Markdown turns into, read back by an HTML parser rather than by string search."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.web.markdown import render_markdown, strip_front_matter
from seedstock.web.rewriting import RepoLinks

LINKS = RepoLinks("/demo/m", "refs/pr/1", "docs")
LOADING = {"src", "srcset", "poster", "background", "data", "action", "formaction", "xlink:href"}


class Elements(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def elements(text, links=LINKS):
    return Elements(render_markdown(text, links)).found


def assert_harmless(found):
    for tag, attributes in found:
        assert tag not in {
            "script",
            "style",
            "iframe",
            "form",
            "input",
            "button",
            "object",
            "embed",
            "svg",
            "math",
            "base",
            "meta",
            "link",
            "template",
        }
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in {"style", "srcset", "formaction"}
            if name in LOADING:
                assert value.startswith("/")
                assert not value.startswith("//")
            if name == "href":
                assert value.split(":")[0].lower() in {"http", "https", "mailto"} or value.startswith(
                    ("/", "#")
                )
                assert not value.startswith(("//", "/\\"))
            if name in {"id", "name"}:
                assert value.startswith("user-content-")


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img src='javascript:alert(1)'>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "<a href='java&#10;script:alert(1)'>x</a>",
    "<a href='&#1;javascript:alert(1)'>x</a>",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "<svg><script>alert(1)</script><a xlink:href='javascript:1'>x</a></svg>",
    "<math><mtext><style><img src=x onerror=alert(1)></style></mtext></math>",
    "<style>body{display:none}</style>",
    "<p style='background:url(//evil.example/x)'>x</p>",
    "<form action=/logout method=post><button>x</button></form>",
    "<iframe src=//evil.example></iframe><object data=x></object><embed src=x>",
    "<base href=//evil.example><meta http-equiv=refresh content='0;url=//evil.example'>",
    "<a id=chat name=csrf href=#x>x</a><div id=main></div>",
    '<a href="/\\evil.example">x</a><a href="\\\\evil.example">x</a>',
    '<a href="//evil.example/x">x</a><img src="//evil.example/x.png">',
    '<img src="https://evil.example/x.png"><picture><source srcset="https://evil.example/y.png"></picture>',
    "![x](https://evil.example/x.png)",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<p title='\"><script>alert(1)</script>'>x</p>",
    '```html"><script>alert(1)</script>\n```',
    "<textarea><img title='</textarea><img src onerror=alert(1)>'></textarea>",
    "# <a id=main></a> <img src=//evil.example onerror=1>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_input_is_harmless(text):
    assert_harmless(elements(text))


@given(
    st.lists(
        st.sampled_from(
            [*HOSTILE, "\n\n", "> ", "- ", "|", "`", "**", '"', "'", "<", ">", "<!--", "-->", "&lt;", "]]>"]
        ),
        max_size=8,
    )
)
def test_hostile_pieces_in_any_order_are_harmless(pieces):
    assert_harmless(elements("".join(pieces)))


def test_external_images_become_links_and_load_nothing():
    assert elements("![logo](https://a.example/l.png)") == [
        ("p", {}),
        ("a", {"class": "remote-image", "href": "https://a.example/l.png", "rel": "noopener nofollow ugc"}),
    ]


def test_an_external_image_inside_a_link_stays_inside_that_link():
    tags = [tag for tag, _ in elements("[![b](https://a.example/b.svg)](https://b.example)")]
    assert tags == ["p", "a", "span"]


@pytest.mark.parametrize(
    ("target", "href"),
    [
        ("notes.md", "/demo/m/blob/refs%2Fpr%2F1/docs/notes.md"),
        ("../config.json", "/demo/m/blob/refs%2Fpr%2F1/config.json"),
        ("../../../../etc/passwd", "/demo/m/blob/refs%2Fpr%2F1/etc/passwd"),
        ("a%20b.md#part", "/demo/m/blob/refs%2Fpr%2F1/docs/a%20b.md#user-content-part"),
        ("..", "/demo/m/tree/refs%2Fpr%2F1"),
        ("#usage", "#user-content-usage"),
        ("/lab/other", "/lab/other"),
        ("https://a.example/x?y=1&z=2", "https://a.example/x?y=1&z=2"),
        ("mailto:a@b.example", "mailto:a@b.example"),
    ],
)
def test_link_targets(target, href):
    (_, attributes) = elements(f"[x]({target})")[1]
    assert attributes["href"] == href


def test_relative_images_come_from_resolve():
    assert elements("![loss](img/loss.png)")[1] == (
        "img",
        {"src": "/demo/m/resolve/refs%2Fpr%2F1/docs/img/loss.png", "alt": "loss", "loading": "lazy"},
    )


def test_headings_get_unique_prefixed_ids():
    ids = [
        attributes["id"]
        for tag, attributes in elements("# How to use\n## How to use\n## `x` & y!")
        if tag != "code"
    ]
    assert ids == ["user-content-how-to-use", "user-content-how-to-use-1", "user-content-x--y"]


def test_gfm_tables_strikethrough_tasks_and_bare_links():
    html = render_markdown(
        "| a | b |\n|:-:|--:|\n| ~~1~~ | 2 |\n\n- [x] done\n- [ ] open\n\nsee https://a.example/b.", LINKS
    )
    assert '<th align="center">a</th>' in html
    assert '<td align="center"><s>1</s></td>' in html
    assert '<span class="task-done">☑</span> done' in html
    assert '<span class="task-open">☐</span> open' in html
    assert '<a href="https://a.example/b" rel="noopener nofollow ugc">https://a.example/b</a>.' in html


def test_centred_blocks_keep_their_alignment():
    assert elements('<p align="CENTER">x</p>') == [("p", {"align": "center"})]


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("---\na: b\n---\n# x", "# x"),
        ("---\r\na: b\r\n---\r\nx", "x"),
        ("---\n---\nx", "x"),
        ("# x\n---\n", "# x\n---\n"),
        ("---\nno end", "---\nno end"),
        ("\ufeff---\na: b\n---\nx", "x"),
    ],
)
def test_front_matter(text, rest):
    assert strip_front_matter(text) == rest


@given(st.text(max_size=300))
def test_any_text_renders_harmlessly(text):
    assert_harmless(elements(text))


def test_too_much_raw_html_is_shown_as_text():
    html = render_markdown("<div>" * 6000, LINKS)
    assert "<div" not in html
    assert "&lt;div&gt;" in html


def test_a_long_file_says_that_it_is_cut():
    assert "too long to show" in render_markdown("word " * 100_000, LINKS)
