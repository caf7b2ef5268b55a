"""The front page and the lists of models and datasets."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from seedstock.core.names import RepoType
from seedstock.http.call import Call
from seedstock.hub.listing import ListQuery
from seedstock.web.pages.answer import page_routes, show
from seedstock.web.pages.cards import GRADES, cards_of, licence_label
from seedstock.web.snippets import hub_snippets
from seedstock.web.views.common import Choice, Pagination
from seedstock.web.views.repos import Facet, HomePage, RepoListPage

routes = page_routes()

PAGE_SIZE = 30
_MOST_PAGES = 10_000
SORTS = {
    "trending": ("Trending", "trendingScore"),
    "likes": ("Likes", "likes"),
    "downloads": ("Downloads", "downloads"),
    "children": ("Most built upon", "children"),
    "openness": ("Openness", "openness"),
    "updated": ("Updated", "lastModified"),
    "name": ("Name", "name"),
}
_TITLES = {
    "task": "Task",
    "library": "Library",
    "license": "Licence",
    "openness": "Openness",
    "lineage": "Lineage",
    "language": "Language",
    "tag": "Tag",
}
_MODEL_FACETS = ("task", "library", "license", "openness", "lineage")
_LINEAGE = {
    "verified": "Verified from weights",
    "declared": "Declared only",
    "contradicted": "Card contradicted",
    "related": "Related, undeclared",
}
_DATASET_FACETS = {"task": "task_categories:", "language": "language:", "license": "license:"}


@routes.add("GET", "/")
def home(call: Call) -> Response:
    """The front page."""
    lists = call.hub.listing

    def page(type: RepoType, sort: str, limit: int) -> ListQuery:
        return ListQuery(type=type, sort=sort, limit=limit)

    model, dataset = RepoType.MODEL, RepoType.DATASET
    queries = [
        page(model, "trendingScore", 6),
        page(model, "lastModified", 6),
        page(model, "likes", 5),
        page(dataset, "trendingScore", 5),
    ]
    pages = [lists.page(call.viewer, query) for query in queries]
    trending, newest, liked, datasets = cards_of(call, pages)
    moving = {repo.repo_id for repo in pages[0].repos if repo.trending_score > 0}
    view = HomePage(
        trending=tuple(card for card in trending if f"{card.namespace}/{card.name}" in moving),
        newest=newest,
        liked=tuple(card for card in liked if card.likes),
        datasets=datasets,
        snippets=hub_snippets(call.base_url),
        model_count=lists.count(call.viewer, ListQuery(type=model)),
        dataset_count=lists.count(call.viewer, ListQuery(type=dataset)),
    )
    return show(call, view)


class Filters(msgspec.Struct, frozen=True):
    """The state of a list, as its address says it."""

    type: RepoType
    search: str = ""
    task: str = ""
    library: str = ""
    license: str = ""
    openness: str = ""
    lineage: str = ""
    language: str = ""
    author: str = ""
    tag: str = ""
    runs: str = ""
    sort: str = "trending"

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Filters other than the search, as fields of a form."""
        names = ("task", "library", "license", "openness", "lineage", "language", "author", "tag", "runs")
        found = [(name, str(getattr(self, name))) for name in names if getattr(self, name)]
        return tuple(found + ([("sort", self.sort)] if self.sort != "trending" else []))

    def href(self, page: int = 1, /, **changes: str) -> str:
        """The address of this list with some changes, on its first page unless said otherwise."""
        changed = msgspec.structs.replace(self, **changes)
        search = [("search", changed.search)] if changed.search else []
        pairs = [*search, *changed.pairs(), *([("page", str(page))] if page > 1 else [])]
        return f"/{self.type.value}" + (f"?{urlencode(pairs)}" if pairs else "")

    def query(self, page: int = 1) -> ListQuery:
        """What to ask the listing for."""
        is_model = self.type is RepoType.MODEL
        tags = [self.tag] if self.tag else []
        if self.language:
            tags.append(self.language if is_model else f"language:{self.language}")
        if not is_model:
            tags += [f"task_categories:{self.task}"] if self.task else []
            tags += [f"license:{self.license}"] if self.license else []
        return ListQuery(
            type=self.type,
            search=tuple(self.search.split()[:8]),
            tags=tuple(tags),
            author=self.author or None,
            pipeline_tag=self.task or None if is_model else None,
            library=self.library or None,
            license=self.license or None if is_model else None,
            openness=self.openness or None if is_model else None,
            lineage=self.lineage or None if is_model else None,
            runnable=True if self.runs else None,
            sort=SORTS[self.sort][1],
            ascending=self.sort == "name",
            limit=PAGE_SIZE,
            offset=(page - 1) * PAGE_SIZE,
        )


def _filters(call: Call, type: RepoType) -> Filters:
    def text(name: str) -> str:
        return (call.query(name) or "").replace("\0", "").strip()[:120]

    sort = text("sort")
    return Filters(
        type=type,
        search=text("search"),
        task=text("task"),
        library=text("library"),
        license=text("license").lower(),
        openness=text("openness").lower(),
        lineage=text("lineage").lower(),
        language=text("language"),
        author=text("author"),
        tag=text("tag"),
        runs="1" if text("runs") else "",
        sort=sort if sort in SORTS else "trending",
    )


@routes.add("GET", "/models")
def models(call: Call) -> Response:
    """The models of this hub."""
    return _list(call, RepoType.MODEL)


@routes.add("GET", "/datasets")
def datasets(call: Call) -> Response:
    """The datasets of this hub."""
    return _list(call, RepoType.DATASET)


def _list(call: Call, type: RepoType) -> Response:
    filters = _filters(call, type)
    number = min(call.number("page", 1, most=_MOST_PAGES) or 1, _MOST_PAGES)
    query = filters.query(number)
    found = call.hub.listing.page(call.viewer, query)
    total = call.hub.listing.count(call.viewer, query)
    active = _active(filters)
    view = RepoListPage(
        type=type,
        repos=cards_of(call, [found])[0],
        pagination=Pagination(
            first=query.offset + 1 if found.repos else 0,
            last=query.offset + len(found.repos),
            total=total,
            previous_href=filters.href(number - 1) if number > 1 else None,
            next_href=filters.href(number + 1) if found.next_offset is not None else None,
        ),
        query=filters.search,
        sorts=tuple(
            Choice(label, filters.href(sort=name), name == filters.sort) for name, (label, _) in SORTS.items()
        ),
        facets=tuple(_facets(call, filters)) if total or active or filters.search else (),
        active=active,
        state=filters.pairs(),
        clear_href=f"/{type.value}" if active or filters.search else None,
    )
    return show(call, view)


def _active(filters: Filters) -> tuple[Choice, ...]:
    labels = {
        "license": licence_label(filters.license),
        "runs": "Runs here",
        "author": f"by {filters.author}",
        "openness": _label("openness", filters.openness),
        "lineage": _label("lineage", filters.lineage),
    }
    return tuple(
        Choice(labels.get(name, value), filters.href(**{name: ""}), selected=True)
        for name, value in filters.pairs()
        if name != "sort"
    )


def _facets(call: Call, filters: Filters) -> Iterator[Facet]:
    """Each group counts with the other filters applied and its own left out, so that it can be switched."""
    if filters.type is RepoType.MODEL:
        runnable = msgspec.structs.replace(filters, runs="1")
        count = call.hub.listing.count(call.viewer, runnable.query())
        if count:
            toggled = filters.href(runs="" if filters.runs else "1")
            yield Facet("On this hub", (Choice("Runs here", toggled, bool(filters.runs), count),))
        for name in _MODEL_FACETS:
            open_query = msgspec.structs.replace(filters, **{name: ""}).query()
            yield _facet(filters, name, call.hub.listing.values(call.viewer, open_query, name))
        return
    counted = call.hub.listing.facets(call.viewer, filters.query(), 300)
    for name, prefix in _DATASET_FACETS.items():
        values = [(tag.removeprefix(prefix), uses) for tag, uses in counted if tag.startswith(prefix)]
        yield _facet(filters, name, values[:12])


def _facet(filters: Filters, name: str, values: list[tuple[str, int]]) -> Facet:
    chosen = getattr(filters, name)
    return Facet(
        _TITLES[name],
        tuple(
            Choice(
                _label(name, value),
                filters.href(**{name: "" if value == chosen else value}),
                value == chosen,
                uses,
            )
            for value, uses in values
        ),
    )


def _label(facet: str, value: str) -> str:
    """A value of a facet as people read it."""
    if facet == "license":
        return licence_label(value)
    if facet == "openness":
        return GRADES.get(value, value)
    if facet == "lineage":
        return _LINEAGE.get(value, value)
    return value
