"""Talking with models, and counting it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Named,
    String,
    Text,
    TypedColumns,
)

from seedstock.db.tables.base import BigId, Json, metadata


class _Chats(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    key: Named[str] = Column(String(32), unique=True)
    """What addresses name it by."""
    account_id: Named[int] = Column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"))
    title: Named[str] = Column(String(200))
    model: Named[str] = Column(String(300))
    settings: Named[dict[str, Any]] = Column(Json)
    """System prompt and sampling."""
    current: Named[str | None] = Column(String(32))
    """Key of the message that the branch on show ends with."""
    messages: Named[int]
    size_bytes: Named[int] = Column(BigInteger)
    created_at: Named[int] = Column(BigInteger)
    updated_at: Named[int] = Column(BigInteger)


chats = sa.Table(
    "chats", metadata, _Chats, Index(None, "account_id", "updated_at"), sqlite_autoincrement=True
)


class _ChatMessages(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    chat_id: Named[int] = Column(BigId, ForeignKey("chats.id", ondelete="CASCADE"))
    key: Named[str] = Column(String(32))
    """Chosen by the writer, so that what may have been lost is sent again without being doubled."""
    parent: Named[str | None] = Column(String(32))
    role: Named[str] = Column(String(12))
    """`user` or `assistant`."""
    content: Named[str] = Column(Text)
    details: Named[dict[str, Any]] = Column(Json)
    """Reasoning, model, attachments, figures."""
    created_at: Named[int] = Column(BigInteger)


chat_messages = sa.Table("chat_messages", metadata, _ChatMessages, sa.UniqueConstraint("chat_id", "key"))


class _ChatShares(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    chat_id: Named[int] = Column(BigId, ForeignKey("chats.id", ondelete="CASCADE"), index=True)
    snapshot: Named[dict[str, Any]] = Column(Json)
    """The branch as it was when it was shared."""
    created_at: Named[int] = Column(BigInteger)


# Numbers are never used again: the link of a revoked share must not open a later one.
chat_shares = sa.Table("chat_shares", metadata, _ChatShares, sqlite_autoincrement=True)


class _Battles(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    key: Named[str] = Column(String(32), unique=True)
    account_id: Named[int] = Column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"))
    blind: Named[bool]
    prompts: Named[list[str]] = Column(Json)
    settings: Named[dict[str, Any]] = Column(Json)
    outcome: Named[str | None] = Column(String(8))
    """Position of the best answer, `tie` or `bad`; None until there is a vote."""
    created_at: Named[int] = Column(BigInteger)
    voted_at: Named[int | None] = Column(BigInteger)


# One prompt put to several models side by side, and the one vote on it.
battles = sa.Table(
    "battles",
    metadata,
    _Battles,
    Index(None, "account_id", "id"),
    Index(None, "voted_at"),
    sqlite_autoincrement=True,
)


class _Contestants(TypedColumns):
    battle_id: Named[int] = Column(BigId, ForeignKey("battles.id", ondelete="CASCADE"), primary_key=True)
    position: Named[int] = Column(primary_key=True)
    model: Named[str] = Column(String(300))
    """As it was asked for."""
    repo_id: Named[int | None] = Column(BigId)
    """None for a model that is no repo of this hub."""
    revision: Named[str | None] = Column(String(40))


contestants = sa.Table("contestants", metadata, _Contestants)


class _BattleAnswers(TypedColumns):
    battle_id: Named[int] = Column(BigId, ForeignKey("battles.id", ondelete="CASCADE"), primary_key=True)
    position: Named[int] = Column(primary_key=True)
    turn: Named[int] = Column(primary_key=True)
    content: Named[str] = Column(Text)
    details: Named[dict[str, Any]] = Column(Json)
    created_at: Named[int] = Column(BigInteger)


battle_answers = sa.Table("battle_answers", metadata, _BattleAnswers)


class _Remotes(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    name: Named[str] = Column(String(42), unique=True)
    kind: Named[str] = Column(String(16))
    """`openai` or `anthropic`: the API that is spoken there."""
    base_url: Named[str] = Column(Text)
    sealed_key: Named[bytes | None] = Column(LargeBinary)
    """The key, encrypted; None where none is asked for."""
    everyone: Named[bool]
    """Whether all signed-in users may use it, or only `remote_accounts`."""
    models: Named[list[str] | None] = Column(Json)
    """The models that are offered; None: all that the upstream lists."""
    listed: Named[list[str]] = Column(Json)
    """What the upstream listed last."""
    listed_at: Named[int | None] = Column(BigInteger)
    created_at: Named[int] = Column(BigInteger)
    changed_at: Named[int] = Column(BigInteger)


remotes = sa.Table("remotes", metadata, _Remotes)


class _RemoteAccounts(TypedColumns):
    remote_id: Named[int] = Column(BigId, ForeignKey("remotes.id", ondelete="CASCADE"), primary_key=True)
    account_id: Named[int] = Column(
        BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, index=True
    )


# Who may use a remote that is not for everyone: users, and the members of organisations.
remote_accounts = sa.Table("remote_accounts", metadata, _RemoteAccounts)


class _UsageDays(TypedColumns):
    day: Named[int] = Column(primary_key=True)
    """Days since 1970, UTC."""
    account_id: Named[int] = Column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    token_id: Named[int] = Column(BigInteger, primary_key=True)
    """0: from a browser session; -1: by tokens that are revoked, whose ids may come again."""
    model: Named[str] = Column(String(250), primary_key=True)
    """The name as it was: what was used stays true when the repo is renamed or gone."""
    requests: Named[int] = Column(BigInteger)
    failures: Named[int] = Column(BigInteger)
    prompt_tokens: Named[int] = Column(BigInteger)
    cached_tokens: Named[int] = Column(BigInteger)
    """Of the prompts' tokens, those that the engine had kept."""
    completion_tokens: Named[int] = Column(BigInteger)
    duration_ms: Named[int] = Column(BigInteger)


# Sums, added to in batches by each web worker.
usage_days = sa.Table("usage_days", metadata, _UsageDays, Index(None, "account_id", "day"))


class _Allowances(TypedColumns):
    subject: Named[str] = Column(String(24), primary_key=True)
    """`account:<id>` or `token:<id>`."""
    kind: Named[str] = Column(String(24), primary_key=True)
    mark: Named[int] = Column(BigInteger)
    """Per minute: a moment in microseconds since 1970. Per day: the day."""
    spent: Named[int] = Column(BigInteger)
    """Per minute: what the bucket lacked at that moment. Per day: tokens on that day."""


# How much of each limit is used up. On SQLite in a file of its own: every limited request writes here.
allowances = sa.Table("allowances", metadata, _Allowances)
