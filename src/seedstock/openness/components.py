"""The state of each openness component: what is there, under which licence, and what that is worth."""

from __future__ import annotations

import re

import msgspec

from seedstock.openness.component_evidence import LOOKS, Sighting
from seedstock.openness.component_model import COMPONENTS, Component, Ground, Kind, Rating, State
from seedstock.openness.facts import ModelFacts
from seedstock.openness.licence_model import find_licence
from seedstock.openness.licences import Basis, DeclaredLicence, of_licence, read_licence
from seedstock.openness.own_licence import OwnLicence

_PER_KIND = {
    Kind.CODE: re.compile(r"\Alicen[cs]e[-_.](?:code|software)\b", re.IGNORECASE),
    Kind.DATA: re.compile(r"\Alicen[cs]e[-_.](?:models?|weights|data)\b", re.IGNORECASE),
    Kind.DOC: re.compile(r"\Alicen[cs]e[-_.](?:docs?|documentation)\b", re.IGNORECASE),
}
_BEST_FIRST = (State.OPEN, State.OPEN_WRONG_TYPE, State.PRESENT_NOT_OPEN, State.UNKNOWN, State.MISSING)


def detect(model: ModelFacts, own: OwnLicence) -> tuple[Rating, ...]:
    """All 17 components of one model, in the framework's order; its ancestors do not enter."""
    return tuple(_judge(component, model, own) for component in COMPONENTS)


def _judge(component: Component, model: ModelFacts, own: OwnLicence) -> Rating:
    found = [_weigh(component, sighting, own) for sighting in LOOKS[component.number](model)]
    best = min(
        found,
        key=lambda item: (_BEST_FIRST.index(item.state), item.ground is not Ground.DETECTED),
        default=Rating(component, State.MISSING, "not-found", "not found in the files or the card"),
    )
    return _confirm(best, model, own)


def _confirm(found: Rating, model: ModelFacts, own: OwnLicence) -> Rating:
    """Let a person's word fill what was not found or could not be judged; it never outweighs what was seen."""
    word = model.confirmations.get(found.component.number)
    if word is None or found.state.counts or found.state is State.PRESENT_NOT_OPEN:
        return found
    seen = Sighting(
        "confirmed",
        f"confirmed by {word.by}",
        word.link,
        Ground.CONFIRMED,
        (word.license,) if word.license else (),
    )
    return _weigh(found.component, seen, own)


def _weigh(component: Component, seen: Sighting, own: OwnLicence) -> Rating:
    licence = read_licence(list(seen.licenses)) if seen.licenses else _licence_for(component.kind, own)
    text = seen.text
    if seen.closed:
        state = State.PRESENT_NOT_OPEN
    elif seen.outside or licence is None or not licence.known:
        state = State.UNKNOWN
        text += "" if seen.outside else "; its licence is not known"
    elif not licence.accepted:
        state = State.PRESENT_NOT_OPEN
        text += f"; {licence.text} is not an open licence"
    elif _made_for(licence, component.kind):
        state = State.OPEN
    else:
        state = State.OPEN_WRONG_TYPE
        text += f"; {licence.text} is open but was not written for {_NOUN[component.kind]}"
    return Rating(
        component=component,
        state=state,
        rule=seen.rule,
        text=text,
        target=seen.target,
        ground=seen.ground,
        license=licence.expression if licence and licence.known else None,
        osi=licence is not None and _is_osi(licence),
    )


_NOUN = {Kind.CODE: "code", Kind.DATA: "data", Kind.DOC: "documents"}


def _licence_for(kind: Kind, own: OwnLicence) -> DeclaredLicence | None:
    """The licence file for that kind of material, else that of the whole; None where they disagree with the card."""
    for path, matches in own.texts.items():
        if _PER_KIND[kind].match(path) and len(matches) == 1 and not matches[0].modified:
            licence = find_licence(matches[0].licence)
            return of_licence(licence, Basis.TEXT) if licence else None
    return own.declared if own.certain else None


def _made_for(licence: DeclaredLicence, kind: Kind) -> bool:
    return any(
        all(part.accepted and kind.value in part.kinds for part in choice) for choice in licence.alternatives
    )


def _is_osi(licence: DeclaredLicence) -> bool:
    return licence.known and any(all(part.osi for part in choice) for choice in licence.alternatives)


def withdraw(found: Rating, reason: str) -> Rating:
    """A component that its own licence calls open and its ancestry does not."""
    if not found.state.counts:
        return found
    return msgspec.structs.replace(
        found, state=State.PRESENT_NOT_OPEN, text=f"{found.text}; {reason}", osi=False
    )
