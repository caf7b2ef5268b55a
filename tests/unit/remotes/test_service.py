"""What admins register, who may use it, and how keys are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from seedstock.accounts.permissions import may_use_remote
from seedstock.core.errors import (
    BadName,
    Forbidden,
    Invalid,
    NameTaken,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from seedstock.core.names import check_account_name
from seedstock.core.viewer import ANONYMOUS, Credential, OrgRole, TokenRole, Viewer
from seedstock.db.schema import audit, remotes
from seedstock.hub.models import parse_model_name
from seedstock.remotes.remote import Change, NewRemote
from seedstock.remotes.sealing import Sealer
from seedstock.remotes.service import Remotes
from seedstock.run.remote.upstream import ApiKind, UpstreamKey, check_base_url, find_remote_name
from seedstock.wiring import Hub
from tests.factories.upstream import ScriptedUpstream, scripted_upstream

KEY = "sk-very-secret-0123456789"
LISTED: Any = {
    "object": "list",
    "data": [{"id": "big"}, {"id": "org/small:1"}, {"id": "bad name"}, {"id": ""}],
}


@pytest.fixture
def there() -> Iterator[ScriptedUpstream]:
    with scripted_upstream(lambda asked: asked.answer(200, LISTED)) as upstream:
        yield upstream


@pytest.fixture
def root(hub: Hub) -> Viewer:
    hub.accounts.create_user("root", admin=True)
    hub.accounts.create_user("eve")
    hub.accounts.create_user("tim")
    hub.accounts.create_org("lab", members=(("tim", OrgRole.READ),))
    return viewer(hub, "root")


def viewer(hub: Hub, name: str, role: TokenRole = TokenRole.WRITE) -> Viewer:
    return hub.accounts.viewer_for_token(hub.accounts.create_token(name, role=role))


def test_keys_are_never_in_the_database(
    hub: Hub, root: Viewer, there: ScriptedUpstream, tmp_path: Path
) -> None:
    hub.remotes.add(root, NewRemote("there", ApiKind.OPENAI, f"{there.url}/v1", KEY))
    assert hub.remotes.locate(root, "remote/there/big").upstream.headers == {"Authorization": f"Bearer {KEY}"}
    with hub.database.read() as connection:
        row = connection.execute(sa.select(remotes)).one()
        audited = connection.execute(sa.select(audit).where(audit.c.action == "remote.add")).one()
    assert row.sealed_key
    assert KEY not in repr(row) + repr(audited) + repr(hub.remotes.all(root))
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_a_sealed_key_is_for_one_remote_at_one_address() -> None:
    sealer, key = Sealer(b"s" * 32), UpstreamKey(KEY)
    sealed = sealer.seal(key, "a", "http://x/v1")
    assert sealer.open(sealed, "a", "http://x/v1").reveal() == KEY
    assert sealed != sealer.seal(key, "a", "http://x/v1")
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for other, name, url in (
        (sealer, "b", "http://x/v1"),
        (sealer, "a", "http://y/v1"),
        (Sealer(b"t" * 32), "a", "http://x/v1"),
    ):
        with pytest.raises(Unavailable, match="cannot be decrypted") as raised:
            other.open(sealed, name, url)
        assert raised.value.__cause__ is None
    for data in (changed, b"", b"\x01", b"\x02" + sealed[1:], sealed[:20]):
        with pytest.raises(Unavailable, match="cannot be decrypted"):
            sealer.open(data, "a", "http://x/v1")


def test_a_lost_secret_key(hub: Hub, root: Viewer, there: ScriptedUpstream) -> None:
    hub.remotes.add(root, NewRemote("there", ApiKind.OPENAI, f"{there.url}/v1", KEY))
    other = Remotes(hub.database, hub.accounts, Sealer(b"another"), hub.clock, enabled=True)
    assert other.get(root, "there").key == "unreadable"
    with pytest.raises(Unavailable, match="cannot be decrypted"):
        other.locate(root, "remote/there/big")
    tested = other.test(root, "there")
    assert not tested.ok
    assert "give the key again" in (tested.error or "")
    other.change(root, "there", Change(key=KEY))
    assert other.test(root, "there").ok


def test_all_that_an_upstream_lists_or_only_some(hub: Hub, root: Viewer, there: ScriptedUpstream) -> None:
    eve = viewer(hub, "eve", TokenRole.READ)
    hub.remotes.add(root, NewRemote("all", ApiKind.OPENAI, f"{there.url}/v1"))
    assert hub.remotes.models(eve) == []
    assert (hub.remotes.test(root, "all").ok, hub.remotes.test(root, "all").models) == (True, 2)
    assert [model.id for model in hub.remotes.models(eve)] == ["remote/all/big", "remote/all/org/small:1"]
    assert hub.remotes.locate(eve, "remote/all/org/small:1").model == "org/small:1"
    assert hub.remotes.locate(eve, "remote/all/not-listed").model == "not-listed"
    hub.remotes.add(root, NewRemote("some", ApiKind.ANTHROPIC, there.url, models=["big", "huge", "big"]))
    tested = hub.remotes.test(root, "some")
    assert (tested.ok, tested.missing) == (True, ["huge"])
    assert there.asked[-1].path == "/v1/models?limit=1000"
    assert [model.id for model in hub.remotes.models(eve)][2:] == ["remote/some/big", "remote/some/huge"]
    with pytest.raises(NotFound):
        hub.remotes.locate(eve, "remote/some/org/small:1")
    assert set(hub.remotes.refresh()) == {"all"}


def test_who_may_use_a_remote(hub: Hub, root: Viewer) -> None:
    hub.remotes.add(root, NewRemote("labs", ApiKind.OPENAI, "http://x/v1", models=["m"], accounts=["lab"]))
    eve, tim = viewer(hub, "eve"), viewer(hub, "tim", TokenRole.READ)
    fine = viewer(hub, "tim", TokenRole.FINE_GRAINED)
    with pytest.raises(Unauthenticated):
        hub.remotes.locate(ANONYMOUS, "remote/labs/m")
    assert hub.remotes.models(ANONYMOUS) == []
    for stranger in (eve, fine):
        with pytest.raises(NotFound) as hidden:
            hub.remotes.locate(stranger, "remote/labs/m")
        with pytest.raises(NotFound) as absent:
            hub.remotes.locate(stranger, "remote/none/m")
        assert hidden.value.message == absent.value.message.replace("none", "labs")
        with pytest.raises(NotFound):
            hub.remotes.model(stranger, "remote/labs/m")
        assert hub.remotes.models(stranger) == []
    for friend in (tim, root):
        assert hub.remotes.locate(friend, "remote/labs/m").model == "m"
        assert hub.remotes.model(friend, "remote/labs/m").id == "remote/labs/m"
        assert len(hub.remotes.models(friend)) == 1
    hub.remotes.change(root, "labs", Change(accounts=None))
    assert hub.remotes.locate(fine, "remote/labs/m")
    changed = hub.remotes.change(root, "labs", Change(accounts=["eve"]))
    assert changed.accounts == ["eve"]
    with pytest.raises(NotFound):
        hub.remotes.locate(tim, "remote/labs/m")
    hub.accounts.set_membership("lab", "tim", None)
    hub.remotes.change(root, "labs", Change(accounts=["lab"]))
    with pytest.raises(NotFound):
        hub.remotes.locate(viewer(hub, "tim"), "remote/labs/m")


def test_the_rule_of_who_may() -> None:
    someone = Viewer(1, "a", credential=Credential(TokenRole.READ, "t", 0))
    assert may_use_remote(someone, everyone=True, account_ids=())
    assert not may_use_remote(someone, everyone=False, account_ids=(2,))
    assert may_use_remote(someone, everyone=False, account_ids=(2, 1))
    assert not may_use_remote(ANONYMOUS, everyone=True, account_ids=())


def test_only_admins_with_the_right_to_write(hub: Hub, root: Viewer) -> None:
    new = NewRemote("a", ApiKind.OPENAI, "http://x/v1")
    calls: list[Any] = [
        lambda who: hub.remotes.add(who, new),
        hub.remotes.all,
        lambda who: hub.remotes.get(who, "a"),
        lambda who: hub.remotes.change(who, "a", Change(models=["m"])),
        lambda who: hub.remotes.test(who, "a"),
        lambda who: hub.remotes.remove(who, "a"),
    ]
    for call in calls:
        for who in (viewer(hub, "eve"), viewer(hub, "root", TokenRole.READ)):
            with pytest.raises(Forbidden):
                call(who)
        with pytest.raises(Unauthenticated):
            call(ANONYMOUS)
    for call in calls:
        call(root)
    with pytest.raises(NotFound):
        hub.remotes.get(root, "a")


def test_what_is_wrong_is_said(hub: Hub, root: Viewer) -> None:
    good = NewRemote("there", ApiKind.OPENAI, "http://x/v1", KEY)
    hub.remotes.add(root, good)
    changes: list[tuple[dict[str, Any], type[Exception]]] = [
        ({}, NameTaken),
        ({"name": "A"}, BadName),
        ({"name": "a/b"}, BadName),
        ({"name": ""}, BadName),
        ({"name": "a" * 43}, BadName),
        ({"url": "ftp://x"}, Invalid),
        ({"url": "http://"}, Invalid),
        ({"url": "http://user:pw@x/v1"}, Invalid),
        ({"url": "http://x/v1?key=5"}, Invalid),
        ({"url": "http://x:port/"}, Invalid),
        ({"url": "http://[x/"}, Invalid),
        ({"url": "http://x\r\nHost: y/"}, Invalid),
        ({"key": "two words"}, Invalid),
        ({"key": "new\nline"}, Invalid),
        ({"key": 'quo"te'}, Invalid),
        ({"key": ""}, Invalid),
        ({"models": []}, Invalid),
        ({"models": ["a b"]}, Invalid),
        ({"accounts": ["nobody"]}, NotFound),
        ({"accounts": ["a\0b"]}, NotFound),
    ]
    for change, kind in changes:
        new = msgspec.structs.replace(good, **({"name": "other"} if change else {}) | change)
        with pytest.raises(kind) as raised:
            hub.remotes.add(root, new)
        assert "two words" not in str(raised.value)
    assert [remote.name for remote in hub.remotes.all(root)] == ["there"]


def test_a_key_stays_with_its_address(hub: Hub, root: Viewer) -> None:
    hub.remotes.add(root, NewRemote("there", ApiKind.OPENAI, "http://x/v1", KEY))
    with pytest.raises(Invalid, match="needs the key again"):
        hub.remotes.change(root, "there", Change(url="http://y/v1"))
    before = hub.remotes.locate(root, "remote/there/m").upstream
    hub.remotes.change(root, "there", Change(url="http://y/v1", key=KEY))
    after = hub.remotes.locate(root, "remote/there/m").upstream
    assert (after.base_url, after.headers) == ("http://y/v1", before.headers)
    assert after.revision > before.revision
    assert hub.remotes.change(root, "there", Change(key=None)).key == "none"
    assert hub.remotes.locate(root, "remote/there/m").upstream.headers == {}


def test_a_hub_without_remotes(hub: Hub, root: Viewer) -> None:
    hub.remotes.add(root, NewRemote("there", ApiKind.OPENAI, "http://x/v1", KEY, models=["m"]))
    closed = Remotes(hub.database, hub.accounts, Sealer(b"s"), hub.clock, enabled=False)
    assert closed.models(root) == []
    assert closed.refresh() == {}
    for call in (
        lambda: closed.locate(root, "remote/there/m"),
        lambda: closed.model(root, "remote/there/m"),
        lambda: closed.add(root, NewRemote("b", ApiKind.OPENAI, "http://x/v1")),
        lambda: closed.test(root, "there"),
    ):
        with pytest.raises(Forbidden, match="switched off"):
            call()
    closed.remove(root, "there")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (lambda asked: asked.answer(401, {"error": {"message": "sk-other"}}), "refuses the key"),
        (lambda asked: asked.answer(404, b"<html>"), "check the address and the kind, openai"),
        (lambda asked: asked.answer(200, b"<html>"), "is no list of models"),
        (lambda asked: asked.answer(302, b"", location="http://127.0.0.1:1/"), "redirect"),
        (lambda asked: asked.answer(200, b"x" * (9 << 20)), "too long a list"),
        (lambda asked: asked.answer(500, KEY.encode()), "status 500"),
    ],
)
def test_what_a_test_finds(hub: Hub, root: Viewer, there: ScriptedUpstream, script: Any, words: str) -> None:
    hub.remotes.add(root, NewRemote("there", ApiKind.OPENAI, there.url, KEY))
    assert hub.remotes.test(root, "there").models == 2
    there.script = script
    tested = hub.remotes.test(root, "there")
    assert not tested.ok
    assert words in (tested.error or "")
    assert KEY not in (tested.error or "")
    assert hub.remotes.get(root, "there").listed == ["big", "org/small:1"], "what it listed last is kept"


def test_an_upstream_that_is_not_there(hub: Hub, root: Viewer, there: ScriptedUpstream) -> None:
    hub.remotes.add(root, NewRemote("there", ApiKind.OPENAI, "http://127.0.0.1:1/v1", KEY))
    assert "cannot be reached at http://127.0.0.1:1/v1" in (hub.remotes.test(root, "there").error or "")


@pytest.mark.parametrize(
    "name",
    [
        "remote/a/b",
        "remote/a/b/c",
        "remote/a/b:c@d",
        "remote/a.b/c",
        "remote/a-1/@x",
        "remote/a/b/c:q8_0@main",
    ],
)
def test_no_repo_is_named_like_a_remote_model(name: str) -> None:
    assert find_remote_name(name) is not None
    with pytest.raises(Invalid):
        parse_model_name(name)
    with pytest.raises(BadName):
        check_account_name("remote")


@pytest.mark.parametrize(
    "name", ["remote/a", "remote/a:b/c", "remote/a@b/c", "remote//c", "Remote/a/b", "a/remote/b", "remote/a/"]
)
def test_what_is_no_remote_model(name: str) -> None:
    assert find_remote_name(name) is None


@pytest.mark.parametrize(
    ("kind", "url", "base"),
    [
        ("openai", "https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("openai", "http://10.0.0.5:8000", "http://10.0.0.5:8000"),
        ("anthropic", "https://api.anthropic.com", "https://api.anthropic.com/v1"),
        ("anthropic", "https://api.anthropic.com/v1", "https://api.anthropic.com/v1"),
        ("anthropic", "http://[::1]:8000/proxy/", "http://[::1]:8000/proxy/v1"),
    ],
)
def test_addresses(kind: str, url: str, base: str) -> None:
    assert check_base_url(ApiKind(kind), url) == base
