"""What a card declares, read as a licence: hub tags, SPDX expressions, `license_name` and `license_link`.

Unknown stays unknown: a name without a record or an index entry is kept as it was written and judged as nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from importlib import resources
from itertools import product
from typing import Any

import msgspec

from seedstock.metadata.card import texts
from seedstock.openness.licence_model import Duty, Licence, Obligation, all_licences, find_licence

MAX_EXPRESSION_CHARS = 1000
MAX_PARENTHESES = 32
MAX_ALTERNATIVES = 64
_SAYS_NOTHING = frozenset({"", "other", "unknown", "none", "n/a", "null", "custom", "proprietary"})
# OSI-approved or FSF-free licences without a record of their own; from the SPDX licence list.
_OPEN_OTHERS = frozenset(
    "0BSD AFL-3.0 Artistic-2.0 CECILL-2.1 ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2 LPPL-1.3c MIT-0 MS-PL"
    " GPL-2.0-or-later GPL-3.0-or-later AGPL-3.0-or-later LGPL-2.1-or-later LGPL-3.0-or-later GFDL-1.3-or-later"
    " MulanPSL-2.0 NCSA OFL-1.1 OSL-3.0 PostgreSQL Python-2.0 UPL-1.0 Zlib WTFPL".split()
)
_OPEN_OTHERS_BY_KEY = {name.lower(): name for name in _OPEN_OTHERS}


class Basis(StrEnum):
    """Where the licence was read."""

    CARD = "card"
    TEXT = "text"
    NONE = "none"


class DeclaredLicence(msgspec.Struct, frozen=True):
    """A licence as declared. `alternatives` are the choices of an OR, each all that must be kept together."""

    text: str
    alternatives: tuple[tuple[Licence, ...], ...] = ()
    unknown: tuple[str, ...] = ()
    basis: Basis = Basis.NONE
    link: str | None = None

    @property
    def known(self) -> bool:
        """Whether every part is a licence whose terms are recorded."""
        return bool(self.alternatives) and not self.unknown and all(part.judged for part in self.licences)

    @property
    def licences(self) -> tuple[Licence, ...]:
        """Every licence named, once, in order."""
        return tuple(dict.fromkeys(part for choice in self.alternatives for part in choice))

    @property
    def accepted(self) -> bool:
        """Whether some choice consists of open licences only."""
        return self.known and any(all(part.accepted for part in choice) for choice in self.alternatives)

    @property
    def allows_commercial_use(self) -> bool:
        """Whether some choice permits commercial use."""
        return self.known and not all(
            any(part.noncommercial for part in choice) for choice in self.alternatives
        )

    @property
    def expression(self) -> str:
        """The SPDX expression, with LicenseRef- names where SPDX has none."""
        choices = [" AND ".join(part.spdx_name for part in choice) for choice in self.alternatives]
        if len(choices) == 1:
            return choices[0]
        return " OR ".join(f"({choice})" if " AND " in choice else choice for choice in choices)


NOTHING = DeclaredLicence("no licence")


def read_licence(
    values: str | Sequence[str], license_name: str | None = None, license_link: str | None = None
) -> DeclaredLicence:
    """Read a card's `license`. Several values all apply; `other` is resolved by its name, else by its link."""
    given = [values] if isinstance(values, str) else list(values)
    cleaned = [text for text in (" ".join(value.split()) for value in given) if text]
    if all(text.lower() in _SAYS_NOTHING for text in cleaned):
        return _read_other(cleaned, license_name, license_link)
    parts = [_read_expression(text) for text in cleaned]
    choices = [choice for choice, _ in parts if choice]
    unknown = tuple(name for _, names in parts for name in names)
    alternatives: tuple[tuple[Licence, ...], ...] = ()
    if choices and _size(choices) <= MAX_ALTERNATIVES:
        alternatives = tuple(_together(combination) for combination in product(*choices))
    elif choices:
        unknown += tuple(cleaned)
    shown = " AND ".join(_shown(choice, text) for (choice, _), text in zip(parts, cleaned, strict=True))
    return DeclaredLicence(shown, alternatives, unknown, Basis.CARD, license_link)


def read_card_licence(card: Mapping[str, Any]) -> DeclaredLicence:
    """The licence that a card's front matter declares."""
    data = dict(card)
    name = next(iter(texts(data, "license_name")), None)
    link = next(iter(texts(data, "license_link")), None)
    return read_licence(texts(data, "license"), name, link)


def of_licence(licence: Licence, basis: Basis, link: str | None = None) -> DeclaredLicence:
    """A single licence as a declaration."""
    return DeclaredLicence(licence.label, ((licence,),), (), basis, link)


def _read_other(values: list[str], name: str | None, link: str | None) -> DeclaredLicence:
    found = find_licence(name) if name else None
    if found is None and link:
        found = next((licence for licence in all_licences() if licence.url == link.strip()), None)
    if found is not None:
        return of_licence(found, Basis.CARD, link)
    if name or values:
        shown = name or values[0]
        return DeclaredLicence(shown[:200], (), (shown[:200],), Basis.CARD, link)
    return NOTHING


def _read_expression(text: str) -> tuple[list[tuple[Licence, ...]], list[str]]:
    """Choices, and the names that nothing is known of."""
    whole = find_licence(text)
    if whole is not None:
        return [(whole,)], []
    if len(text) > MAX_EXPRESSION_CHARS or text.count("(") > MAX_PARENTHESES:
        return [], [text[:200]]
    from license_expression import ExpressionError, ExpressionParseError

    try:
        tree = _licensing().parse(text, simple=False)
    except (ExpressionError, ExpressionParseError, RecursionError, ValueError, TypeError, AttributeError):
        return [], [text[:200]]  # boolean.py answers some malformed expressions with errors of Python's own
    unknown: list[str] = []
    choices = _choices(tree, unknown) if tree is not None else []
    if unknown or choices is None:
        return [], unknown or [text[:200]]
    return choices, []


@cache
def _licensing() -> Any:
    from license_expression import Licensing

    return Licensing()


def _choices(tree: Any, unknown: list[str]) -> list[tuple[Licence, ...]] | None:
    """The expression as choices of conjunctions; None when there would be too many."""
    operator = type(tree).__name__
    if operator not in {"AND", "OR"}:
        licence = _symbol(tree)
        if licence is None:
            unknown.append(str(tree)[:200])
            return []
        return [(licence,)]
    children = [_choices(child, unknown) for child in tree.args]
    if any(child is None for child in children):
        return None
    known = [child for child in children if child]
    if operator == "OR":
        return [choice for child in known for choice in child][: MAX_ALTERNATIVES + 1]
    if _size(known) > MAX_ALTERNATIVES:
        return None
    return [_together(combination) for combination in product(*known)]


def _symbol(tree: Any) -> Licence | None:
    """A licence, or a licence WITH an exception: an exception only loosens, so the licence alone is judged."""
    symbol = getattr(tree, "license_symbol", None)
    if symbol is None:
        return _look_up(str(tree.key))
    licence = _look_up(str(symbol.key))
    if licence is None or licence.spdx is None:
        return licence
    return msgspec.structs.replace(licence, spdx=f"{licence.spdx} WITH {tree.exception_symbol.key}")


def _look_up(name: str) -> Licence | None:
    return find_licence(name) or _from_index(name.lower().removeprefix("licenseref-scancode-"))


@cache
def _index() -> dict[str, dict[str, Any]]:
    """ScanCode's index, which license-expression ships, by key and by SPDX id."""
    raw = resources.files("license_expression").joinpath("data/scancode-licensedb-index.json").read_bytes()
    found: dict[str, dict[str, Any]] = {}
    for entry in json.loads(raw):
        for name in (entry["license_key"], entry["spdx_license_key"], *entry["other_spdx_license_keys"]):
            if name and not entry["is_exception"]:
                found.setdefault(name.lower().removeprefix("licenseref-scancode-"), entry)
    return found


def _from_index(name: str) -> Licence | None:
    """A licence without a record: its name, and what its category says."""
    entry = _index().get(name)
    if entry is None:
        return None
    own = find_licence(entry["license_key"]) or (
        find_licence(entry["spdx_license_key"]) if entry["spdx_license_key"] else None
    )
    if own is not None:
        return own
    spdx = entry["spdx_license_key"]
    is_spdx = bool(spdx) and not spdx.startswith("LicenseRef-")
    category = str(entry["category"] or "unstated")
    url = f"https://scancode-licensedb.aboutcode.org/{entry['license_key']}.html"
    duties = _duties_of(category)
    is_open = _OPEN_OTHERS_BY_KEY.get((spdx or "").lower()) is not None
    return Licence(
        id=entry["license_key"],
        name=spdx if is_spdx else entry["license_key"],
        category=category.lower().replace(" ", "-"),
        url=url,
        kinds=("code",),
        short=spdx if is_spdx else entry["license_key"],
        spdx=spdx if is_spdx else None,
        scancode=entry["license_key"],
        osi=is_open,
        obligations=duties or (),
        judged=duties is not None,
    )


def _duties_of(category: str) -> tuple[Obligation, ...] | None:
    """What licences of a category have in common; None where that is nothing certain."""
    clause = f"not recorded clause by clause; ScanCode files it under '{category}'"
    if category == "Public Domain":
        return ()
    if category == "Permissive":
        return (Obligation(Duty.NOTICE, "its notices go with every copy", clause),)
    if category in {"Copyleft", "Copyleft Limited"}:
        text = "works based on it stay under the same licence; whether weights are such works is contested"
        return (Obligation(Duty.COPYLEFT, text, clause),)
    return None


def _together(combination: Sequence[tuple[Licence, ...]]) -> tuple[Licence, ...]:
    return tuple(dict.fromkeys(part for choice in combination for part in choice))


def _size(choices: Sequence[Sequence[object]]) -> int:
    size = 1
    for options in choices:
        size = min(size * len(options), MAX_ALTERNATIVES + 1)
    return size


def _shown(choices: Sequence[Sequence[Licence]], text: str) -> str:
    only = choices[0][0] if len(choices) == 1 and len(choices[0]) == 1 else None
    return only.label if only else text[:200]
