"""Markdown that anyone may have written -> HTML that may be shown on this host.

Three steps, in this order: markdown-it renders (GFM tables, strikethrough, task lists, bare links), nh3
drops whatever is not on the allowlist below, and `web.rewriting` points what is left at the repository.
"""

from __future__ import annotations

import re

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from seedstock.web.rewriting import LinkTarget, rewrite

MAX_MARKDOWN_CHARS = 300_000
# Deeply nested elements cost an HTML parser time quadratic in their depth: 150,000 took 75 s, 5,000 take 0.1 s.
MAX_RAW_TAGS = 5_000

_ALIGN = {"align"}
_ATTRIBUTES = {
    "a": {"href", "title", "name", "id"},
    "img": {"src", "alt", "title", "width", "height", "align"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan", "scope"},
    "ol": {"start"},
    "details": {"open"},
    "code": {"class"},
    "span": {"class"},
    **{tag: {"align", "id"} for tag in ("div", "p", "h1", "h2", "h3", "h4", "h5", "h6")},
    "table": _ALIGN,
}
_PLAIN_TAGS = (
    "abbr b blockquote br caption cite dd del dl dt em hr i ins kbd li mark picture pre q s samp small strong"
    " sub summary sup tbody tfoot thead tr tt u ul var"
)
_TAGS = set(_ATTRIBUTES) | set(_PLAIN_TAGS.split())
# Dropped with what is inside them: their content means nothing as text, or an older parser reads it differently.
_UNREADABLE_TAGS = "script style title textarea iframe noembed noframes xmp svg math template"
_CLEAN_CONTENT = set(_UNREADABLE_TAGS.split())
_CLASS = re.compile(r"language-[A-Za-z0-9_+#.-]{1,30}\Z|task-(open|done)\Z")
_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(?:.*?\n)?(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_BARE_URL = re.compile(r"https?://[^\s<>\"'`\\^{}|]*[^\s<>\"'`\\^{}|.,;:!?)\]*_~]")


def strip_front_matter(text: str) -> str:
    """The text without a leading YAML block."""
    return _FRONT_MATTER.sub("", text, count=1)


def render_markdown(text: str, target: LinkTarget) -> str:
    """Safe HTML of a Markdown file whose relative links `target` resolves; its front matter is dropped."""
    shown = strip_front_matter(text[:MAX_MARKDOWN_CHARS])
    raw = _parser(raw_html=shown.count("<") <= MAX_RAW_TAGS).render(shown)
    return _cleaned(raw, target, cut=len(text) > MAX_MARKDOWN_CHARS)


def render_answer(text: str) -> str:
    """Safe HTML of what a model answered: tags in it are text, and relative links lead nowhere."""
    raw = _parser(raw_html=False).render(text[:MAX_MARKDOWN_CHARS])
    return _cleaned(raw, _nowhere, cut=len(text) > MAX_MARKDOWN_CHARS)


def _nowhere(path: str, *, is_image: bool) -> str:
    del path, is_image
    return "#"


def _cleaned(raw: str, target: LinkTarget, *, cut: bool) -> str:
    clean = nh3.clean(
        raw,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        clean_content_tags=_CLEAN_CONTENT,
        attribute_filter=_filter_attribute,
        url_schemes={"http", "https", "mailto"},
        link_rel=None,
        strip_comments=True,
    )
    end = "<p><em>The rest of this file is too long to show here.</em></p>" if cut else ""
    return rewrite(clean, target) + end


def _filter_attribute(tag: str, attribute: str, value: str) -> str | None:
    if attribute == "class":
        kept = [name for name in value.split() if _CLASS.match(name)]
        return " ".join(kept) or None
    if attribute == "align":
        return value.lower() if value.lower() in {"left", "right", "center"} else None
    if attribute in {"width", "height", "start", "colspan", "rowspan"}:
        return value if re.fullmatch(r"[0-9]{1,4}%?", value) else None
    del tag
    return value


def _parser(*, raw_html: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": raw_html}).enable(["table", "strikethrough"])
    parser.core.ruler.push("task_lists", _mark_tasks)
    parser.core.ruler.push("bare_links", _link_bare_urls)
    parser.core.ruler.push("cell_alignment", _align_cells)
    return parser


def _mark_tasks(state: StateCore) -> None:
    """`- [x] text` becomes a list item that starts with a ticked mark."""
    for item, paragraph, token in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        children = token.children or []
        if (item.type, paragraph.type) != ("list_item_open", "paragraph_open") or not children:
            continue
        match = re.match(r"\[([ xX])\] ", children[0].content)
        if match is None:
            continue
        children[0].content = children[0].content[4:]
        done = match[1] != " "
        mark = Token("html_inline", "", 0)
        mark.content = f'<span class="task-{"done" if done else "open"}">{"☑" if done else "☐"}</span> '
        children.insert(0, mark)


def _align_cells(state: StateCore) -> None:
    """Say a table cell's alignment by attribute, because style attributes are not let through."""
    for token in state.tokens:
        if token.type in {"th_open", "td_open"} and "style" in token.attrs:
            token.attrs = {"align": str(token.attrs["style"]).removeprefix("text-align:")}


def _link_bare_urls(state: StateCore) -> None:
    """Addresses in running text become links, as GitHub's Markdown does; those inside a link stay text."""
    for token in state.tokens:
        if token.type != "inline" or "://" not in token.content:
            continue
        depth, children = 0, []
        for child in token.children or []:
            depth += (child.type == "link_open") - (child.type == "link_close")
            children += _split_urls(child) if child.type == "text" and depth == 0 else [child]
        token.children = children


def _split_urls(text: Token) -> list[Token]:
    parts: list[Token] = []
    position = 0
    for match in _BARE_URL.finditer(text.content):
        parts.append(Token("text", "", 0, content=text.content[position : match.start()]))
        parts.append(Token("link_open", "a", 1, attrs={"href": match[0]}))
        parts.append(Token("text", "", 0, content=match[0]))
        parts.append(Token("link_close", "a", -1))
        position = match.end()
    parts.append(Token("text", "", 0, content=text.content[position:]))
    return parts
