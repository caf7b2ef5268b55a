"""Who may do what, and what they did."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Named,
    String,
    Text,
    TypedColumns,
)

from seedstock.db.tables.base import BigId, Json, metadata


class _Accounts(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    kind: Named[str] = Column(String(8))
    """`user` or `org`."""
    name: Named[str] = Column(String(96))
    name_key: Named[str] = Column(String(96), unique=True)
    full_name: Named[str] = Column(String(200))
    email: Named[str | None] = Column(String(320))
    password_hash: Named[str | None] = Column(String(200))
    is_admin: Named[bool]
    details: Named[str] = Column(Text)
    private_by_default: Named[bool]
    disabled: Named[bool]
    created_at: Named[int] = Column(BigInteger)
    limits: Named[dict[str, int] | None] = Column(Json)
    """What an admin set in place of the hub's defaults."""


accounts = sa.Table("accounts", metadata, _Accounts)


class _Memberships(TypedColumns):
    org_id: Named[int] = Column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    user_id: Named[int] = Column(
        BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Named[str] = Column(String(16))
    """`read`, `contributor`, `write` or `admin`."""


memberships = sa.Table("memberships", metadata, _Memberships)


class _Tokens(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    account_id: Named[int] = Column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    name: Named[str] = Column(String(120))
    role: Named[str] = Column(String(16))
    scopes: Named[list[dict[str, Any]] | None] = Column(Json)
    hash: Named[str] = Column(String(64), unique=True)
    hint: Named[str] = Column(String(12))
    created_at: Named[int] = Column(BigInteger)
    last_used_at: Named[int | None] = Column(BigInteger)
    expires_at: Named[int | None] = Column(BigInteger)
    limits: Named[dict[str, int] | None] = Column(Json)
    """What an admin set for it in place of the account's."""
    own_limits: Named[dict[str, int] | None] = Column(Json)
    """What its owner set beside that."""


tokens = sa.Table("tokens", metadata, _Tokens)


class _Sessions(TypedColumns):
    hash: Named[str] = Column(String(64), primary_key=True)
    account_id: Named[int] = Column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    created_at: Named[int] = Column(BigInteger)
    expires_at: Named[int] = Column(BigInteger)


sessions = sa.Table("sessions", metadata, _Sessions)


class _Audit(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    at: Named[int] = Column(BigInteger, index=True)
    actor_id: Named[int | None] = Column(BigId)
    actor: Named[str] = Column(String(96))
    action: Named[str] = Column(String(48))
    target: Named[str] = Column(String(250), index=True)
    detail: Named[dict[str, Any] | None] = Column(Json)


audit = sa.Table("audit", metadata, _Audit)
