"""Rendered Markdown of files: kept by git oid and place, because the same bytes give the same HTML."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from seedstock.web.markdown import render_markdown
from seedstock.web.rewriting import RepoLinks

_MOST_CHARS = 16_000_000


class MarkdownCache:
    """HTML by (oid, links), the least recently used first out, bounded by characters."""

    def __init__(self, most_chars: int = _MOST_CHARS) -> None:
        self._pages: OrderedDict[tuple[str, RepoLinks], str] = OrderedDict()
        self._chars = 0
        self._most_chars = most_chars
        self._lock = Lock()

    def render(self, oid: str, text: str, links: RepoLinks) -> str:
        """Safe HTML of a Markdown file."""
        key = (oid, links)
        with self._lock:
            if key in self._pages:
                self._pages.move_to_end(key)
                return self._pages[key]
        html = render_markdown(text, links)
        with self._lock:
            if key not in self._pages:
                self._pages[key] = html
                self._chars += len(html)
            while self._chars > self._most_chars and self._pages:
                self._chars -= len(self._pages.popitem(last=False)[1])
        return html


CACHE = MarkdownCache()
"""Of this process: what is in it depends on nothing but its keys."""
