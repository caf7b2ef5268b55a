"""The family of a model: the graph that scripts draw, and the same as a table.

`FamilyGraph` is also the JSON of `GET /api/models/{id}/family`, encoded as it stands by `msgspec.json.encode`;
its fields are the contract with `static/family.js`. A repository that the caller may not read is in none of
these: not as a node, not as an end of an edge, not in a sentence.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from seedstock.web.views.common import Fact, Page, Pagination
from seedstock.web.views.evidence import Evidence
from seedstock.web.views.repos import RepoHeaderView


class AnalysisState(StrEnum):
    """How far the work on a model's lineage is; the same words as in `GET /api/models/{id}/lineage`."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class FamilyNode(msgspec.Struct, frozen=True, rename="camel"):
    """One model of the family.

    `id` is a number within this answer only. `href` is None for a model that a card names and this hub does not
    hold; `repo` is then the name as declared. `origin` is a country as the publisher's profile states it.
    `kind` is `model` or `elsewhere`; `openness` one of `open-science`, `open-weight`, `weights-available`.
    """

    id: int
    repo: str
    href: str | None = None
    commit: str | None = None
    title: str | None = None
    licence: str | None = None
    openness: str | None = None
    origin: str | None = None
    parameters: int | None = None
    downloads: int = 0
    likes: int = 0
    kind: str = "model"


class FamilyEdge(msgspec.Struct, frozen=True, rename="camel"):
    """`source` is the parent's id and `target` the child's; for RELATED the two are in no order.

    `relation` is how it reads in filters: `finetune`, `adapter`, `merge`, `quantized`, `pruned`, `permuted`, `copy`,
    or `related`. `verdict` and `kind` are those of the lineage API. `record` is the evidence record's id and
    `href` its page; both None where nothing was compared.
    """

    source: int
    target: int
    evidence: Evidence
    relation: str
    verdict: str | None = None
    kind: str | None = None
    record: str | None = None
    href: str | None = None


class FamilyGraph(msgspec.Struct, frozen=True, rename="camel"):
    """Ancestors, descendants and relatives of the model whose node is `focus`; `truncated` if there are more.

    The order of nodes and edges means nothing; an edge always joins two nodes of the answer.
    """

    focus: int
    nodes: tuple[FamilyNode, ...]
    edges: tuple[FamilyEdge, ...] = ()
    truncated: bool = False


class AnalysisView(msgspec.Struct, frozen=True):
    """Where the analysis stands; `detail` is one sentence more, such as what failed."""

    state: AnalysisState
    detail: str | None = None


class ParentView(msgspec.Struct, frozen=True):
    """One edge towards a model in its row: the other model, how related, and what it rests on."""

    name: str
    href: str | None
    relation: str
    evidence: Evidence
    evidence_href: str | None = None


class FamilyRowView(msgspec.Struct, frozen=True):
    """One model in the table; `place` is worded (`this model`, `parent`, `descendant, 2 steps`, `relative`)."""

    node: FamilyNode
    place: str
    parents: tuple[ParentView, ...] = ()
    more_parents: int = 0


class SortView(msgspec.Struct, frozen=True):
    """A column head that sorts; `direction` is `ascending`, `descending` or None when another column sorts."""

    key: str
    label: str
    href: str
    direction: str | None = None
    numeric: bool = False


class FilterView(msgspec.Struct, frozen=True):
    """A select of the filter form; the first option has the empty value and means any."""

    field: str
    label: str
    options: tuple[tuple[str, str, bool], ...]  # value, label, selected


class FoundationLine(msgspec.Struct, frozen=True):
    """A root that a model rests on: `evidence` of the weakest edge on the best path to it.

    `origin` is as stated by its publisher's profile, whose address is `origin_href`; None is not stated.
    """

    name: str
    evidence: Evidence
    href: str | None = None
    steps: int = 1
    publisher: str | None = None
    publisher_href: str | None = None
    origin: str | None = None
    origin_href: str | None = None


class FamilyPage(Page, frozen=True):
    """The family tab. Made by `web.family.family_page`; `rows` is one page of the filtered table."""

    template: ClassVar[str] = "repo_family.html"

    header: RepoHeaderView
    graph_href: str
    analysis: AnalysisView
    headline: str
    counts: tuple[Fact, ...] = ()
    rows: tuple[FamilyRowView, ...] = ()
    columns: tuple[SortView, ...] = ()
    filters: tuple[FilterView, ...] = ()
    query: str = ""
    sort_state: tuple[tuple[str, str], ...] = ()
    filtered: bool = False
    pagination: Pagination = Pagination(0, 0, 0)
    total: int = 0
    truncated: bool = False
    foundations: tuple[FoundationLine, ...] = ()
