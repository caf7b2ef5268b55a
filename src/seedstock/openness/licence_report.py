"""What is said of a model's licence: findings in words, each with its path and the clause it rests on."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from seedstock.openness.licence_model import Duty
from seedstock.openness.licences import DeclaredLicence

DISCLAIMER = (
    "This compares what cards, files and weights say with a table of licences kept by hand. It is not legal"
    " advice, it can be wrong, and only the licence texts themselves bind anyone."
)


class Status(StrEnum):
    """The verdicts, weakest first; `unknown` never counts as `ok`."""

    OK = "ok"
    NOTICE_MISSING = "notice-missing"
    UNKNOWN = "unknown"
    RELABELLED = "relabelled"
    CONFLICT = "conflict"


_RANK = {status: rank for rank, status in enumerate(Status)}


def strongest(statuses: list[Status]) -> Status:
    """The status that a set of findings amounts to."""
    return max(statuses, key=_RANK.__getitem__, default=Status.OK)


class Finding(msgspec.Struct, frozen=True):
    """One thing found. `path` leads from the model to where it comes from; `record` is the evidence record.

    `asserted` is False when it holds only if a card's declaration is true. A `needs_human` finding is one that
    files cannot settle.
    """

    status: Status
    rule: str
    text: str
    path: tuple[str, ...] = ()
    clause: str | None = None
    source: str | None = None
    asserted: bool = True
    needs_human: bool = False
    record: str | None = None


class Inherited(msgspec.Struct, frozen=True):
    """An obligation and where it comes from."""

    duty: Duty
    text: str
    licence: str
    clause: str
    source: str
    path: tuple[str, ...]
    asserted: bool
    value: str | None = None


class Permission(StrEnum):
    """Whether something may be done; `limited` is: up to a threshold, or not for every use."""

    YES = "yes"
    LIMITED = "limited"
    NO = "no"
    UNKNOWN = "unknown"


class Permissions(msgspec.Struct, frozen=True):
    """What model and ancestors permit together: the least that any of them does."""

    commercial_use: Permission
    derivatives: Permission
    any_purpose: Permission
    improve_other_models: Permission


class LicenceReport(msgspec.Struct, frozen=True):
    """The verdict. `status` rests on the model itself and verified edges; `if_declared` adds declared ones.

    Where declared edges alone give cause for more doubt, `status` is `unknown`, never `ok`.
    """

    status: Status
    if_declared: Status
    headline: str
    declared: DeclaredLicence
    findings: tuple[Finding, ...]
    conditional: tuple[Finding, ...]
    obligations: tuple[Inherited, ...]
    permissions: Permissions
    permissions_if_declared: Permissions
    contradicted: tuple[str, ...] = ()
    left_out: int = 0
    disclaimer: str = DISCLAIMER
