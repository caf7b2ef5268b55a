"""Every error that Seedstock raises on purpose.

HubError(message, hint)
├── NotFound
│   ├── RepoNotFound       absent, or present and not the caller's to see
│   ├── RevisionNotFound
│   ├── EntryNotFound
│   └── ModelNotRunnable   the repo exists but holds nothing that an engine can load
├── Unauthenticated        no credentials where some are needed
│   └── InvalidToken
├── Forbidden              known caller, not allowed
│   └── GatedRepo
├── Invalid                the request itself is wrong
│   ├── BadName            repo, user, ref or file name
│   ├── BadPath            a file path git or the hub refuses (HTTP 422)
│   ├── BadCommit
│   ├── BadUpload          bytes that do not match what was announced
│   └── UnsupportedFormat
├── Conflict
│   ├── RefMoved           compare-and-swap on a ref lost, or a stale parentCommit
│   └── NameTaken
├── LimitExceeded
│   ├── QuotaExceeded
│   ├── RemoteBusy         the upstream of a remote model has had enough of this hub for now
│   ├── RateLimited        too many requests or tokens of late; says when to ask again
│   └── TooLarge
├── RangeNotSatisfiable
├── Integrity              stored bytes are not what was stored; never served
│   ├── DigestMismatch
│   ├── CorruptBlock
│   └── MissingBlob
└── Unavailable            try again later
    ├── ModelPreparing     a file for the engine is being made; says how far
    ├── EngineBusy
    ├── EngineFailed
    ├── RemoteDown         the upstream of a remote model is not reached, or left alone after failures
    ├── RemoteFailed       it answered with nothing of use
    │   ├── RemoteRefused  it wants nothing to do with this hub: a key or address that is wrong, no credit
    │   └── RemoteSilent   it did not answer in time
    └── StoreUnreachable

Services raise these; `http/errors.py` alone turns them into status codes and headers, and the CLI
turns them into one line and an exit code.
"""

from __future__ import annotations


class HubError(Exception):
    """Base of the tree: what failed, with which value; `hint` says what to do about it."""

    retry_after_s: int | None = None
    """When it may be worth trying again; None: not said."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NotFound(HubError):
    """The named thing does not exist for this caller."""


class RepoNotFound(NotFound):
    """No such repo, or one the caller may not see: the two are indistinguishable on purpose."""

    def __init__(self, message: str = "Repository not found", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)


class RevisionNotFound(NotFound):
    """No branch, tag, commit or pull-request ref of that name."""

    def __init__(self, revision: str) -> None:
        super().__init__(f"Invalid rev id: {revision}")
        self.revision = revision


class EntryNotFound(NotFound):
    """No file or folder at that path in the revision; `commit` is the revision that was searched."""

    def __init__(self, message: str = "Entry not found", *, commit: str | None = None) -> None:
        super().__init__(message)
        self.commit = commit


class ModelNotRunnable(NotFound):
    """The repo exists but no installed engine can load anything in it."""


class Unauthenticated(HubError):
    """Credentials are needed and none were given."""


class InvalidToken(Unauthenticated):
    """The given credentials are unknown, expired or revoked."""

    def __init__(self) -> None:
        super().__init__("Invalid credentials in Authorization header")


class Forbidden(HubError):
    """The caller is known and may not do this."""


class GatedRepo(Forbidden):
    """The repo's files are given only to people whose request was accepted."""


class Invalid(HubError):
    """The request is malformed or self-contradictory."""


class BadName(Invalid):
    """A repo, user, organisation or ref name that breaks the naming rules."""


class BadPath(Invalid):
    """A file path that git or the hub refuses."""


class BadCommit(Invalid):
    """A commit whose operations cannot be applied."""


class BadUpload(Invalid):
    """Uploaded bytes that are not what they were announced to be."""


class UnsupportedFormat(Invalid):
    """A file in a format, version or variant that is not understood."""


class Conflict(HubError):
    """The request collides with the present state."""


class RefMoved(Conflict):
    """The branch is no longer where the caller believed it to be."""


class NameTaken(Conflict):
    """Something of that name exists."""


class LimitExceeded(HubError):
    """A limit of this hub was reached."""


class QuotaExceeded(LimitExceeded):
    """The account's share of a resource is used up."""


class RemoteBusy(LimitExceeded):
    """The upstream of a remote model limits how often it is asked."""

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class RateLimited(LimitExceeded):
    """An account or a token asks too much of the models; `kind` says of what."""

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: int, kind: str) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s
        self.kind = kind


class TooLarge(LimitExceeded):
    """One request or object is larger than this hub accepts."""


class RangeNotSatisfiable(HubError):
    """The requested byte range starts beyond the end."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"Range starts beyond the end of {size_bytes} bytes")
        self.size_bytes = size_bytes


class Integrity(HubError):
    """Stored bytes are not what was stored."""


class DigestMismatch(Integrity):
    """A whole object's digest is wrong."""


class CorruptBlock(Integrity):
    """One block of an object fails its checksum."""


class MissingBlob(Integrity):
    """A referenced object is not in the store."""


class Unavailable(HubError):
    """The hub cannot do this now; trying later may work."""

    retry_after_s: int | None = 5


class ModelPreparing(Unavailable):
    """What the engine loads is being made out of what the repo holds."""


class EngineBusy(Unavailable):
    """Every engine slot is taken."""


class EngineFailed(Unavailable):
    """An engine process could not start or died."""


class RemoteDown(Unavailable):
    """The upstream of a remote model is not reached, or left alone for a while."""

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: int = 5) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class RemoteFailed(Unavailable):
    """The upstream of a remote model answered with nothing that could be handed on."""


class RemoteRefused(RemoteFailed):
    """The upstream of a remote model does not accept this hub: its key, its address or its account."""


class RemoteSilent(RemoteFailed):
    """The upstream of a remote model did not answer in time."""


class StoreUnreachable(Unavailable):
    """The database or object store does not answer."""
