"""The last pass over clean, well-formed HTML: where its links and images lead, and under which ids its headings stand.

Relative targets lead into the repository. Images of other hosts become links, for nothing is loaded from other hosts.
Every id is put under `user-content-`, so that none can shadow one of the page's own.
"""

from __future__ import annotations

import posixpath
import re
from html import escape
from html.parser import HTMLParser
from typing import Protocol
from urllib.parse import SplitResult, quote, unquote, urlsplit

import msgspec

ID_PREFIX = "user-content-"
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_VOID = frozenset({"br", "hr", "img"})


class LinkTarget(Protocol):
    """Where a relative target leads; `path` is normalised, unquoted and never climbs out of the repository."""

    def __call__(self, path: str, *, is_image: bool) -> str:
        """The address on this host."""
        ...


class RepoLinks(msgspec.Struct, frozen=True):
    """The usual `LinkTarget`: files of one revision, relative to the folder of the Markdown file."""

    repo_url: str
    revision: str
    folder: str = ""

    def __call__(self, path: str, *, is_image: bool) -> str:
        """Images come from `resolve`, everything else is shown by `blob`."""
        inside = posixpath.normpath(posixpath.join("/", self.folder, path)).lstrip("/")
        verb = "resolve" if is_image else "blob" if inside else "tree"
        return f"{self.repo_url}/{verb}/{quote(self.revision, safe='')}/{quote(inside)}".rstrip("/")


def rewrite(clean: str, target: LinkTarget) -> str:
    """Clean HTML with its links, images and ids as said above; relative targets lead where `target` says."""
    writer = _Rewriter(target)
    writer.feed(clean)
    writer.close()
    return "".join(writer.out)


class _Rewriter(HTMLParser):
    """Copies clean HTML and rewrites targets and ids on the way."""

    def __init__(self, target: LinkTarget) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self._target = target
        self._heading: tuple[int, list[str]] | None = None
        self._ids: dict[str, int] = {}
        self._links = 0

    def handle_data(self, data: str) -> None:
        self.out.append(escape(data, quote=False))
        if self._heading is not None:
            self._heading[1].append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "img":
            self.out.append(self._image(values))
            return
        if tag in _HEADINGS:
            values.pop("id", None)
            self._heading = (len(self.out), [])
        if tag == "a":
            self._links += 1
            values = self._anchor(values)
        self.out.append(_open_tag(tag, _prefix_ids(values)))

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if tag in _HEADINGS and self._heading is not None:
            index, text = self._heading
            opening = self.out[index]
            self.out[index] = f'{opening[:-1]} id="{self._heading_id("".join(text))}">'
            self._heading = None
        if tag == "a":
            self._links -= 1
        self.out.append(f"</{tag}>")

    def _heading_id(self, text: str) -> str:
        slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-") or "section"
        seen = self._ids.get(slug, 0)
        self._ids[slug] = seen + 1
        return escape(f"{ID_PREFIX}{slug}{f'-{seen}' if seen else ''}")

    def _anchor(self, values: dict[str, str]) -> dict[str, str]:
        href = values.pop("href", None)
        address = None if href is None else self._resolve(href, is_image=False)
        if address is None:
            return values
        values["href"] = address
        if urlsplit(address).scheme:
            values["rel"] = "noopener nofollow ugc"
        return values

    def _image(self, values: dict[str, str]) -> str:
        address = self._resolve(values.pop("src", ""), is_image=True)
        alt = values.get("alt", "")
        if address is None:
            return escape(alt)
        if urlsplit(address).scheme:
            host = urlsplit(address).netloc
            label = f"Image: {alt}" if alt else f"Image on {host}"
            if self._links:  # already inside a link: a second one may not nest
                return f'<span class="remote-image">{escape(label)}</span>'
            link = {"class": "remote-image", "href": address, "rel": "noopener nofollow ugc"}
            return f"{_open_tag('a', link)}{escape(label)}</a>"
        return _open_tag("img", {"src": address, "alt": alt, "loading": "lazy", **values})

    def _resolve(self, address: str, *, is_image: bool) -> str | None:
        """The address to write, or None for one that a browser could read in more than one way."""
        address = re.sub(r"[\x00-\x20\x7f]", "", address)
        try:
            parts = urlsplit(address)
        except ValueError:
            return None
        if not address or "\\" in address:
            return None
        if parts.scheme or parts.netloc:
            return address if parts.scheme else f"https:{address}"
        return self._resolve_here(parts, is_image=is_image) or None

    def _resolve_here(self, parts: SplitResult, *, is_image: bool) -> str:
        fragment = f"#{ID_PREFIX}{parts.fragment.removeprefix(ID_PREFIX)}" if parts.fragment else ""
        if parts.path.startswith("/"):
            return f"/{parts.path.lstrip('/')}{'?' + parts.query if parts.query else ''}{fragment}"
        return (self._target(unquote(parts.path), is_image=is_image) if parts.path else "") + fragment


def _prefix_ids(values: dict[str, str]) -> dict[str, str]:
    return {
        name: f"{ID_PREFIX}{value.removeprefix(ID_PREFIX)}" if name in {"id", "name"} else value
        for name, value in values.items()
    }


def _open_tag(tag: str, values: dict[str, str]) -> str:
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in values.items())
    return f"<{tag}{attributes}>"
