"""Who may do what: the whole table, and accounts behind it."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from seedstock.accounts.permissions import Action, allowed, check
from seedstock.core.errors import GatedRepo, HubError, Invalid, InvalidToken, NameTaken
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import ANONYMOUS, Credential, Membership, OrgRole, TokenRole, Viewer
from seedstock.db.repos import RepoRow
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Put
from seedstock.hub.repos import RepoSettings
from seedstock.wiring import Hub

ORG, ADA, BOB = 7, 1, 2


def repo(*, private: bool, created_by: int = BOB) -> RepoRow:
    return RepoRow(
        1,
        "models",
        ORG,
        "m",
        "m",
        private,
        None,
        False,
        created_by,
        0,
        0,
        "",
        0,
        0,
        0,
        0.0,
        None,
        None,
        None,
        None,
        False,
        0,
        0,
        None,
        0,
        None,
        "lab",
    )


def member(
    role: OrgRole | None, credential: TokenRole = TokenRole.WRITE, scopes: tuple[dict[str, Any], ...] = ()
) -> Viewer:
    memberships = (Membership(ORG, "lab", "Lab", role),) if role else ()
    return Viewer(ADA, "ada", memberships=memberships, credential=Credential(credential, "t", 0, scopes))


# role -> the strongest action on a private repo that somebody else made
STRONGEST = {
    None: 0,
    OrgRole.READ: Action.DOWNLOAD,
    OrgRole.CONTRIBUTOR: Action.DOWNLOAD,
    OrgRole.WRITE: Action.WRITE,
    OrgRole.ADMIN: Action.ADMIN,
}


@pytest.mark.parametrize(("role", "action"), list(itertools.product(STRONGEST, Action)))
def test_roles(role: OrgRole | None, action: Action) -> None:
    assert allowed(member(role), action, repo(private=True)) is (action <= STRONGEST[role])


@pytest.mark.parametrize("role", [OrgRole.CONTRIBUTOR, OrgRole.WRITE])
def test_contributors_own_what_they_made(role: OrgRole) -> None:
    assert allowed(member(role), Action.ADMIN, repo(private=True, created_by=ADA))


def test_anonymous_reads_public_only() -> None:
    assert allowed(ANONYMOUS, Action.READ, repo(private=False))
    assert not allowed(ANONYMOUS, Action.READ, repo(private=True))
    assert not allowed(ANONYMOUS, Action.WRITE, repo(private=False))


def test_read_tokens_only_read() -> None:
    viewer = member(OrgRole.ADMIN, TokenRole.READ)
    assert allowed(viewer, Action.READ, repo(private=True))
    assert not allowed(viewer, Action.WRITE, repo(private=True))


@pytest.mark.parametrize(
    ("entity", "permissions", "read", "write"),
    [
        ({"type": "org", "name": "LAB"}, ["repo.content.read"], True, False),
        ({"type": "org", "name": "lab"}, ["repo.write"], True, True),
        ({"type": "model", "name": "lab/M"}, ["repo.write"], True, True),
        ({"type": "dataset", "name": "lab/m"}, ["repo.write"], False, False),
        ({"type": "model", "name": "lab/other"}, ["repo.write"], False, False),
    ],
)
def test_fine_grained_tokens(entity: dict[str, str], permissions: list[str], read: bool, write: bool) -> None:
    viewer = member(OrgRole.ADMIN, TokenRole.FINE_GRAINED, ({"entity": entity, "permissions": permissions},))
    assert allowed(viewer, Action.READ, repo(private=True)) is read
    assert allowed(viewer, Action.WRITE, repo(private=True)) is write
    # A scope never gives more than its owner has.
    assert not allowed(
        Viewer(BOB, "bob", credential=viewer.credential), Action.READ, repo(private=True, created_by=ADA)
    )


def test_tokens_are_stored_hashed_and_can_be_revoked(hub: Hub) -> None:
    account = hub.accounts.create_user("ada")
    token = hub.accounts.create_token("ada")
    assert token.startswith("hf_")
    assert 37 <= len(token) <= 256
    viewer = hub.accounts.viewer_for_token(token)
    assert viewer.name == "ada"
    rows = hub.accounts.tokens(account.id)
    assert token not in repr(rows)
    hub.accounts.revoke_token(viewer, rows[0].id)
    with pytest.raises(InvalidToken):
        hub.accounts.viewer_for_token(token)


def test_passwords(hub: Hub) -> None:
    hub.accounts.create_user("ada", password="correct horse")
    session = hub.accounts.sign_in("ADA", "correct horse")
    viewer = hub.accounts.viewer_for_session(session)
    assert viewer is not None
    assert viewer.name == "ada"
    hub.accounts.sign_out(session)
    assert hub.accounts.viewer_for_session(session) is None
    for name, password in (("ada", "wrong"), ("nobody", "correct horse"), ("ada", "")):
        with pytest.raises(Invalid, match="Wrong user name or password"):
            hub.accounts.sign_in(name, password)


def test_names_are_unique_whatever_their_case(hub: Hub) -> None:
    hub.accounts.create_user("ada")
    with pytest.raises(NameTaken):
        hub.accounts.create_org("Ada")
    with pytest.raises(HubError):
        hub.accounts.create_user("api")


def gated() -> RepoRow:
    return msgspec.structs.replace(repo(private=False), gated="manual")


@pytest.mark.parametrize("role", list(STRONGEST))
def test_gated_repos_are_seen_by_all_and_downloaded_by_members(role: OrgRole | None) -> None:
    assert allowed(member(role), Action.READ, gated())
    assert allowed(member(role), Action.DOWNLOAD, gated()) is (role is not None)
    assert not allowed(ANONYMOUS, Action.DOWNLOAD, gated())
    with pytest.raises(GatedRepo):
        check(ANONYMOUS, Action.DOWNLOAD, gated())


def test_every_way_to_the_bytes_of_a_gated_repo_is_closed(hub: Hub) -> None:
    hub.accounts.create_user("ada")
    hub.accounts.create_user("bob")
    ada, bob = (
        hub.accounts.viewer_for_token(hub.accounts.create_token(name, role=TokenRole.WRITE))
        for name in ("ada", "bob")
    )
    name = RepoId(RepoType.MODEL, "ada", "m")
    hub.repos.create(ada, name)
    hub.repos.change(ada, name, RepoSettings(gated="manual"))
    row, ref = hub.writing.begin(ada, name, "main")
    [oid] = hub.writing.store_blobs(row, [b"{}"])
    hub.writing.commit(ada, row, ref, CommitMessage("t"), [Put("config.json", oid)])
    assert hub.reading.repo_at(bob, name).repo.gated == "manual"
    assert hub.reading.file(ada, name, "main/config.json").data == b"{}"
    for attempt in (
        lambda: hub.reading.file(bob, name, "main/config.json"),
        lambda: hub.git.advertise(bob, name),
        lambda: list(hub.git.upload_pack(bob, name, b"")),
        lambda: hub.models.locate(bob, "ada/m"),
        lambda: hub.repos.get(bob, name, Action.DOWNLOAD),
    ):
        with pytest.raises(GatedRepo):
            attempt()
