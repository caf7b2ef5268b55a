"""The one place where it is decided who may do what.

`check` is called by every service before it touches a repo; nothing else compares roles. What a caller
may not see raises exactly what an absent repo raises.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum
from typing import Any

from seedstock.core.errors import Forbidden, GatedRepo, RepoNotFound, Unauthenticated
from seedstock.core.viewer import OrgRole, TokenRole, Viewer
from seedstock.db.repos import RepoRow


class Action(IntEnum):
    """What is asked for, each including the ones before it."""

    READ = 1
    """See that it exists, its card, listing and history."""
    DOWNLOAD = 2
    """Read its files; the same as READ unless the repo is gated."""
    WRITE = 3
    ADMIN = 4
    """Settings, visibility, move and delete."""


def allowed(viewer: Viewer, action: Action, repo: RepoRow) -> bool:
    """Whether the viewer may do that to the repo."""
    open_to_all = not repo.private and (action is Action.READ or repo.gated is None)
    if action <= Action.DOWNLOAD and open_to_all:
        return True
    if viewer.anonymous:
        return False
    return _role_allows(viewer, action, repo) and _credential_allows(viewer, action, repo)


def check(viewer: Viewer, action: Action, repo: RepoRow) -> None:
    """Raise RepoNotFound if the viewer may not see the repo, Unauthenticated or Forbidden if not do it."""
    if not allowed(viewer, Action.READ, repo):
        raise RepoNotFound
    if not allowed(viewer, action, repo):
        if action is Action.DOWNLOAD:
            raise GatedRepo(
                f"Access to {repo.namespace}/{repo.name} is restricted to members of {repo.namespace}",
                hint=f"ask an admin of {repo.namespace} to add you",
            )
        if viewer.anonymous:
            raise Unauthenticated("Sign in or send a token to do this")
        raise Forbidden(
            f"You have no {action.name.lower()} access to {repo.namespace}/{repo.name}",
            hint="use a token with the write role, or ask an admin of the namespace",
        )


def check_create(viewer: Viewer, namespace_id: int, namespace: str) -> None:
    """Raise unless the viewer may create repos in the namespace."""
    if viewer.anonymous:
        raise Unauthenticated("Sign in or send a token to create a repository")
    role = viewer.role_in(namespace_id)
    may = viewer.is_admin or role in {OrgRole.CONTRIBUTOR, OrgRole.WRITE, OrgRole.ADMIN}
    if not (may and _credential_allows_namespace(viewer, namespace)):
        raise Forbidden(f"You don't have the rights to create a repository under the namespace {namespace}")


def check_may_change(viewer: Viewer) -> None:
    """Raise Forbidden for a credential that may only read, where no repo is concerned but the account itself."""
    credential = viewer.credential
    if credential is None or credential.role is TokenRole.WRITE:
        return
    if credential.role is TokenRole.READ or not any("repo.write" in _granted(s) for s in credential.scopes):
        raise Forbidden("This token may only read", hint="use a token with the write role")


def check_own(viewer: Viewer) -> int:
    """The account of a viewer who may read what is private to it, such as its chats.

    Raises Unauthenticated, and Forbidden for a token that is for some repos only.
    """
    if viewer.account_id is None:
        raise Unauthenticated("Sign in or send a token to do this")
    if viewer.credential is not None and viewer.credential.role is TokenRole.FINE_GRAINED:
        raise Forbidden("This token is for repositories only", hint="use a token with the read or write role")
    return viewer.account_id


def check_admin(viewer: Viewer, what: str) -> None:
    """Raise unless the viewer may change how the hub itself is set up; `what`, in the plural, is for admins."""
    if viewer.anonymous:
        raise Unauthenticated(f"{what} are for administrators: sign in or send a token")
    credential = viewer.credential
    if not viewer.is_admin or (credential is not None and credential.role is not TokenRole.WRITE):
        raise Forbidden(
            f"{what} are for administrators", hint="use an administrator's token with the write role"
        )


def may_use_remote(viewer: Viewer, *, everyone: bool, account_ids: Collection[int]) -> bool:
    """Whether the viewer may run models of a remote, which is for everyone who is signed in or for some accounts.

    A fine-grained token names what it may touch, and no remote can be named: it reaches those for everyone.
    """
    if viewer.anonymous or everyone:
        return not viewer.anonymous
    if viewer.credential is not None and viewer.credential.role is TokenRole.FINE_GRAINED:
        return False
    ids = {viewer.account_id, *(membership.org_id for membership in viewer.memberships)}
    return viewer.is_admin or not ids.isdisjoint(account_ids)


def _role_allows(viewer: Viewer, action: Action, repo: RepoRow) -> bool:
    if viewer.is_admin:
        return True
    role = viewer.role_in(repo.namespace_id)
    if role is None:
        return False
    if action <= Action.DOWNLOAD or role is OrgRole.ADMIN:
        return True
    own = repo.created_by == viewer.account_id
    if action is Action.WRITE:
        return role is OrgRole.WRITE or own and role is OrgRole.CONTRIBUTOR
    return own and role in {OrgRole.WRITE, OrgRole.CONTRIBUTOR}


def _credential_allows(viewer: Viewer, action: Action, repo: RepoRow) -> bool:
    credential = viewer.credential
    if credential is None or credential.role is TokenRole.WRITE:
        return True
    if credential.role is TokenRole.READ:
        return action <= Action.DOWNLOAD
    wanted = "repo.content.read" if action <= Action.DOWNLOAD else "repo.write"
    return any(wanted in _granted(scope) and _covers(scope, repo) for scope in credential.scopes)


def _credential_allows_namespace(viewer: Viewer, namespace: str) -> bool:
    credential = viewer.credential
    if credential is None or credential.role is TokenRole.WRITE:
        return True
    return credential.role is TokenRole.FINE_GRAINED and any(
        "repo.write" in _granted(scope)
        and scope["entity"]["type"] in {"user", "org"}
        and scope["entity"]["name"].lower() == namespace.lower()
        for scope in credential.scopes
    )


def _granted(scope: dict[str, Any]) -> set[str]:
    granted = set(scope.get("permissions", ()))
    return granted | {"repo.content.read"} if "repo.write" in granted else granted


def _covers(scope: dict[str, Any], repo: RepoRow) -> bool:
    entity = scope["entity"]
    if entity["type"] in {"user", "org"}:
        return bool(entity["name"].lower() == repo.namespace.lower())
    same_type = entity["type"] == repo.type.removesuffix("s")
    return bool(same_type and entity["name"].lower() == f"{repo.namespace}/{repo.name}".lower())
