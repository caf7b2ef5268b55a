"""Who is asking: the identity that every permission decision starts from."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from seedstock.core.limits import INHERITED, Limits


class OrgRole(StrEnum):
    """What a member may do in an organisation, weakest first."""

    READ = "read"
    CONTRIBUTOR = "contributor"
    WRITE = "write"
    ADMIN = "admin"


class TokenRole(StrEnum):
    """What a credential may do on behalf of its owner."""

    READ = "read"
    WRITE = "write"
    FINE_GRAINED = "fine-grained"


class Membership(msgspec.Struct, frozen=True):
    """One organisation of a user."""

    org_id: int
    name: str
    full_name: str
    role: OrgRole


class Credential(msgspec.Struct, frozen=True):
    """The token or browser session that a request came with."""

    role: TokenRole
    name: str
    created_at: int
    scopes: tuple[dict[str, Any], ...] = ()
    """Fine-grained only: `{"entity": {"type", "name"}, "permissions": [..]}`."""
    session: str | None = None
    """Hash of the browser session, when it is one; such requests must carry a CSRF token to write."""
    token_id: int | None = None
    """None for a browser session or a job."""
    limits: Limits = INHERITED
    """What an admin set for the token, in place of the account's."""
    own_limits: Limits = INHERITED
    """What its owner set, beside that."""


class Viewer(msgspec.Struct, frozen=True):
    """The caller. `account_id` is None for an anonymous one."""

    account_id: int | None = None
    name: str = ""
    full_name: str = ""
    email: str | None = None
    is_admin: bool = False
    created_at: int = 0
    memberships: tuple[Membership, ...] = ()
    credential: Credential | None = None
    limits: Limits = INHERITED
    """What an admin set for the account, in place of the defaults."""

    @property
    def anonymous(self) -> bool:
        """Whether nobody is signed in."""
        return self.account_id is None

    def role_in(self, namespace_id: int) -> OrgRole | None:
        """The role in an organisation; a user is admin of the own namespace."""
        if namespace_id == self.account_id:
            return OrgRole.ADMIN
        for membership in self.memberships:
            if membership.org_id == namespace_id:
                return membership.role
        return None


ANONYMOUS = Viewer()
