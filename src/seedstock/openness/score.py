"""The openness grade: class of the Model Openness Framework, cap by ancestry, OSAID checklist, badges.

The class rests on required components only. What is merely unknown never counts as open.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from seedstock.openness.assess import assess
from seedstock.openness.component_model import Ground, Rating, State
from seedstock.openness.components import detect, withdraw
from seedstock.openness.facts import Ancestry, ModelFacts, Recipe, Replication, Unknown
from seedstock.openness.inheritance import walk
from seedstock.openness.licence_report import LicenceReport, Status
from seedstock.openness.osaid import Osaid, check_osaid
from seedstock.openness.own_licence import read_own_licence

PARAMETERS = 2
REPORT = 5
PAPER = 17


class Klass(StrEnum):
    """Classes of the framework, best first; `unknown` stands for a chain that is not fully known."""

    I = "I"  # noqa: E741 - the framework's own name
    II = "II"
    III = "III"
    UNKNOWN = "unknown"
    NONE = "none"


_GROUPS = {Klass.III: {"III"}, Klass.II: {"III", "II"}, Klass.I: {"III", "II", "I"}}
_ORDER = list(Klass)
_SCRIPT = "script"
_LOWERED_FROM = 3  # below, nothing that the script made is vouched for


class Badge(StrEnum):
    """What may be said of the parameters in two words."""

    OPEN_WEIGHT = "open-weight"
    WEIGHTS_AVAILABLE = "weights-available"
    NO_WEIGHTS = "no-weights"


class Verification(msgspec.Struct, frozen=True):
    """V0 no recipe that resolves, V1 it resolves, V2 it runs, V3 reproduced, V4 bit for bit or by others."""

    level: int
    text: str


class Openness(msgspec.Struct, frozen=True):
    """Everything the openness page shows. `capped_by` leads to the ancestor that lowers the class."""

    components: tuple[Rating, ...]
    own_class: Klass
    effective_class: Klass
    capped_by: tuple[str, ...]
    explanation: str
    next_class: Klass | None
    missing: tuple[Rating, ...]
    rests_on_declared: tuple[str, ...]
    osaid: Osaid
    verification: Verification
    weights: Badge
    weights_reason: str
    open_science: bool
    licence: LicenceReport


def grade(ancestry: Ancestry) -> Openness:
    """Grade the root of an ancestry."""
    model = ancestry.model
    licence = assess(ancestry)
    components = _components(model, licence)
    own = class_of(components)
    effective, capped_by, explanation = _effective(ancestry, own)
    following = _next_class(own)
    verification = verify_level(model)
    badge, reason = _weights(components, licence)
    return Openness(
        components=components,
        own_class=own,
        effective_class=effective,
        capped_by=capped_by,
        explanation=explanation,
        next_class=following,
        missing=tuple(_lacking(components, following)) if following else (),
        rests_on_declared=tuple(
            item.component.id for item in components if item.state.counts and item.ground is Ground.DECLARED
        ),
        osaid=check_osaid(components),
        verification=verification,
        weights=badge,
        weights_reason=reason,
        open_science=effective is Klass.I and verification.level >= 3,
        licence=licence,
    )


def _components(model: ModelFacts, licence: LicenceReport) -> tuple[Rating, ...]:
    found = detect(model, read_own_licence(model))
    worst = max(licence.status, licence.if_declared, key=list(Status).index)
    if worst not in {Status.RELABELLED, Status.CONFLICT}:
        return found
    reason = next(item.text for item in (*licence.findings, *licence.conditional) if item.status is worst)
    return tuple(withdraw(item, reason) if item.component.number == PARAMETERS else item for item in found)


def class_of(components: Sequence[Rating]) -> Klass:
    """The best class whose required components are all there under open licences."""
    reached = [klass for klass in _GROUPS if not _lacking(components, klass)]
    return min(reached, key=_ORDER.index, default=Klass.NONE)


def _lacking(components: Sequence[Rating], klass: Klass) -> list[Rating]:
    """Required components of a class and those below it that do not count. A paper replaces the report."""
    by_number = {item.component.number: item for item in components}
    has_paper = by_number[PAPER].state.counts
    return [
        item
        for item in components
        if item.component.required
        and item.component.klass in _GROUPS[klass]
        and not item.state.counts
        and not (item.component.number == REPORT and has_paper)
    ]


def _next_class(own: Klass) -> Klass | None:
    return {Klass.NONE: Klass.III, Klass.III: Klass.II, Klass.II: Klass.I}.get(own)


def _effective(ancestry: Ancestry, own: Klass) -> tuple[Klass, tuple[str, ...], str]:
    """The least class over model and ancestors, by verified and declared edges, and where it comes from."""
    walked = walk(ancestry)
    worst = own
    path: tuple[str, ...] = ()
    classes: dict[str, Klass] = {}
    for reached in walked.reached:
        node = reached.node
        if isinstance(node, Unknown):
            klass = Klass.UNKNOWN
        else:
            klass = classes.get(reached.key) or class_of(detect(node, read_own_licence(node)))
            classes[reached.key] = klass
        if _ORDER.index(klass) > _ORDER.index(worst):
            worst, path = klass, reached.path
    if walked.cut and worst is not Klass.NONE:
        return Klass.UNKNOWN, path, "the ancestry is larger than what was walked"
    return worst, path, _explain(ancestry.model.name, own, worst, path)


def _explain(name: str, own: Klass, worst: Klass, path: tuple[str, ...]) -> str:
    said = f"{name}: {_called(own)}"
    if worst is own:
        return f"{said}; what it is built on does not lower it"
    if worst is Klass.UNKNOWN:
        return (
            f"{said} by itself; unknown with what it is built on, because nothing is known here of {path[-1]}"
        )
    return f"{said} by itself; {_called(worst)} with what it is built on, because of {path[-1]}"


def _called(klass: Klass) -> str:
    return "no class" if klass is Klass.NONE else f"class {klass.value}"


def verify_level(model: ModelFacts) -> Verification:
    """How far the recipe was shown to give this model; code of its author in a stage makes that one level less."""
    recipe = model.recipe
    if recipe is None:
        return Verification(0, "no recipe.toml")
    found = _level_of(recipe)
    if _SCRIPT not in recipe.operations or found.level < _LOWERED_FROM:
        return found
    return Verification(found.level - 1, f"{found.text}, with a script of its author, which lowers trust")


def _level_of(recipe: Recipe) -> Verification:
    if not recipe.resolves:
        return Verification(0, "recipe.toml refers to things that do not resolve on this hub")
    outcome = recipe.replication
    if outcome is Replication.BIT_EXACT:
        return Verification(4, "reproduced bit for bit")
    if outcome is Replication.WITHIN_TOLERANCE:
        return (
            Verification(4, "reproduced by others") if recipe.independent else Verification(3, "reproduced")
        )
    if outcome is Replication.FUNCTIONAL:
        return Verification(2, "the recipe runs")
    return Verification(1, "every reference of the recipe resolves")


def _weights(components: Sequence[Rating], licence: LicenceReport) -> tuple[Badge, str]:
    """The badge goes by the licence that really holds: a relabelled one does not make weights open."""
    found = next(item for item in components if item.component.number == PARAMETERS)
    if found.state is State.MISSING:
        return Badge.NO_WEIGHTS, found.text
    if not found.state.counts:
        return Badge.WEIGHTS_AVAILABLE, found.text
    if licence.if_declared is Status.UNKNOWN:
        unknown = next(
            item for item in (*licence.findings, *licence.conditional) if item.status is Status.UNKNOWN
        )
        return Badge.OPEN_WEIGHT, f"{found.text}; as declared: {unknown.text}"
    return Badge.OPEN_WEIGHT, found.text
