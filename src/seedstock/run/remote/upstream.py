"""What is called when a remote model is asked: an address, the API spoken there, and a key.

Remote models are named `remote/<remote>/<model>`. No repo can be: its name has one slash before any `:` or `@`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from seedstock.core.errors import BadName, Invalid

PREFIX = "remote"
MAX_MODEL_CHARS = 200
_MAX_URL_CHARS = 2000
_MAX_KEY_CHARS = 4096
_SCRUBBED_CHARS = 8  # shorter ones are no secrets ("EMPTY"), and stand in answers by chance
_REMOTE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,40}[a-z0-9])?\Z")
_MODEL = re.compile(rf"[\x21-\x7e]{{1,{MAX_MODEL_CHARS}}}\Z")
_KEY = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+\Z")
_NAME = re.compile(rf"{PREFIX}/(?P<remote>[a-z0-9._-]+)/(?P<model>.+)\Z", re.DOTALL)


class ApiKind(StrEnum):
    """Whose API an upstream speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class UpstreamKey:
    """A key that shows itself to nobody who prints it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "UpstreamKey(...)"

    def reveal(self) -> str:
        """The key, for the header of a request."""
        return self._text

    def scrub(self, data: bytes) -> bytes:
        """Bytes of an upstream that says our key back, without it."""
        return data if len(self._text) < _SCRUBBED_CHARS else data.replace(self._text.encode(), b"[key]")


class Upstream(msgspec.Struct, frozen=True):
    """One remote as it stands; `revision` is another after each change."""

    name: str
    kind: ApiKind
    base_url: str
    key: UpstreamKey | None
    revision: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """What shows who asks, in the way of the API."""
        key = self.key.reveal() if self.key else None
        if self.kind is ApiKind.ANTHROPIC:
            return {"anthropic-version": "2023-06-01"} | ({"x-api-key": key} if key else {})
        return {"Authorization": f"Bearer {key}"} if key else {}

    def scrub(self, data: bytes) -> bytes:
        """Bytes of the upstream without our key."""
        return self.key.scrub(data) if self.key else data


class RemoteName(msgspec.Struct, frozen=True):
    """The two parts of `remote/<remote>/<model>`; a model's own name may hold slashes."""

    remote: str
    model: str


def find_remote_name(text: str) -> RemoteName | None:
    """Read a `model` parameter; None for any other model."""
    match = _NAME.match(text)
    return RemoteName(match["remote"], match["model"]) if match else None


def remote_id(remote: str, model: str) -> str:
    """What callers name a model."""
    return f"{PREFIX}/{remote}/{model}"


def check_remote_name(name: str) -> str:
    """Return `name` if a remote may be called so. Raises BadName."""
    if not _REMOTE.match(name):
        raise BadName(
            f"Invalid name of a remote: {name[:100]!r}",
            hint="lower-case letters, digits, '-', '_' and '.', at most 42, of which the first and last are letters or digits",
        )
    return name


def is_model_name(name: object) -> bool:
    """Whether an upstream's model may be called so here."""
    return isinstance(name, str) and _MODEL.match(name) is not None


def check_base_url(kind: ApiKind, url: str) -> str:
    """The address below which the API's routes lie, such as `https://api.openai.com/v1`. Raises Invalid.

    Anthropic's clients are given one without `/v1`; both spellings mean the same here.
    """
    shown = repr(url[:100])
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Invalid(f"The address of a remote is a URL, not {shown}") from None
    if parts.scheme not in {"http", "https"} or not host or not url.isascii() or not url.isprintable():
        raise Invalid(
            f"The address of a remote starts with http:// or https:// and names a host, unlike {shown}"
        )
    if parts.username is not None or parts.password is not None:
        raise Invalid("The address of a remote holds no user or password", hint="give the key apart")
    if parts.query or parts.fragment or " " in url or len(url) > _MAX_URL_CHARS:
        raise Invalid(
            f"The address of a remote has no query, no fragment and at most {_MAX_URL_CHARS} characters"
        )
    base = url.rstrip("/")
    return base if kind is ApiKind.OPENAI or base.endswith("/v1") else f"{base}/v1"


def check_key(text: str) -> UpstreamKey:
    """A key as a header can bear it. Raises Invalid, without saying it."""
    text = text.strip()
    if not 0 < len(text) <= _MAX_KEY_CHARS or not _KEY.match(text):
        raise Invalid(
            f"A key has 1 to {_MAX_KEY_CHARS} printable ASCII characters, without spaces, quotes and backslashes"
        )
    return UpstreamKey(text)
