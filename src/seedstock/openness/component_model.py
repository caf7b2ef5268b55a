"""The 17 components of the Model Openness Framework, and what is said of each of them."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What a component is made of; licences are written for one or another."""

    CODE = "code"
    DATA = "data"
    DOC = "doc"


class State(StrEnum):
    """`open-wrong-type` counts as open, with the advice to take a licence made for that material."""

    OPEN = "open"
    OPEN_WRONG_TYPE = "open-wrong-type"
    PRESENT_NOT_OPEN = "present-not-open"
    MISSING = "missing"
    UNKNOWN = "unknown"

    @property
    def counts(self) -> bool:
        """Whether a class may rest on it."""
        return self in {State.OPEN, State.OPEN_WRONG_TYPE}


class Ground(StrEnum):
    """How it is known: found in the files, said by the card, or confirmed by a person."""

    DETECTED = "detected"
    DECLARED = "declared"
    CONFIRMED = "confirmed"


class Component(msgspec.Struct, frozen=True):
    """One row of the framework; `klass` is the first class that asks for it."""

    number: int
    id: str
    title: str
    kind: Kind
    klass: str
    required: bool = True


COMPONENTS = (
    Component(1, "architecture", "Model architecture", Kind.CODE, "III"),
    Component(2, "parameters", "Final parameters", Kind.DATA, "III"),
    Component(3, "model-card", "Model card", Kind.DOC, "III"),
    Component(4, "data-card", "Data card", Kind.DOC, "III"),
    Component(5, "technical-report", "Technical report", Kind.DOC, "III"),
    Component(6, "evaluation-results", "Evaluation results", Kind.DOC, "III"),
    Component(7, "sample-outputs", "Sample outputs", Kind.DOC, "III", required=False),
    Component(8, "training-code", "Training code", Kind.CODE, "II"),
    Component(9, "inference-code", "Inference code", Kind.CODE, "II"),
    Component(10, "evaluation-code", "Evaluation code", Kind.CODE, "II"),
    Component(11, "evaluation-data", "Evaluation data", Kind.DATA, "II"),
    Component(12, "supporting-tools", "Supporting tools", Kind.CODE, "II", required=False),
    Component(13, "datasets", "Training datasets", Kind.DATA, "I"),
    Component(14, "preprocessing-code", "Data preprocessing code", Kind.CODE, "I"),
    Component(15, "checkpoints", "Intermediate checkpoints", Kind.DATA, "I"),
    Component(16, "model-metadata", "Model metadata", Kind.DATA, "I", required=False),
    Component(17, "research-paper", "Research paper", Kind.DOC, "I"),
)


class Rating(msgspec.Struct, frozen=True):
    """What was found of one component. `rule` names the rule; `target` is a path in the repo, a repo or a link.

    `license` is the SPDX expression that its openness rests on; `osi` whether that is a licence of the OSI.
    """

    component: Component
    state: State
    rule: str
    text: str
    target: str | None = None
    ground: Ground = Ground.DETECTED
    license: str | None = None
    osi: bool = False
