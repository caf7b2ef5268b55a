"""Who may do what: the whole table, and accounts behind it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from seedstock.accounts.permissions import Action, allowed
from seedstock.core.errors import HubError, Invalid, InvalidToken, NameTaken
from seedstock.core.viewer import ANONYMOUS, Credential, Membership, OrgRole, TokenRole, Viewer
from seedstock.db.repos import RepoRow
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
    OrgRole.READ: Action.READ,
    OrgRole.CONTRIBUTOR: Action.READ,
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
