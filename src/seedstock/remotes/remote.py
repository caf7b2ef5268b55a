"""What admins say about a remote, and what they and users are told of it: never its key."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from seedstock.core.errors import Invalid
from seedstock.run.remote.upstream import MAX_MODEL_CHARS, ApiKind, is_model_name

MAX_MODELS = 5000


class NewRemote(msgspec.Struct, frozen=True):
    """What an admin registers. No `models`: all that the upstream lists. No `accounts`: everyone who is signed in."""

    name: str
    kind: ApiKind
    url: str
    key: str | None = None
    models: list[str] | None = None
    accounts: list[str] | None = None

    def __repr__(self) -> str:
        return f"NewRemote({self.name!r})"


class Change(msgspec.Struct, frozen=True):
    """What is to be different about a remote; a new address needs the key again."""

    url: str | UnsetType = UNSET
    key: str | UnsetType | None = UNSET
    models: list[str] | UnsetType | None = UNSET
    accounts: list[str] | UnsetType | None = UNSET

    def __repr__(self) -> str:
        return "Change(...)"


class Remote(msgspec.Struct, frozen=True):
    """A remote as admins see it: never its key, only how that stands."""

    name: str
    kind: ApiKind
    url: str
    key: str
    """`set`, `none`, or `unreadable` for one that was stored under another secret key."""
    models: list[str] | None
    listed: list[str]
    listed_at: int | None
    accounts: list[str] | None
    created_at: int
    changed_at: int


class RemoteModel(msgspec.Struct, frozen=True):
    """A model of a remote as users see it."""

    id: str
    remote: str
    created_at: int


class Offer(msgspec.Struct, frozen=True):
    """A remote to those who may use it."""

    id: int
    name: str
    kind: ApiKind
    models: list[str] | None
    revision: int
    """Another after each change of its settings."""

    def has(self, model: str) -> bool:
        """Whether a model may be asked for by that name."""
        return is_model_name(model) if self.models is None else model in self.models


class Tested(msgspec.Struct, frozen=True):
    """How an upstream answered when it was asked for its models."""

    ok: bool
    latency_ms: int
    models: int = 0
    missing: list[str] = []
    """Models that are offered here and that the upstream does not list."""
    error: str | None = None


def checked_models(models: list[str] | None) -> list[str] | None:
    """The models to offer, once each; None for all. Raises Invalid."""
    if models is None:
        return None
    if not models or len(models) > MAX_MODELS:
        raise Invalid(f"A remote offers 1 to {MAX_MODELS} models, or without a list all that it has")
    for model in models:
        if not is_model_name(model):
            raise Invalid(
                f"Invalid name of a model: {model[:100]!r}",
                hint=f"at most {MAX_MODEL_CHARS} printable ASCII characters without spaces",
            )
    return list(dict.fromkeys(models))
