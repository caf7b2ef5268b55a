"""Who says so, apart from what is said; and the badges that follow from both, by the names of ACM's version 1.1."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import Literal

import msgspec

from seedstock.recipes.verdict import REPRODUCED, Verdict


class Trust(IntEnum):
    """Ways to know of a run, the weakest first."""

    AUTHOR_CLAIMED = 0
    SELF_REPORTED = 1
    HUB_WORKER = 2
    INDEPENDENT = 3

    @property
    def label(self) -> str:
        """As records and pages spell it."""
        return ("author-claimed", "self-reported", "hub-worker", "independent-hub-workers")[self]


class Badge(StrEnum):
    """ACM Artifact Review and Badging 1.1; version 1.0 had the last two the other way round."""

    AVAILABLE = "Available"
    FUNCTIONAL = "Functional"
    REPRODUCED = "Reproduced"
    REPLICATED = "Replicated"


class Runner(msgspec.Struct, frozen=True, kw_only=True):
    """Who ran a recipe. `owner` is the account or hub that answers for the machine."""

    id: str
    kind: Literal["author", "user", "hub-worker"]
    owner: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One finished run of a recipe, in short."""

    runner: Runner
    verdict: Verdict
    smoke: bool = False
    """A short budget only: it shows that the recipe works, not what it makes."""
    metrics: bool = False
    foreign_code: bool = False
    """Code of the recipe's author ran in it."""
    other_recipe: bool = False
    """Of another implementation or other data that claims the same metric."""


def trust_of(runs: Sequence[Outcome]) -> Trust:
    """What equal outcomes of several runs are worth together: independent means hub workers of two owners.

    A run in which the author's own code ran (a script, a generator, a verifier) counts one class less.
    """
    best = max((_single(run) for run in runs), default=Trust.AUTHOR_CLAIMED)
    owners = {run.runner.owner for run in runs if _single(run) is Trust.HUB_WORKER}
    return Trust.INDEPENDENT if len(owners) >= 2 else best


def badges(outcomes: Sequence[Outcome], *, author: str, available: bool) -> list[Badge]:
    """The badges that a model has earned; `available`: every pin resolves and can be downloaded."""
    found = [Badge.AVAILABLE] if available else []
    if any(run.verdict is not Verdict.FAILED and run.metrics for run in outcomes):
        found.append(Badge.FUNCTIONAL)
    others = [
        run
        for run in outcomes
        if run.verdict in REPRODUCED and not run.smoke and run.runner.owner != author and _single(run) > 0
    ]
    if any(not run.other_recipe for run in others):
        found.append(Badge.REPRODUCED)
    if any(run.other_recipe for run in others):
        found.append(Badge.REPLICATED)
    return found


def _single(run: Outcome) -> Trust:
    kinds = {"author": Trust.AUTHOR_CLAIMED, "user": Trust.SELF_REPORTED, "hub-worker": Trust.HUB_WORKER}
    trust = kinds[run.runner.kind]
    return Trust(max(trust - 1, 0)) if run.foreign_code else trust
