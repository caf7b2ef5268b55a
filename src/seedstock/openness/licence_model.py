"""A licence as a record: what it asks of whoever passes on a model, and where it says so."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

WEIGHTS = "weights"
OUTPUTS = "outputs"
_DATA = Path(__file__).with_name("licences.toml")


class Duty(StrEnum):
    """The kinds of obligation that are told apart."""

    LICENCE_COPY = "licence-copy"
    NOTICE = "notice"
    NOTICE_FILE = "notice-file"
    CHANGE_NOTICE = "change-notice"
    ATTRIBUTION = "attribution"
    DISPLAY = "display"
    NAME_PREFIX = "name-prefix"
    SAME_TERMS = "same-terms"
    SHARE_ALIKE = "share-alike"
    COPYLEFT = "copyleft"
    USE_RESTRICTIONS = "use-restrictions"
    NONCOMMERCIAL = "noncommercial"
    NO_DERIVATIVES = "no-derivatives"
    NO_TRAIN_OTHERS = "no-train-others"
    MAU_CAP = "mau-cap"
    REVENUE_CAP = "revenue-cap"


class Obligation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One duty in plain words. `binds` says through what it is inherited; `value` is a prefix, notice or figure."""

    duty: Duty
    text: str
    clause: str
    value: str | None = None
    binds: tuple[str, ...] = (WEIGHTS,)


class Licence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One licence. `kinds` says for which material (code, data, doc) it was written; `short` names its terms.

    `judged` is False where only the name and a category are known, so nothing can be said on what it asks.
    """

    id: str
    name: str
    category: str
    url: str
    kinds: tuple[str, ...]
    short: str
    aliases: tuple[str, ...] = ()
    spdx: str | None = None
    scancode: str | None = None
    osi: bool = False
    fsf: bool = False
    open_data: bool = False
    aup_url: str | None = None
    obligations: tuple[Obligation, ...] = ()
    judged: bool = True

    @property
    def label(self) -> str:
        """How it is named in a sentence."""
        return self.spdx or self.name

    @property
    def spdx_name(self) -> str:
        """Its name in an SPDX expression: an id of SPDX, or a LicenseRef- where SPDX has none."""
        if self.spdx:
            return self.spdx
        if self.scancode:
            return f"LicenseRef-scancode-{self.scancode}"
        return "LicenseRef-" + "".join(c if c.isalnum() or c in ".-" else "-" for c in self.id)

    @property
    def accepted(self) -> bool:
        """Whether openness counts it as open: OSI-approved, FSF-free or an open-data licence."""
        return self.osi or self.fsf or self.open_data

    def find(self, duty: Duty) -> Obligation | None:
        """The obligation of a kind."""
        return next((item for item in self.obligations if item.duty is duty), None)

    @property
    def noncommercial(self) -> bool:
        """Whether commercial use is refused."""
        return self.find(Duty.NONCOMMERCIAL) is not None

    @property
    def share_alike(self) -> bool:
        """Whether adaptations must stay under it."""
        return self.find(Duty.SHARE_ALIKE) is not None

    @property
    def copyleft(self) -> bool:
        """Whether it is a software copyleft licence."""
        return self.find(Duty.COPYLEFT) is not None

    @property
    def use_restrictions(self) -> bool:
        """Whether some uses are refused and the refusal must be passed on."""
        return self.find(Duty.USE_RESTRICTIONS) is not None

    @property
    def naming(self) -> str | None:
        """What the name of a derived model must begin with."""
        found = self.find(Duty.NAME_PREFIX)
        return found.value if found else None

    @property
    def notice(self) -> str | None:
        """The text that a Notice file must hold."""
        found = self.find(Duty.NOTICE_FILE)
        return found.value if found else None

    @property
    def mau_cap(self) -> int | None:
        """Monthly active users above which another licence is needed."""
        found = self.find(Duty.MAU_CAP)
        return int(found.value) if found and found.value else None

    @property
    def revenue_cap_usd(self) -> int | None:
        """Yearly revenue above which another licence is needed."""
        found = self.find(Duty.REVENUE_CAP)
        return int(found.value) if found and found.value else None

    @property
    def no_train_others(self) -> bool:
        """Whether improving other models with it is refused."""
        return self.find(Duty.NO_TRAIN_OTHERS) is not None

    @property
    def outputs_bound(self) -> bool:
        """Whether a model trained on outputs inherits a duty."""
        return any(OUTPUTS in item.binds for item in self.obligations)

    @property
    def attribution(self) -> bool:
        """Whether credit must be given."""
        return self.find(Duty.ATTRIBUTION) is not None


@cache
def all_licences() -> tuple[Licence, ...]:
    """Every licence that has a record, in the order of the data file."""
    raw = tomllib.loads(_DATA.read_text("utf-8"))
    shared = raw["shared"]
    records = [{**entry, "obligations": _obligations(entry, shared)} for entry in raw["licence"]]
    return tuple(msgspec.convert(records, tuple[Licence, ...]))


def _obligations(entry: dict[str, Any], shared: dict[str, Any]) -> list[dict[str, Any]]:
    """Its own, with those that many licences word alike named by their key in `shared`."""
    return [shared[item] if isinstance(item, str) else item for item in entry.get("obligations", [])]


@cache
def licence_index() -> dict[str, Licence]:
    """Licences by every name they go by, in lower case."""
    found: dict[str, Licence] = {}
    for licence in all_licences():
        for name in (licence.id, licence.spdx, licence.scancode, licence.spdx_name, *licence.aliases):
            if name:
                other = found.setdefault(name.lower(), licence)
                assert other is licence, f"{name} names {other.id} and {licence.id}"
    return found


def find_licence(name: str) -> Licence | None:
    """The record of a hub tag, SPDX id, ScanCode key or common spelling."""
    key = " ".join(name.lower().split())
    index = licence_index()
    return (
        index.get(key)
        or index.get(key.replace(" ", "-"))
        or index.get(key.removeprefix("licenseref-scancode-"))
    )
