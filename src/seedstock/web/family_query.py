"""The state of the family page's table: which models, in which order, as the page's address says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import msgspec

_MOST_TEXT = 120


class FamilyQuery(msgspec.Struct, frozen=True):
    """The state of the table, as the page's address says it; unknown values match nothing or are ignored."""

    search: str = ""
    relation: str = ""
    licence: str = ""
    origin: str = ""
    evidence: str = ""
    sort: str = "place"
    descending: bool = False
    page: int = 1

    def filters(self) -> dict[str, str]:
        """The active filters, without order and page."""
        names = ("search", "relation", "licence", "origin", "evidence")
        return {name: value for name in names if (value := getattr(self, name))}

    def href(self, **changes: Any) -> str:
        """This page's query string with some changes."""
        changed = msgspec.structs.replace(self, **changes)
        pairs: dict[str, str] = changed.filters()
        if changed.sort != "place" or changed.descending:
            pairs |= {"sort": changed.sort} | ({"order": "desc"} if changed.descending else {})
        if changed.page > 1:
            pairs["page"] = str(changed.page)
        return f"?{urlencode(pairs)}#table" if pairs else "?#table"


def query_of(read: Callable[[str], str | None]) -> FamilyQuery:
    """The state of the table from the fields of an address, such as `call.query`; nonsense is cut or ignored."""

    def text(name: str) -> str:
        return (read(name) or "").replace("\0", "").strip()[:_MOST_TEXT]

    number = text("page")
    return FamilyQuery(
        search=text("search"),
        relation=text("relation"),
        licence=text("licence"),
        origin=text("origin"),
        evidence=text("evidence"),
        sort=text("sort") or "place",
        descending=text("order") == "desc",
        page=int(number)
        if number.isascii() and number.isdecimal() and 0 < len(number) < 7 and int(number)
        else 1,
    )
