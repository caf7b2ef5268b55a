"""The Open Source AI Definition 1.0 as a checklist: each item meets it, does not, or needs a person."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from seedstock.openness.component_model import Rating, State

_CODE = (8, 9, 14)


class Answer(StrEnum):
    """What files can settle, and what they cannot."""

    MEETS = "meets"
    DOES_NOT = "does not"
    NEEDS_HUMAN = "needs human"


class Item(msgspec.Struct, frozen=True):
    """One requirement and its answer, with the reason."""

    id: str
    title: str
    answer: Answer
    reason: str


class Osaid(msgspec.Struct, frozen=True):
    """The checklist; `answer` is the weakest of its items."""

    answer: Answer
    items: tuple[Item, ...]


def check_osaid(components: Sequence[Rating]) -> Osaid:
    """Answer the three requirements from the components."""
    by_number = {item.component.number: item for item in components}
    items = (_data(by_number), _code(by_number), _parameters(by_number[2]))
    answers = {item.answer for item in items}
    order = (Answer.DOES_NOT, Answer.NEEDS_HUMAN, Answer.MEETS)
    return Osaid(next(answer for answer in order if answer in answers), items)


def _data(by_number: dict[int, Rating]) -> Item:
    title = "Data information: enough to build a substantially equivalent system"
    datasets, card = by_number[13], by_number[4]
    if datasets.state.counts:
        return Item("data-information", title, Answer.MEETS, datasets.text)
    if card.state is State.MISSING and datasets.state is State.MISSING:
        return Item("data-information", title, Answer.DOES_NOT, "no training data are named or described")
    reason = f"{datasets.text}; a person has to judge whether the description suffices"
    return Item("data-information", title, Answer.NEEDS_HUMAN, reason)


def _code(by_number: dict[int, Rating]) -> Item:
    title = "Code: all that trains and runs the model, under OSI-approved terms"
    parts = [by_number[number] for number in _CODE]
    bad = [item for item in parts if item.state in {State.MISSING, State.PRESENT_NOT_OPEN}]
    if bad:
        return Item("code", title, Answer.DOES_NOT, f"{bad[0].component.title}: {bad[0].text}")
    unclear = [item for item in parts if not item.state.counts or not item.osi]
    if unclear:
        return Item("code", title, Answer.NEEDS_HUMAN, f"{unclear[0].component.title}: {unclear[0].text}")
    return Item(
        "code", title, Answer.MEETS, "training, inference and preprocessing code are under such terms"
    )


def _parameters(found: Rating) -> Item:
    title = "Parameters: under OSI-conformant terms"
    if found.state.counts:
        return Item("parameters", title, Answer.MEETS, found.text)
    answer = Answer.NEEDS_HUMAN if found.state is State.UNKNOWN else Answer.DOES_NOT
    return Item("parameters", title, answer, found.text)
