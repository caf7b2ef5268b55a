"""What licence a variant has and what it must carry: read from its parents' cards by the rules of `openness`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from seedstock.openness.licence_model import Duty, Licence
from seedstock.openness.licences import DeclaredLicence, read_card_licence

_KEYS = ("license", "license_name", "license_link")


class Parent(msgspec.Struct, frozen=True):
    """A model that a variant is made from, as its card has it."""

    role: str
    repo: str
    commit: str
    card: Mapping[str, Any]
    notices: Mapping[str, bytes] = {}
    """Licence and notice files in its top folder."""


class Pedigree(msgspec.Struct, frozen=True):
    """What a variant inherits."""

    front: dict[str, Any]
    """Licence keys of the card."""
    duties: tuple[str, ...]
    """In sentences, with the clause that asks for each."""
    warnings: tuple[str, ...]
    """What its maker should change or have somebody look at."""


def inherit(parents: Sequence[Parent], name: str) -> Pedigree:
    """The licence of a variant named `name`, from models whose weights or outputs went into it."""
    declared = [(parent, read_card_licence(parent.card)) for parent in parents]
    front = _front(declared)
    duties: dict[str, None] = {}
    warnings: list[str] = []
    for parent, licence in declared:
        if not licence.known:
            warnings.append(
                f"{parent.repo} declares {licence.text}: what it asks of a variant is not known here"
            )
        for part in licence.licences:
            duties |= dict.fromkeys(_sentences(parent, part))
            warnings += _naming(parent, part, name)
    texts = {licence.expression for _, licence in declared if licence.alternatives}
    if len(texts) > 1:
        warnings.append(
            f"the parents are under different licences ({', '.join(sorted(texts))}): all of them bind"
        )
    return Pedigree(front, tuple(duties), tuple(dict.fromkeys(warnings)))


def _front(declared: Sequence[tuple[Parent, DeclaredLicence]]) -> dict[str, Any]:
    """The keys of the parent that asks most; where parents differ, that is the one with the most duties."""
    if not declared:
        return {}
    known = [pair for pair in declared if pair[1].alternatives] or list(declared)
    parent, _ = max(known, key=lambda pair: sum(len(part.obligations) for part in pair[1].licences))
    return {key: parent.card[key] for key in _KEYS if parent.card.get(key)}


def _sentences(parent: Parent, licence: Licence) -> list[str]:
    """Duties that reach whoever passes the variant on."""
    role = "outputs" if parent.role == "teacher" else "weights"
    return [
        f"{licence.label}, {item.clause}: {item.text}" for item in licence.obligations if role in item.binds
    ]


def _naming(parent: Parent, licence: Licence, name: str) -> list[str]:
    rule = licence.find(Duty.NAME_PREFIX)
    role = "outputs" if parent.role == "teacher" else "weights"
    if rule is None or not rule.value or role not in rule.binds:
        return []
    if name.lower().startswith(rule.value.lower()):
        return []
    return [
        f"{parent.repo} is under {licence.label}: a variant's name begins with {rule.value!r} ({rule.clause})"
    ]


def notice_files(parents: Sequence[Parent]) -> dict[str, bytes]:
    """Licence and notice files to carry; of several parents, each under its parent's name."""
    several = sum(1 for parent in parents if parent.notices) > 1
    found: dict[str, bytes] = {}
    for parent in parents:
        for path, text in parent.notices.items():
            prefix = f"licences/{parent.repo.replace('/', '--')}/" if several else ""
            found[f"{prefix}{path}"] = text
    return found
