"""The prose of a model card: what is left when code, comments, links and the placeholders of templates are gone.

Everything here is linear in the text: cards are written by anyone.
"""

from __future__ import annotations

import re

MAX_CARD_CHARS = 256 << 10
MIN_SECTION_CHARS = 60
_HEADING = re.compile(r"^#{1,6}[ \t]{1,8}(\S.{0,200})$", re.MULTILINE)
_PLACEHOLDER = re.compile(
    r"\[?more information needed\]?|\[optional\]|lorem ipsum|\bTODO\b|\bTBD\b", re.IGNORECASE
)
_LINK = re.compile(r"\]\([^)]{0,500}\)|https?://\S+")
_SECTIONS = {
    "intended use": re.compile(r"\b(?:intended|use|uses|usage)\b", re.IGNORECASE),
    "limitations": re.compile(r"\b(?:limitations?|bias|biases|risks?|out-of-scope)\b", re.IGNORECASE),
    "training": re.compile(r"\b(?:train(?:ing|ed)?|fine-?tun\w*|pre-?train\w*|recipe)\b", re.IGNORECASE),
    "evaluation": re.compile(
        r"\b(?:evaluations?|results?|benchmarks?|performance|metrics?)\b", re.IGNORECASE
    ),
}


def prose(body: str) -> str:
    """A card's text without code, links, comments and the placeholders of templates."""
    text, _ = cut_out(body[:MAX_CARD_CHARS], "```", "```")
    text, _ = cut_out(text, "<!--", "-->")
    return " ".join(_PLACEHOLDER.sub(" ", _LINK.sub(" ", text)).split())


def cut_out(text: str, opening: str, closing: str) -> tuple[str, list[str]]:
    """The text without what stands between two marks, and what stood there. Linear, whatever the text."""
    kept, cut, at = [], [], 0
    while (start := text.find(opening, at)) >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            break
        kept.append(text[at:start])
        cut.append(text[start + len(opening) : end])
        at = end + len(closing)
    return " ".join([*kept, text[at:]]), cut


def card_sections(body: str) -> list[str]:
    """Which of the four wanted subjects have a heading with text of their own under it."""
    text = body[:MAX_CARD_CHARS]
    headings = list(_HEADING.finditer(text))
    filled: dict[str, str] = {}
    for index, heading in enumerate(headings):
        end = headings[index + 1].start() if index + 1 < len(headings) else len(text)
        content = prose(text[heading.end() : end])
        if len(content) >= MIN_SECTION_CHARS and content not in filled:
            filled[content] = heading[1]
    found = {name for title in filled.values() for name, word in _SECTIONS.items() if word.search(title)}
    return [name for name in _SECTIONS if name in found]
