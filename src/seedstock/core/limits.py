"""How much a caller may ask of the models, as it is set: by the hub's settings, by an admin, by a token's owner."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from seedstock.core.errors import Invalid

UNLIMITED = 0
_MOST = 10**9
"""A minute's, which the arithmetic of buckets can bear; a day's is a million times that."""


class LimitKind(StrEnum):
    """What is limited."""

    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_MINUTE = "tokens_per_minute"
    TOKENS_PER_DAY = "tokens_per_day"

    @property
    def most(self) -> int:
        """The largest that can be set."""
        return _MOST * 10**6 if self is LimitKind.TOKENS_PER_DAY else _MOST

    @property
    def words(self) -> str:
        """As people say it."""
        return self.value.replace("_", " ")


class Limits(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """None: not set here, what holds in general holds. 0: no limit. Days begin at midnight UTC."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None

    def of(self, kind: LimitKind) -> int | None:
        """The value of one kind."""
        found: int | None = getattr(self, kind.value)
        return found

    def check(self) -> Limits:
        """Itself. Raises Invalid for a number that is no limit."""
        for kind in LimitKind:
            value = self.of(kind)
            if value is not None and not 0 <= value <= kind.most:
                raise Invalid(f"{kind.value} is a number from 0 (no limit) to {kind.most}, not {value}")
        return self


INHERITED = Limits()


def read_limits(stored: dict[str, int] | None) -> Limits:
    """Limits as the database holds them."""
    return Limits(**stored) if stored else INHERITED


def stored_limits(limits: Limits) -> dict[str, int] | None:
    """Limits as the database holds them; None where nothing is set."""
    plain: dict[str, int] = msgspec.to_builtins(limits)
    return plain or None
