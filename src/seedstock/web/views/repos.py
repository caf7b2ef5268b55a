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
    """A base model as the card declares it; `href` is None when this hub does not hold it.

    `evidence` is `declared`, `verified` or `contradicted`: what the weights say of the same pair.
    """

    name: str
    relation: str
    href: str | None = None
    evidence: str = "declared"


class LineageState(StrEnum):
    """What is known of a model's descent, by its least certain parent."""

    VERIFIED = "verified"
    DECLARED = "declared"
    CONTRADICTED = "contradicted"
    UNKNOWN = "unknown"


class BadgesView(msgspec.Struct, frozen=True):
    """The small marks of a model; None where nothing is known or nothing should be said.

    `grade` is `Open science`, `Open weight` or `Weights available`; `mof_class` is `I`, `II` or `III`, effective
    over the lineage; `signature` is `valid`, `invalid` or `unknown key`.
    """

    lineage: LineageState | None = None
    grade: str | None = None
    mof_class: str | None = None
    signature: str | None = None


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
    badges: BadgesView = BadgesView()
    children: int = 0


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
    writes: bool = True
    """Whether it is a model of text; encoders only embed."""
    talks: bool = False
    """Whether it runs and writes."""
    can_write: bool = False
    can_admin: bool = False
    snippets: tuple[Snippet, ...] = ()
    badges: BadgesView = BadgesView()


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


class BuiltOnView(msgspec.Struct, frozen=True):
    """One root of a model in the side panel; `href` None when this hub does not hold it."""

    name: str
    state: LineageState
    href: str | None = None
    relation: str | None = None
    evidence_href: str | None = None
    origin: str | None = None


class FoundationPanelView(msgspec.Struct, frozen=True):
    """The side panel that says what a model is built on, how open it is and what its licence asks.

    `analysing` while the weights are still being compared. `licence_status` is worded (`ok`, `conflict`, ...);
    `obligations` counts duties, None when not known. `boms` are downloads.
    """

    built_on: tuple[BuiltOnView, ...] = ()
    is_root: bool = False
    analysing: bool = False
    variants: int = 0
    licence_status: str | None = None
    licence_tone: str = ""
    obligations: int | None = None
    boms: tuple[Link, ...] = ()


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
    foundation: FoundationPanelView | None = None
    has_recipe: bool = False
