"""Chats in the database: whose they are, what they hold at most, and that what is deleted is gone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from seedstock.accounts.secrets import Signer
from seedstock.accounts.service import Accounts
from seedstock.chats import service
from seedstock.chats.messages import Figures, Message
from seedstock.chats.service import Changes, Chats, ChatSettings
from seedstock.core.clock import now_ms
from seedstock.core.errors import (
    Conflict,
    Forbidden,
    Invalid,
    LimitExceeded,
    NotFound,
    TooLarge,
    Unauthenticated,
)
from seedstock.core.viewer import ANONYMOUS, TokenRole, Viewer
from seedstock.db.engine import Database
from seedstock.db.schema import chat_messages, chat_shares
from seedstock.db.schema import chats as chats_table

SIGNER = Signer(b"k" * 32)
QUESTION = Message("a0000000", "user", "What is 100% grafting_?")
ANSWER = Message("b0000000", "assistant", "A union.", "a0000000", "Hm.", "ada/m", (), Figures(3, 0.5, 1.5))


@pytest.fixture
def chats(database: Database) -> Chats:
    return Chats(database, SIGNER, now_ms)


def someone(database: Database, name: str, role: TokenRole = TokenRole.WRITE, **options: bool) -> Viewer:
    accounts = Accounts(database, now_ms)
    accounts.create_user(name, **options)  # type: ignore[arg-type]
    return accounts.viewer_for_token(accounts.create_token(name, role=role))


def test_a_chat_is_given_back_as_it_was_kept(database: Database, chats: Chats) -> None:
    ada = someone(database, "ada")
    settings = ChatSettings("Be brief.", 0.3, 0.9, 100, 7)
    key = chats.create(ada, Changes("  Grafts \n", "ada/m", settings), [QUESTION]).row.key
    chats.add(ada, key, [ANSWER])
    found = chats.get(ada, key)
    assert (found.row.title, found.row.model, found.settings) == ("Grafts", "ada/m", settings)
    assert [(m.id, m.parent, m.content, m.reasoning, m.model, m.figures) for m in found.messages] == [
        (m.id, m.parent, m.content, m.reasoning, m.model, m.figures) for m in (QUESTION, ANSWER)
    ]
    assert found.row.current == ANSWER.id
    assert (found.row.messages, found.row.size_bytes) == (2, len("What is 100% grafting_?A union.Hm."))


def test_a_message_that_may_have_been_lost_is_sent_again(database: Database, chats: Chats) -> None:
    ada = someone(database, "ada")
    key = chats.create(ada, Changes(), [QUESTION]).row.key
    chats.add(ada, key, [QUESTION, ANSWER])
    chats.add(ada, key, [ANSWER])
    assert len(chats.get(ada, key).messages) == 2
    with pytest.raises(Conflict):
        chats.add(ada, key, [Message(QUESTION.id, "user", "Something else?")])
    with pytest.raises(Invalid):
        chats.add(ada, key, [Message("c0000000", "user", "?", "f0000000")])


def test_chats_of_others_do_not_exist(database: Database, chats: Chats) -> None:
    ada, bob = someone(database, "ada"), someone(database, "bob")
    root = someone(database, "root", admin=True)
    key = chats.create(ada, Changes(), [QUESTION]).row.key
    token = chats.share(ada, key)
    said = set()
    for viewer, wanted in ((bob, key), (root, key), (ada, "0" * 24), (ada, "a\0")):
        for act in (
            chats.get,
            lambda v, k: chats.add(v, k, [ANSWER]),
            lambda v, k: chats.change(v, k, Changes("x")),
            chats.share,
            lambda v, k: chats.revoke(v, k, token),
            chats.delete,
        ):
            with pytest.raises(NotFound) as refused:
                act(viewer, wanted)
            said.add(refused.value.message)
    assert said == {"There is no such chat"}
    assert chats.page(bob) == chats.page(root) == []
    assert chats.delete(bob, None) == 0
    assert len(chats.page(ada)) == 1
    with pytest.raises(Unauthenticated):
        chats.page(ANONYMOUS)


def test_a_token_reads_or_writes_as_far_as_it_goes(database: Database, chats: Chats) -> None:
    ada = someone(database, "ada")
    accounts = Accounts(database, now_ms)
    reader = accounts.viewer_for_token(accounts.create_token("ada", role=TokenRole.READ))
    key = chats.create(ada, Changes(), [QUESTION]).row.key
    assert chats.get(reader, key).row.key == key
    for act in (
        lambda: chats.create(reader, Changes()),
        lambda: chats.add(reader, key, [ANSWER]),
        lambda: chats.change(reader, key, Changes("x")),
        lambda: chats.share(reader, key),
        lambda: chats.delete(reader, key),
        lambda: chats.delete(reader, None),
    ):
        with pytest.raises(Forbidden):
            act()
    entity = {"entity": {"type": "model", "name": "ada/m"}, "permissions": ["repo.write"]}
    scoped = accounts.viewer_for_token(
        accounts.create_token("ada", role=TokenRole.FINE_GRAINED, scopes=[entity])
    )
    with pytest.raises(Forbidden):
        chats.page(scoped)


def test_deletion_leaves_nothing(database: Database, chats: Chats) -> None:
    ada = someone(database, "ada")
    keys = [chats.create(ada, Changes(), [QUESTION, ANSWER]).row.key for _ in range(3)]
    token = chats.share(ada, keys[0])
    assert chats.delete(ada, keys[0]) == 1
    with pytest.raises(NotFound):
        chats.shared(token)
    assert chats.delete(ada, None) == 2
    with database.read() as connection:
        for table in (chats_table, chat_messages, chat_shares):
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 0


def test_a_link_shows_the_branch_as_it_was_until_it_is_revoked(database: Database, chats: Chats) -> None:
    ada = someone(database, "ada")
    key = chats.create(ada, Changes("Before", settings=ChatSettings("Sys")), [QUESTION, ANSWER]).row.key
    token = chats.share(ada, key)
    other = Message("c0000000", "assistant", "Secret.", QUESTION.id)
    chats.add(ada, key, [other])
    chats.change(ada, key, Changes("After"))
    shared = chats.shared(token)
    assert (shared.title, shared.system) == ("Before", "Sys")
    assert [message.content for message in shared.messages] == [QUESTION.content, ANSWER.content]
    later = chats.share(ada, key, QUESTION.id)
    assert [message.id for message in chats.shared(later).messages] == [QUESTION.id]
    assert [link for link, _ in chats.get(ada, key).shares] == [later, token]
    chats.revoke(ada, key, later)
    chats.revoke(ada, key, token)
    newest = chats.share(ada, key)
    assert newest not in {token, later}
    for gone in (token, later, "1", "1-", f"1-{'0' * 32}", "x-y", "9" * 30 + "-a", f"²-{'0' * 32}", "1-é"):
        with pytest.raises(NotFound):
            chats.shared(gone)
    with pytest.raises(NotFound):
        chats.shared(Chats(database, Signer(b"x" * 32), now_ms).share(ada, key))
    with pytest.raises(Invalid):
        chats.share(ada, chats.create(ada, Changes()).row.key)


def test_chats_are_found_by_title_and_text(database: Database, chats: Chats) -> None:
    ada = someone(database, "ada")
    first = chats.create(ada, Changes("Pruning"), [QUESTION]).row.key
    second = chats.create(ada, Changes("Pears_"), []).row.key
    assert [row.key for row in chats.page(ada)] == [second, first]
    for search, wanted in {
        "GRAFT": [first],
        "100%": [first],
        "%": [first],
        "_": [second, first],
        "x": [],
    }.items():
        assert [row.key for row in chats.page(ada, search)] == wanted, search
    assert chats.page(ada, "\0") == []
    assert [row.key for row in chats.page(ada, limit=1, offset=1)] == [first]


def test_limits_are_said(database: Database, chats: Chats, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = someone(database, "ada")
    monkeypatch.setattr(service, "MAX_CHATS", 2)
    monkeypatch.setattr(service, "MAX_MESSAGES", 3)
    monkeypatch.setattr(service, "MAX_CHAT_BYTES", 1000)
    monkeypatch.setattr(service, "MAX_ACCOUNT_BYTES", 1500)
    monkeypatch.setattr(service, "MAX_SHARES", 1)
    key = chats.create(ada, Changes(), [QUESTION]).row.key
    with pytest.raises(TooLarge):
        chats.add(ada, key, [Message("b0000000", "assistant", "x" * 1000, QUESTION.id)])
    chats.add(ada, key, [Message("b0000000", "assistant", "x" * 900, QUESTION.id)])
    with pytest.raises(TooLarge):
        chats.add(ada, key, [Message(f"{n:08x}", "user", "") for n in range(2)])
    chats.share(ada, key)
    with pytest.raises(LimitExceeded):
        chats.share(ada, key)
    with pytest.raises(LimitExceeded) as refused:
        chats.create(ada, Changes(), [Message("a0000000", "user", "y" * 900)])
    assert "delete some" in (refused.value.hint or "")
    assert len(chats.page(ada)) == 1
    chats.create(ada, Changes())
    with pytest.raises(LimitExceeded):
        chats.create(ada, Changes())
    with pytest.raises(TooLarge):
        chats.change(ada, key, Changes(settings=ChatSettings("x" * 40_000)))
    with pytest.raises(Invalid):
        chats.change(ada, key, Changes(title=" \n "))


def test_the_number_of_chats_holds_when_many_begin_at_once(
    database: Database, chats: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = someone(database, "ada")
    monkeypatch.setattr(service, "MAX_CHATS", 3)
    gate = threading.Barrier(8)

    def begin(_: int) -> bool:
        gate.wait(20)
        try:
            chats.create(ada, Changes())
        except LimitExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, range(8))) == 3
