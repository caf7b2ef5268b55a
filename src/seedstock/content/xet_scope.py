"""What a caller of the Xet store may do: tokens that say so, and data addresses that need no token.

Both are signed texts, checked without the database. A data address is good for one byte range of one
xorb: a xorb also holds chunks of other files, which the reader of this one may have no right to.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from seedstock.accounts.secrets import Signer
from seedstock.core.clock import Clock
from seedstock.core.errors import Forbidden, InvalidToken
from seedstock.core.viewer import TokenRole, Viewer
from seedstock.db.repos import RepoRow
from seedstock.db.xet import XorbScope

TOKEN_LIFETIME_S = 3600
TOKEN_GRACE_S = 60
"""The client takes a 401 for final, so a token is accepted a little longer than it is announced."""
_DATA_BUCKET_S = 1800
_DATA_BUCKETS = 3


class Access(StrEnum):
    """What a token is for; `write` includes `read`."""

    READ = "read"
    WRITE = "write"


class XetToken(msgspec.Struct, frozen=True):
    """A token as it was minted; `text` is what the client sends back."""

    repo_id: int
    namespace_id: int | None
    """Namespace whose every repo the caller may read, if that of the repo is one."""
    access: Access
    account_id: int | None
    expires_at_s: int
    text: str = ""

    @property
    def scope(self) -> XorbScope:
        """The xorbs that the caller may use."""
        return XorbScope(self.repo_id, self.namespace_id)


def mint_token(signer: Signer, clock: Clock, viewer: Viewer, repo: RepoRow, access: Access) -> XetToken:
    """A token for a repo; the caller has checked that the viewer may do that to it."""
    expires_at_s = clock() // 1000 + TOKEN_LIFETIME_S
    namespace_id = repo.namespace_id if _reads_namespace(viewer, repo) else None
    body = f"{repo.id}.{namespace_id or 0}.{access}.{viewer.account_id or 0}.{expires_at_s}"
    return XetToken(
        repo.id,
        namespace_id,
        access,
        viewer.account_id,
        expires_at_s,
        f"xet.{body}.{signer.sign('xet-token', body)}",
    )


def read_token(signer: Signer, clock: Clock, text: str) -> XetToken:
    """The token that a client sent. Raises InvalidToken unless it is ours and not too old."""
    head, _, rest = text.partition(".")
    body, _, tag = rest.rpartition(".")
    if head != "xet" or not text.isascii() or not signer.verify("xet-token", body, tag):
        raise InvalidToken
    repo_id, namespace_id, access, account_id, expires_at_s = body.split(".")
    if clock() // 1000 > int(expires_at_s) + TOKEN_GRACE_S:
        raise InvalidToken
    return XetToken(
        int(repo_id),
        int(namespace_id) or None,
        Access(access),
        int(account_id) or None,
        int(expires_at_s),
        text,
    )


def require_write(token: XetToken) -> None:
    """Raise Forbidden for a token that only reads."""
    if token.access is not Access.WRITE:
        raise Forbidden("This Xet token can only read", hint="ask for a write token")


def data_query(signer: Signer, clock: Clock, xorb_hash: str, start: int, stop: int) -> str:
    """Query string that opens bytes [start, stop) of a xorb for 60 to 90 minutes.

    Expiry is rounded, so that the same range has the same address for half an hour and can be cached.
    """
    expires_at_s = (clock() // 1000 // _DATA_BUCKET_S + _DATA_BUCKETS) * _DATA_BUCKET_S
    message = f"{xorb_hash}.{start}-{stop}.{expires_at_s}"
    return f"bytes={start}-{stop}&expires={expires_at_s}&sig={signer.sign('xet-data', message)}"


def check_data_query(
    signer: Signer, clock: Clock, xorb_hash: str, span: str, expires: str, tag: str
) -> tuple[int, int]:
    """The bytes [start, stop) that a data address opens. Raises Forbidden, which makes the client ask anew."""
    message = f"{xorb_hash}.{span}.{expires}"
    if not message.isascii() or not tag.isascii() or not signer.verify("xet-data", message, tag):
        raise Forbidden("This address was not signed here")
    if clock() // 1000 > int(expires):
        raise Forbidden("This address has expired", hint="ask for the reconstruction again")
    start, _, stop = span.partition("-")
    return int(start), int(stop)


def _reads_namespace(viewer: Viewer, repo: RepoRow) -> bool:
    """Whether the viewer may read every repo of the namespace; a fine-grained token names its own few."""
    restricted = viewer.credential is not None and viewer.credential.role is TokenRole.FINE_GRAINED
    return viewer.role_in(repo.namespace_id) is not None and not restricted
