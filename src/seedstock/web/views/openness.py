"""How open a model is, and under which terms: components, classes, checklist, obligations."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from seedstock.web.views.common import Fact, Link, Notice, Page
from seedstock.web.views.evidence import SignatureView
from seedstock.web.views.repos import RepoHeaderView


class ComponentState(StrEnum):
    """Whether a component counts towards a class; the same words as in the JSON."""

    OPEN = "open"
    OPEN_WRONG_TYPE = "open-wrong-type"  # open, under a licence written for another kind of material
    PRESENT_NOT_OPEN = "present-not-open"
    MISSING = "missing"
    UNKNOWN = "unknown"


class ComponentView(msgspec.Struct, frozen=True):
    """One of the framework's 17 components; `basis` is `detected`, `declared` or `confirmed`."""

    number: int
    name: str
    type: str
    mof_class: str
    state: ComponentState
    optional: bool = False
    licence: str | None = None
    basis: str | None = None
    evidence: Link | None = None
    missing: str | None = None


class ClassView(msgspec.Struct, frozen=True):
    """A class reached by one model: `I`, `II`, `III`, `none`, or `unknown` where its files are not known."""

    name: str
    mof_class: str
    href: str | None = None
    detail: str = ""


class CheckState(StrEnum):
    """An answer of the OSAID checklist."""

    MEETS = "meets"
    FAILS = "does not"
    HUMAN = "needs human"


class CheckView(msgspec.Struct, frozen=True):
    """One requirement of the Open Source AI Definition."""

    name: str
    state: CheckState
    detail: str


class ObligationView(msgspec.Struct, frozen=True):
    """One duty in words; `source` is the licence's text, `via` the model whose licence demands it.

    `fulfilled` is what the files show: True, False or None where the hub cannot tell. `asserted` is False where
    it holds only if a card's declaration is true.
    """

    text: str
    licence: str
    clause: str
    via: str
    via_href: str | None = None
    source: Link | None = None
    fulfilled: bool | None = None
    asserted: bool = True


class LicenceStatus(StrEnum):
    """The verdict over a model's licence and those of its verified ancestors; the same words as in the JSON."""

    OK = "ok"
    NOTICE_MISSING = "notice-missing"
    UNKNOWN = "unknown"
    RELABELLED = "relabelled"
    CONFLICT = "conflict"


class FindingView(msgspec.Struct, frozen=True):
    """One thing found about terms, in words; `path` names the models that cause it, root first.

    `asserted` is False where it holds only if a card's declaration is true; `needs_human` where files cannot
    settle it. `evidence_href` is the record of the edge that it rests on.
    """

    status: LicenceStatus
    text: str
    path: tuple[Link, ...] = ()
    clause: str = ""
    source: Link | None = None
    asserted: bool = True
    needs_human: bool = False
    evidence_href: str | None = None


class LicenceView(msgspec.Struct, frozen=True):
    """What the card says, what the LICENSE file says, and what follows."""

    status: LicenceStatus
    summary: str
    declared: str | None = None
    file: str | None = None
    file_href: str | None = None
    file_agrees: bool | None = None
    obligations: tuple[ObligationView, ...] = ()
    findings: tuple[FindingView, ...] = ()
    permissions: tuple[Fact, ...] = ()
    disclaimer: str = "No legal advice: this compares what cards, files and weights say."


class BomView(msgspec.Struct, frozen=True):
    """A bill of materials to download."""

    label: str
    href: str
    detail: str = ""


class OpennessPage(Page, frozen=True):
    """Openness and licence of one model.

    `grade` is the badge: `Open science`, `Open weight`, `Weights available` or `No weights`. `chain` holds the class of each
    model from this one to its roots; `effective` is the lowest of them. `next_steps` says in words what is
    missing for `next_class`. `verification` says how far a recipe was shown to give these weights.
    """

    template: ClassVar[str] = "repo_openness.html"

    header: RepoHeaderView
    grade: str
    summary: str
    own: ClassView
    effective: ClassView
    components: tuple[ComponentView, ...]
    licences: LicenceView
    next_class: str | None = None
    next_steps: tuple[str, ...] = ()
    chain: tuple[ClassView, ...] = ()
    osaid: CheckState = CheckState.HUMAN
    osaid_checks: tuple[CheckView, ...] = ()
    boms: tuple[BomView, ...] = ()
    signature: SignatureView | None = None
    json_links: tuple[Link, ...] = ()
    verification: str = ""
    notice: Notice | None = None
