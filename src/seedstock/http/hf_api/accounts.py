"""Who am I, and who are the others."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from seedstock.accounts.permissions import Action
from seedstock.core.clock import iso
from seedstock.core.errors import NotFound, Unauthenticated
from seedstock.core.viewer import TokenRole
from seedstock.db.accounts import AccountRow
from seedstock.http.call import Call
from seedstock.http.routing import Routes
from seedstock.hub.listing import ListQuery

routes = Routes()


def avatar_url(call: Call, name: str) -> str:
    """Address of an account's generated picture."""
    return f"{call.base_url}/avatars/{name}.svg"


@routes.add("GET", "/api/whoami-v2")
def whoami(call: Call) -> dict[str, Any]:
    """The caller, as `hf auth whoami` shows it."""
    viewer = call.viewer
    if viewer.anonymous or viewer.credential is None:
        raise Unauthenticated("Invalid username or password.")
    credential = viewer.credential
    role = "fineGrained" if credential.role is TokenRole.FINE_GRAINED else credential.role.value
    token: dict[str, Any] = {
        "displayName": credential.name,
        "role": role,
        "createdAt": iso(credential.created_at),
    }
    if credential.role is TokenRole.FINE_GRAINED:
        token["fineGrained"] = {"scoped": list(credential.scopes), "global": []}
    return {
        "type": "user",
        "id": f"{viewer.account_id:024x}",
        "name": viewer.name,
        "fullname": viewer.full_name,
        "email": viewer.email,
        "emailVerified": viewer.email is not None,
        "isPro": False,
        "avatarUrl": avatar_url(call, viewer.name),
        "orgs": [
            {
                "type": "org",
                "id": f"{membership.org_id:024x}",
                "name": membership.name,
                "fullname": membership.full_name,
                "avatarUrl": avatar_url(call, membership.name),
                "roleInOrg": membership.role.value,
                "isEnterprise": False,
            }
            for membership in viewer.memberships
        ],
        "auth": {"type": "access_token", "accessToken": token},
    }


@routes.add("GET", "/api/{type:repotype}/{ns}/{name}/auth-check")
def auth_check(call: Call) -> Response:
    """Whether the caller may read the repo."""
    call.hub.repos.get(call.viewer, call.repo_id())
    return Response()


@routes.add("GET", "/api/{type:repotype}/{ns}/{name}/auth-check/write")
def auth_check_write(call: Call) -> Response:
    """Whether the caller may write to the repo."""
    call.hub.repos.get(call.viewer, call.repo_id(), Action.WRITE)
    return Response()


def _counts(call: Call, name: str) -> dict[str, int]:
    return {
        key: call.hub.listing.count(call.viewer, ListQuery(type=type, author=name))
        for key, type in (("numModels", "models"), ("numDatasets", "datasets"), ("numSpaces", "spaces"))
    }


def _user(call: Call, account: AccountRow) -> dict[str, Any]:
    return {
        "_id": f"{account.id:024x}",
        "user": account.name,
        "fullname": account.full_name,
        "avatarUrl": avatar_url(call, account.name),
        "isPro": False,
        "type": "user",
    }


@routes.add("GET", "/api/users/{name}/overview")
def user_overview(call: Call) -> dict[str, Any]:
    """A user's public face."""
    account = call.hub.accounts.get(call.param("name"))
    if account.kind != "user":
        raise NotFound(f"No user is called {account.name!r}")
    orgs = [call.hub.accounts.get(name) for name in call.hub.accounts.organisations(account.id)]
    return {
        **_user(call, account),
        **_counts(call, account.name),
        "numLikes": len(call.hub.listing.liked_by(account.id, call.viewer, 1000, 0)),
        "numDiscussions": 0,
        "numPapers": 0,
        "numUpvotes": 0,
        "numFollowing": 0,
        "numFollowers": 0,
        "isFollowing": False,
        "details": account.details,
        "createdAt": iso(account.created_at),
        "orgs": [
            {"name": org.name, "fullname": org.full_name, "avatarUrl": avatar_url(call, org.name)}
            for org in orgs
        ],
    }


@routes.add("GET", "/api/organizations/{name}/overview")
def org_overview(call: Call) -> dict[str, Any]:
    """An organisation's public face."""
    account = _organisation(call)
    return {
        "name": account.name,
        "fullname": account.full_name,
        "avatarUrl": avatar_url(call, account.name),
        "details": account.details,
        "isVerified": False,
        "numUsers": len(call.hub.accounts.members(account.id)),
        **_counts(call, account.name),
        "numFollowers": 0,
    }


@routes.add("GET", "/api/organizations/{name}/members")
def org_members(call: Call) -> list[dict[str, Any]]:
    """Who belongs to an organisation."""
    return [_user(call, account) for account, _ in call.hub.accounts.members(_organisation(call).id)]


@routes.add("GET", "/api/users/{name}/likes")
def user_likes(call: Call) -> list[dict[str, Any]]:
    """What somebody likes, as far as the caller may see it."""
    account = call.hub.accounts.get(call.param("name"))
    return [
        {"createdAt": iso(at), "repo": {"name": repo.repo_id, "type": repo.type.removesuffix("s")}}
        for repo, at in call.hub.listing.liked_by(account.id, call.viewer, 1000, 0)
    ]


@routes.add("GET", "/api/telemetry/{rest:path}")
def telemetry(_call: Call) -> Response:
    """Clients report here; nothing is kept."""
    return Response(status_code=204)


def _organisation(call: Call) -> AccountRow:
    account = call.hub.accounts.get(call.param("name"))
    if account.kind != "org":
        raise NotFound(f"No organisation is called {account.name!r}")
    return account
