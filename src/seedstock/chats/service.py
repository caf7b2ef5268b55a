"""Chats as the account that had them sees them; to everybody else they do not exist, admins included."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from seedstock.accounts.permissions import check_may_change, check_own
from seedstock.accounts.secrets import Signer
from seedstock.chats.messages import Message, branch, check_tree, cleaned, size_of, storable
from seedstock.core.clock import Clock, iso
from seedstock.core.errors import Conflict, Invalid, NotFound, QuotaExceeded, TooLarge
from seedstock.core.viewer import Viewer
from seedstock.db import chats as rows
from seedstock.db.chats import ChatRow, MessageRow
from seedstock.db.engine import Database

MAX_CHATS = 2000
MAX_CHAT_BYTES = 8 << 20
MAX_ACCOUNT_BYTES = 256 << 20
MAX_MESSAGES = 2000
MAX_SHARES = 10
MAX_TITLE = 200
MAX_SYSTEM_CHARS = 32_000
_PURPOSE = "chat-share"


class ChatSettings(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What goes with every question of a chat; None leaves it to the engine."""

    system: str = ""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None


class Changes(msgspec.Struct, frozen=True):
    """What to change of a chat; None leaves it as it is."""

    title: str | None = None
    model: str | None = None
    settings: ChatSettings | None = None
    current: str | None = None


class Chat(msgspec.Struct, frozen=True):
    """A chat with its messages and its links, newest link first: (token, created at)."""

    row: ChatRow
    settings: ChatSettings
    messages: list[Message]
    shares: list[tuple[str, int]]


class Snapshot(msgspec.Struct, frozen=True, rename="camel"):
    """One branch of a chat as it was when it was shared."""

    title: str
    system: str
    messages: list[Message]
    shared_at: str


class Chats:
    """Keeps, lists, shares and deletes chats."""

    def __init__(self, database: Database, signer: Signer, clock: Clock) -> None:
        self._database = database
        self._signer = signer
        self._clock = clock

    def page(self, viewer: Viewer, search: str = "", limit: int = 50, offset: int = 0) -> list[ChatRow]:
        """The viewer's chats, the last changed first. Raises Unauthenticated and Forbidden."""
        owner = check_own(viewer)
        with self._database.read() as connection:
            return rows.list_chats(connection, owner, storable(search)[:200], limit, offset)

    def get(self, viewer: Viewer, key: str) -> Chat:
        """A chat of the viewer's. Raises NotFound, and Unauthenticated and Forbidden as `page`."""
        with self._database.read() as connection:
            chat = _find(connection, viewer, key)
            stored = rows.list_messages(connection, chat.id)
            shares = rows.list_shares(connection, chat.id)
        links = [(self._token(number), at) for number, at in shares]
        return Chat(chat, _settings(chat), [_message(row) for row in stored], links)

    def create(self, viewer: Viewer, changes: Changes, messages: Sequence[Message] = ()) -> Chat:
        """A new chat, with messages to begin with. Raises Invalid, TooLarge, QuotaExceeded."""
        owner = check_own(viewer)
        check_may_change(viewer)
        at = self._clock()
        values = {"title": "New chat", "model": "", "settings": {}, "current": None} | _values(changes)
        values |= {"account_id": owner, "key": secrets.token_hex(12), "created_at": at, "updated_at": at}
        with self._database.write() as connection:
            count, _ = rows.use(connection, owner)
            if count >= MAX_CHATS:
                raise QuotaExceeded(
                    f"You have {count} chats, which is the most", hint="delete some that you no longer need"
                )
            chat = rows.insert_chat(connection, values)
            self._add(connection, chat, messages, at)
            if changes.current is not None:
                _check_current(connection, chat, changes.current)
        return self.get(viewer, chat.key)

    def add(
        self, viewer: Viewer, key: str, messages: Sequence[Message], current: str | None = None
    ) -> ChatRow:
        """Add messages; those that are stored already, the same, are passed over. Raises as `create`, Conflict."""
        check_may_change(viewer)
        at = self._clock()
        with self._database.write() as connection:
            rows.use(connection, check_own(viewer))
            chat = _find(connection, viewer, key)
            self._add(connection, chat, messages, at)
            if current is not None:
                _check_current(connection, chat, current)
                rows.update_chat(connection, chat.id, {"current": current})
            return _find(connection, viewer, key)

    def change(self, viewer: Viewer, key: str, changes: Changes) -> ChatRow:
        """Rename a chat, or set its model, settings or the branch on show. Raises NotFound, Invalid."""
        check_may_change(viewer)
        values = _values(changes)
        with self._database.write() as connection:
            chat = _find(connection, viewer, key)
            if changes.current is not None:
                _check_current(connection, chat, changes.current)
            if values:
                rows.update_chat(connection, chat.id, values)
            return _find(connection, viewer, key)

    def delete(self, viewer: Viewer, key: str | None) -> int:
        """Delete a chat, or all of the viewer's, with every message and link; how many. Raises NotFound."""
        owner = check_own(viewer)
        check_may_change(viewer)
        with self._database.write() as connection:
            if key is not None:
                _find(connection, viewer, key)
            return rows.delete_chats(connection, owner, None if key is None else [key])

    def share(self, viewer: Viewer, key: str, end: str | None = None) -> str:
        """Make a link to the branch that ends with `end` (None: the one on show); its token. Raises NotFound."""
        check_may_change(viewer)
        at = self._clock()
        chat = self.get(viewer, key)
        if len(chat.shares) >= MAX_SHARES:
            raise QuotaExceeded(f"This chat has {MAX_SHARES} links, which is the most", hint="revoke some")
        shown = branch(chat.messages, end or chat.row.current)
        if not shown or (end is not None and shown[-1].id != end):
            raise Invalid("There is nothing to share" if not shown else f"There is no message {end!r:.40}")
        snapshot = Snapshot(chat.row.title, chat.settings.system, shown, iso(at))
        with self._database.write() as connection:
            number = rows.insert_share(
                connection, _find(connection, viewer, key).id, msgspec.to_builtins(snapshot), at
            )
        return self._token(number)

    def revoke(self, viewer: Viewer, key: str, token: str) -> None:
        """Have a link of a chat open nothing any more. Raises NotFound."""
        check_may_change(viewer)
        number = self._number(token)
        with self._database.write() as connection:
            chat = _find(connection, viewer, key)
            if number is None or not rows.delete_share(connection, chat.id, number):
                raise NotFound("There is no such link")

    def shared(self, token: str) -> Snapshot:
        """What a link opens, to whoever has it. Raises NotFound."""
        number = self._number(token)
        if number is not None:
            with self._database.read() as connection:
                share = rows.find_share(connection, number)
            if share is not None:
                return msgspec.convert(share.snapshot, Snapshot)
        raise NotFound("There is no such shared chat, or it is no longer shared")

    def _token(self, number: int) -> str:
        """What is unguessable about a link is not stored, so that a copy of the database opens nothing."""
        return f"{number}-{self._signer.sign(_PURPOSE, str(number))}"

    def _number(self, token: str) -> int | None:
        text, _, tag = token.partition("-")
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            return None
        return int(text) if self._signer.verify(_PURPOSE, text, tag) else None

    def _add(self, connection: sa.Connection, chat: ChatRow, messages: Sequence[Message], at: int) -> None:
        old = [_message(row) for row in rows.list_messages(connection, chat.id)]
        known = {message.id: message for message in old}
        new = []
        for message in map(cleaned, messages):
            stored = known.get(message.id)
            if stored is None:
                new.append(message)
            elif (stored.parent, stored.role, stored.content) != (
                message.parent,
                message.role,
                message.content,
            ):
                raise Conflict(f"Another message {message.id} is in this chat already")
        if not new:
            return
        check_tree([*old, *new])
        size = chat.size_bytes + sum(size_of(message) for message in new)
        _check_size(connection, chat, len(old) + len(new), size)
        rows.insert_messages(connection, chat.id, [_row(message, at) for message in new])
        values = {
            "messages": len(old) + len(new),
            "size_bytes": size,
            "updated_at": at,
            "current": new[-1].id,
        }
        rows.update_chat(connection, chat.id, values)


def _check_size(connection: sa.Connection, chat: ChatRow, count: int, size: int) -> None:
    if count > MAX_MESSAGES:
        raise TooLarge(f"A chat has at most {MAX_MESSAGES} messages", hint="begin a new one")
    if size > MAX_CHAT_BYTES:
        raise TooLarge(f"A chat holds at most {MAX_CHAT_BYTES >> 20} MiB of text", hint="begin a new one")
    _, total = rows.use(connection, chat.account_id)
    if total - chat.size_bytes + size > MAX_ACCOUNT_BYTES:
        raise QuotaExceeded(
            f"Your chats hold {MAX_ACCOUNT_BYTES >> 20} MiB of text, which is the most",
            hint="delete some that you no longer need",
        )


def _find(connection: sa.Connection, viewer: Viewer, key: str) -> ChatRow:
    chat = rows.find_chat(connection, check_own(viewer), key) if "\0" not in key else None
    if chat is None:
        raise NotFound("There is no such chat")
    return chat


def _check_current(connection: sa.Connection, chat: ChatRow, current: str) -> None:
    if all(row.key != current for row in rows.list_messages(connection, chat.id)):
        raise Invalid(f"There is no message {current[:40]!r} in this chat")


def _values(changes: Changes) -> dict[str, Any]:
    """Columns for what is to change. Raises Invalid."""
    values: dict[str, Any] = {}
    if changes.title is not None:
        title = " ".join(storable(changes.title).split())[:MAX_TITLE]
        if not title:
            raise Invalid("A chat's title is not empty")
        values["title"] = title
    if changes.model is not None:
        if len(changes.model) > 300:
            raise Invalid("The name of the model is too long")
        values["model"] = storable(changes.model)
    if changes.settings is not None:
        settings = changes.settings
        if len(settings.system) > MAX_SYSTEM_CHARS:
            raise TooLarge(f"A system prompt has at most {MAX_SYSTEM_CHARS} characters")
        settings = msgspec.structs.replace(settings, system=storable(settings.system))
        values["settings"] = msgspec.to_builtins(settings)
    if changes.current is not None:
        values["current"] = changes.current
    return values


def _settings(chat: ChatRow) -> ChatSettings:
    return msgspec.convert(chat.settings, ChatSettings)


def _row(message: Message, at: int) -> dict[str, Any]:
    kept = msgspec.to_builtins(message)
    details = {name: kept[name] for name in ("reasoning", "model", "attachments", "figures") if name in kept}
    return {
        "key": message.id,
        "parent": message.parent,
        "role": message.role,
        "content": message.content,
        "details": details,
        "created_at": at,
    }


def _message(row: MessageRow) -> Message:
    plain = {"id": row.key, "parent": row.parent, "role": row.role, "content": row.content}
    return msgspec.convert(plain | row.details | {"createdAt": iso(row.created_at)}, Message)
