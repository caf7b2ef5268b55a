"""One comparison of two models as a person reads it: verdict, figures, files read, and who signed it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

import msgspec

from seedstock.web.views.common import Fact, Link, Page, Snippet
from seedstock.web.views.repos import RepoHeaderView


class Evidence(StrEnum):
    """What an edge of the family rests on; each is drawn in its own way."""

    VERIFIED = "verified"  # the weights show descent, and in which direction
    DECLARED = "declared"  # a card or config says so; the weights were not compared, or decide nothing
    CONTRADICTED = "contradicted"  # a card says so, and the weights speak against it
    RELATED = "related"  # the weights are related; which came first is unknown


class StatisticView(msgspec.Struct, frozen=True):
    """One number of a test; `threshold` is worded (`above 0.9`), `holds` None where no rule uses it."""

    label: str
    value: str
    threshold: str | None = None
    holds: bool | None = None
    meaning: str = ""


class LayerView(msgspec.Struct, frozen=True):
    """One layer of the chart: `value` from 0 to 1, and the parent's layer it was matched with, if another."""

    label: str
    value: float
    matched: str | None = None


class LayerChartView(msgspec.Struct, frozen=True):
    """Agreement by layer; `threshold` (0 to 1) is drawn as a line."""

    measure: str
    layers: tuple[LayerView, ...]
    threshold: float | None = None
    threshold_label: str = ""


class FileReadView(msgspec.Struct, frozen=True):
    """A file that the comparison read, and of which side."""

    side: str
    path: str
    digest: str
    href: str | None = None


class CommitRefView(msgspec.Struct, frozen=True):
    """A model at a commit."""

    name: str
    commit: str | None
    href: str | None


class SignatureState(StrEnum):
    """What checking a signature gave."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN_KEY = "unknown key"
    NONE = "none"


class SignatureView(msgspec.Struct, frozen=True):
    """Who signed, and whether it checks out; `detail` is one sentence."""

    state: SignatureState
    key_id: str | None = None
    detail: str = ""
    href: str | None = None


class EvidenceView(msgspec.Struct, frozen=True):
    """One comparison of two models, worded.

    `title` is the verdict in a few words, `summary` one or two sentences of what was found. `facts` are things
    recorded that are never a verdict (a shared tokenizer, equal embeddings). `notes` are limits of this verdict.
    """

    id: str
    evidence: Evidence
    title: str
    summary: str
    child: CommitRefView
    parent: CommitRefView
    compared_at: datetime
    method: str
    record_href: str
    download_href: str
    signature: SignatureView
    kind: str | None = None
    coefficients: tuple[Fact, ...] = ()
    declared: str | None = None
    direction: str = ""
    error_rate: str = ""
    statistics: tuple[StatisticView, ...] = ()
    chart: LayerChartView | None = None
    files: tuple[FileReadView, ...] = ()
    tensors: tuple[str, ...] = ()
    tensor_count: int = 0
    facts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    verify: tuple[Snippet, ...] = ()


class EvidencePage(Page, frozen=True):
    """One evidence record, readable by a person; other records of the model are `others`."""

    template: ClassVar[str] = "repo_evidence.html"

    header: RepoHeaderView
    record: EvidenceView
    family_href: str
    others: tuple[Link, ...] = ()
