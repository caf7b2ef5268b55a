"""Queries of chats, their messages and the snapshots of them that are shared."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.db.schema import accounts, chat_messages, chat_shares, chats


class ChatRow(msgspec.Struct, frozen=True):
    """A chat as stored, without its messages."""

    id: int
    key: str
    account_id: int
    title: str
    model: str
    settings: dict[str, Any]
    current: str | None
    messages: int
    size_bytes: int
    created_at: int
    updated_at: int


class MessageRow(msgspec.Struct, frozen=True):
    """A message as stored."""

    key: str
    parent: str | None
    role: str
    content: str
    details: dict[str, Any]
    created_at: int


class ShareRow(msgspec.Struct, frozen=True):
    """A shared snapshot, and whose chat it is of."""

    id: int
    chat_id: int
    snapshot: dict[str, Any]
    created_at: int


_CHAT = [chats.c[name] for name in ChatRow.__struct_fields__]
_MESSAGE = [chat_messages.c[name] for name in MessageRow.__struct_fields__]
_SHARE = [chat_shares.c[name] for name in ShareRow.__struct_fields__]


def use(connection: sa.Connection, account_id: int) -> tuple[int, int]:
    """How many chats an account has and their bytes; nobody else adds to them before the transaction ends."""
    connection.execute(sa.select(accounts.c.id).where(accounts.c.id == account_id).with_for_update())
    total = sa.func.coalesce(sa.func.sum(chats.c.size_bytes), 0)
    row = connection.execute(sa.select(sa.func.count(), total).where(chats.c.account_id == account_id)).one()
    return int(row[0]), int(row[1])


def insert_chat(connection: sa.Connection, values: dict[str, Any]) -> ChatRow:
    """Add a chat without messages."""
    statement = sa.insert(chats).values(**values, messages=0, size_bytes=0).returning(*_CHAT)
    return ChatRow(*connection.execute(statement).one())


def find_chat(connection: sa.Connection, account_id: int, key: str) -> ChatRow | None:
    """A chat of an account."""
    query = sa.select(*_CHAT).where(chats.c.key == key, chats.c.account_id == account_id)
    row = connection.execute(query).first()
    return ChatRow(*row) if row else None


def list_chats(
    connection: sa.Connection, account_id: int, search: str, limit: int, offset: int
) -> list[ChatRow]:
    """An account's chats, the last changed first; `search` is looked for in titles and messages."""
    query = sa.select(*_CHAT).where(chats.c.account_id == account_id)
    if search:
        said = sa.select(chat_messages.c.id).where(
            chat_messages.c.chat_id == chats.c.id,
            chat_messages.c.content.icontains(search, autoescape=True),
        )
        query = query.where(sa.or_(chats.c.title.icontains(search, autoescape=True), sa.exists(said)))
    query = query.order_by(chats.c.updated_at.desc(), chats.c.id.desc()).limit(limit).offset(offset)
    return [ChatRow(*row) for row in connection.execute(query)]


def update_chat(connection: sa.Connection, chat_id: int, values: dict[str, Any]) -> None:
    """Change columns of a chat."""
    connection.execute(sa.update(chats).where(chats.c.id == chat_id).values(**values))


def delete_chats(connection: sa.Connection, account_id: int, keys: Collection[str] | None) -> int:
    """Delete chats of an account, or all of them, with messages and shares; how many there were."""
    statement = sa.delete(chats).where(chats.c.account_id == account_id)
    if keys is not None:
        statement = statement.where(chats.c.key.in_(keys))
    return connection.execute(statement).rowcount


def list_messages(connection: sa.Connection, chat_id: int) -> list[MessageRow]:
    """Every message of a chat in the order in which they were stored."""
    query = sa.select(*_MESSAGE).where(chat_messages.c.chat_id == chat_id).order_by(chat_messages.c.id)
    return [MessageRow(*row) for row in connection.execute(query)]


def insert_messages(connection: sa.Connection, chat_id: int, rows: Sequence[dict[str, Any]]) -> None:
    """Add messages."""
    if rows:
        connection.execute(sa.insert(chat_messages), [{"chat_id": chat_id, **row} for row in rows])


def insert_share(connection: sa.Connection, chat_id: int, snapshot: dict[str, Any], at: int) -> int:
    """Keep a snapshot; its number."""
    statement = sa.insert(chat_shares).values(chat_id=chat_id, snapshot=snapshot, created_at=at)
    return int(connection.execute(statement.returning(chat_shares.c.id)).scalar_one())


def find_share(connection: sa.Connection, share_id: int) -> ShareRow | None:
    """A snapshot by its number."""
    row = connection.execute(sa.select(*_SHARE).where(chat_shares.c.id == share_id)).first()
    return ShareRow(*row) if row else None


def list_shares(connection: sa.Connection, chat_id: int) -> list[tuple[int, int]]:
    """Numbers and times of a chat's snapshots, newest first."""
    query = sa.select(chat_shares.c.id, chat_shares.c.created_at).where(chat_shares.c.chat_id == chat_id)
    return [(int(id), int(at)) for id, at in connection.execute(query.order_by(chat_shares.c.id.desc()))]


def delete_share(connection: sa.Connection, chat_id: int, share_id: int) -> bool:
    """Delete a snapshot of a chat; whether there was one."""
    statement = sa.delete(chat_shares).where(chat_shares.c.id == share_id, chat_shares.c.chat_id == chat_id)
    return connection.execute(statement).rowcount > 0
