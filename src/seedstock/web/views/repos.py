"""Listings, the repository header and the card page."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

import msgspec

from seedstock.core.names import RepoType
from seedstock.web.views.common import Choice, Fact, Link, Notice, Page, Pagination, Snippet


class Visibility(StrEnum):
    """Who may read a repository."""

    PUBLIC = "public"
    PRIVATE = "private"


class BaseModelView(msgspec.Struct, frozen=True):
    """A base model as the card declares it; `href` is None when this hub does not hold it."""

    name: str
    relation: str
    href: str | None = None


class RepoCardView(msgspec.Struct, frozen=True):
    """One repository in a listing."""

    type: RepoType
    namespace: str
    name: str
    href: str
    updated_at: datetime
    visibility: Visibility = Visibility.PUBLIC
    likes: int = 0
    downloads: int = 0
    task: str | None = None
    library: str | None = None
    licence: str | None = None
    parameters: int | None = None
    quantisation: str | None = None
    size_bytes: int | None = None
    base_model: BaseModelView | None = None
    runnable: bool = False


class Facet(msgspec.Struct, frozen=True):
    """A group of filters; each option toggles itself."""

    title: str
    options: tuple[Choice, ...]


class RepoListPage(Page, frozen=True):
    """Models or datasets; `state` holds the active filters as (field, value) so that a search keeps them."""

    template: ClassVar[str] = "repo_list.html"

    type: RepoType
    repos: tuple[RepoCardView, ...]
    pagination: Pagination
    query: str = ""
    sorts: tuple[Choice, ...] = ()
    facets: tuple[Facet, ...] = ()
    active: tuple[Choice, ...] = ()
    state: tuple[tuple[str, str], ...] = ()
    clear_href: str | None = None


class HomePage(Page, frozen=True):
    """The front page."""

    template: ClassVar[str] = "home.html"

    trending: tuple[RepoCardView, ...]
    newest: tuple[RepoCardView, ...]
    liked: tuple[RepoCardView, ...]
    datasets: tuple[RepoCardView, ...]
    snippets: tuple[Snippet, ...]
    model_count: int = 0
    dataset_count: int = 0


class RepoHeaderView(msgspec.Struct, frozen=True):
    """The top of every repository page; `url` is the repo's path without a trailing slash."""

    type: RepoType
    namespace: str
    name: str
    url: str
    visibility: Visibility = Visibility.PUBLIC
    revision: str = "main"
    likes: int = 0
    liked: bool = False
    downloads: int = 0
    task: str | None = None
    library: str | None = None
    licence: str | None = None
    parameters: int | None = None
    base_models: tuple[BaseModelView, ...] = ()
    runnable: bool = False
    can_write: bool = False
    can_admin: bool = False
    snippets: tuple[Snippet, ...] = ()


class DtypeShare(msgspec.Struct, frozen=True):
    """How many of the parameters are stored in one dtype; `percent` of all parameters, 0 to 100."""

    dtype: str
    parameters: int
    percent: float


class WeightFileView(msgspec.Struct, frozen=True):
    """One weight file: what it is and how large."""

    path: str
    href: str
    size_bytes: int
    kind: str


class MetadataPanelView(msgspec.Struct, frozen=True):
    """What the weight headers say (never what the card claims), and the card's tags apart from it."""

    parameters: int | None = None
    dtypes: tuple[DtypeShare, ...] = ()
    facts: tuple[Fact, ...] = ()
    weights: tuple[WeightFileView, ...] = ()
    total_bytes: int | None = None
    licence: Link | None = None
    languages: tuple[str, ...] = ()
    datasets: tuple[Link, ...] = ()
    tags: tuple[Link, ...] = ()


class CardPage(Page, frozen=True):
    """The first tab; `readme_html` comes from `markdown.render_markdown` and is trusted."""

    template: ClassVar[str] = "repo_card.html"

    header: RepoHeaderView
    metadata: MetadataPanelView
    readme_html: str | None = None
    updated_at: datetime | None = None
    edit_href: str | None = None
    notice: Notice | None = None
    derived: tuple[RepoCardView, ...] = ()
