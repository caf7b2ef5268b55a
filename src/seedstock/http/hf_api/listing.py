"""Lists of repos, by name, tag and size."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

from starlette.responses import Response

from seedstock.core.errors import Invalid
from seedstock.core.names import RepoType
from seedstock.http.call import Call
from seedstock.http.hf_api.info import add_family, expand_of, full_info, light_info
from seedstock.http.routing import Routes, json_response
from seedstock.hub.listing import SORTS, ListQuery

routes = Routes()


@routes.add("GET", "/api/{type:repotype}", steady=True)
def repo_list(call: Call) -> Response:
    """A page of repos."""
    type = RepoType(call.param("type"))
    expand = expand_of(call, type)
    page = call.hub.listing.page(call.viewer, _query(call, type))
    wants_full = call.flag("full") or call.flag("cardData") or call.flag("config") or bool(expand)
    if wants_full:
        found = [(at, full_info(at)) for at in call.hub.reading.heads(call.viewer, page.repos)]
        add_family(call, expand, found)
        infos = [info for _, info in found]
        if expand:
            infos = [{key: info[key] for key in ("_id", "id", *expand) if key in info} for info in infos]
    else:
        infos = [light_info(repo, page.tags[repo.id]) for repo in page.repos]
    headers = {} if page.next_offset is None else {"Link": next_link(call, page.next_offset)}
    return json_response(infos, headers=headers)


_TAG_TYPES = {
    "license",
    "dataset",
    "base_model",
    "region",
    "arxiv",
    "language",
    "format",
    "modality",
    "size_categories",
}


@routes.add("GET", "/api/models-tags-by-type", "/api/datasets-tags-by-type")
def tags_by_type(call: Call) -> dict[str, list[dict[str, Any]]]:
    """The tags that listings can be filtered by, grouped by what they say."""
    type = RepoType.MODEL if call.request.url.path.startswith("/api/models") else RepoType.DATASET
    found: dict[str, list[dict[str, Any]]] = {}
    for tag, _ in call.hub.listing.facets(call.viewer, ListQuery(type=type), limit=10_000):
        kind, colon, value = tag.partition(":")
        known = bool(colon) and kind in _TAG_TYPES
        group, label = (kind, value) if known else ("other", tag)
        found.setdefault(group, []).append({"id": tag, "label": label, "type": group, "clickable": True})
    return found


def _query(call: Call, type: RepoType) -> ListQuery:
    sort = call.query("sort") or "trendingScore"
    sort = {
        "last_modified": "lastModified",
        "created_at": "createdAt",
        "trending_score": "trendingScore",
    }.get(sort, sort)
    if sort not in SORTS:
        raise Invalid(f"sort must be one of {', '.join(SORTS)}, not {sort[:60]!r}")
    least, most = _parameters(call.query("num_parameters"))
    words, tags = call.request.query_params.getlist("search"), call.queries("filter")
    # Each is a condition that the database checks per repo.
    if len(words) + len(tags) > _MAX_CONDITIONS or any(len(text) > 1000 for text in words):
        raise Invalid(
            f"At most {_MAX_CONDITIONS} search words and filters of 1000 characters may be combined"
        )
    gated = call.query("gated")
    return ListQuery(
        type=type,
        author=call.query("author"),
        search=tuple(words),
        tags=tuple(tags),
        pipeline_tag=call.query("pipeline_tag"),
        gated=None if gated is None else call.flag("gated"),
        min_parameters=least,
        max_parameters=most,
        sort=sort,
        ascending=call.query("direction") in {"1", "asc"},
        limit=call.number("limit", 1000, most=1000) or 1000,
        offset=call.number("cursor", 0, most=10**12),
    )


_AMOUNT = re.compile(r"(min|max):(\d{1,15}(?:\.\d{1,15})?)([KMBT]?)\Z", re.IGNORECASE)
_MAX_CONDITIONS = 50
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


def _parameters(text: str | None) -> tuple[int | None, int | None]:
    """`min:6B,max:128B` as two numbers. Raises Invalid."""
    found: dict[str, int] = {}
    for part in (text or "").split(","):
        if not part:
            continue
        match = _AMOUNT.match(part.strip())
        if match is None:
            raise Invalid(f"num_parameters is like 'min:6B,max:128B', not {part[:40]!r}")
        # Clipped to what a database integer holds.
        found[match[1].lower()] = min(int(float(match[2]) * _UNITS[match[3].upper()]), 2**63 - 1)
    return found.get("min"), found.get("max")


def next_link(call: Call, cursor: int) -> str:
    """The Link header of a page that is not the last: the same request with a cursor."""
    pairs = [(key, value) for key, value in call.request.query_params.multi_items() if key != "cursor"]
    path = call.request.scope["path"]
    return f'<{call.base_url}{quote(path)}?{urlencode([*pairs, ("cursor", str(cursor))])}>; rel="next"'
