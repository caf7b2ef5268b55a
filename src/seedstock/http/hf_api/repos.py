"""Create, delete, move, settings, likes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from starlette.responses import Response

from seedstock.core.errors import Invalid, NameTaken, Unauthenticated
from seedstock.core.names import RepoId, RepoType
from seedstock.db.repos import RepoRow
from seedstock.http.call import Call
from seedstock.http.hf_api.accounts import avatar_url
from seedstock.http.routing import Routes, json_response
from seedstock.hub.repos import RepoSettings

routes = Routes()


class CreateBody(msgspec.Struct):
    """`POST /api/repos/create`; what is not named here is ignored."""

    name: str
    organization: str | None = None
    type: str | None = None
    private: bool | None = None
    visibility: Literal["public", "private", "protected"] | None = None


class RepoBody(msgspec.Struct):
    """`DELETE /api/repos/delete`."""

    name: str
    organization: str | None = None
    type: str | None = None


class MoveBody(msgspec.Struct, rename="camel"):
    """`POST /api/repos/move`."""

    from_repo: str
    to_repo: str
    type: str | None = None


class DuplicateBody(msgspec.Struct):
    """`POST …/duplicate`."""

    repository: str
    private: bool | None = None
    visibility: Literal["public", "private", "protected"] | None = None


class SettingsBody(msgspec.Struct):
    """`PUT …/settings`."""

    private: bool | None = None
    visibility: Literal["public", "private", "protected"] | None = None
    gated: str | bool | None = None


def _private(private: bool | None, visibility: str | None) -> bool | None:
    return visibility != "public" if visibility is not None else private


def _named(call: Call, body: CreateBody | RepoBody) -> RepoId:
    """The repo a body names: `name` may hold the namespace itself; absent, it is the caller's own."""
    namespace, _, name = body.name.rpartition("/")
    namespace = namespace or body.organization or call.viewer.name
    if not namespace:
        raise Unauthenticated("Sign in or send a token, or name the namespace")
    return RepoId(RepoType.from_singular(body.type), namespace, name)


def _split(text: str, type: str | None) -> RepoId:
    namespace, slash, name = text.partition("/")
    if not slash or not namespace:
        raise Invalid(f"A repository is named namespace/name, not {text!r}")
    return RepoId(RepoType.from_singular(type), namespace, name)


@routes.add("POST", "/api/repos/create")
def create(call: Call) -> Response:
    """Create a repo; when it exists the answer is 409 with the same body, which clients read."""
    body = call.json(CreateBody)
    repo_id = _named(call, body)
    status, headers = 200, {}
    try:
        repo = call.hub.repos.create(call.viewer, repo_id, private=_private(body.private, body.visibility))
    except NameTaken as error:
        repo = call.hub.repos.get(call.viewer, repo_id)
        status, headers = 409, {"X-Error-Message": error.message}
    answer = {"url": f"{call.base_url}/{repo.url_path}", "name": repo.repo_id, "id": f"{repo.id:024x}"}
    if status == 409:
        answer["error"] = headers["X-Error-Message"]
    return json_response(answer, status, headers)


@routes.add("DELETE", "/api/repos/delete")
def delete(call: Call) -> dict[str, Any]:
    """Delete a repo."""
    call.hub.repos.delete(call.viewer, _named(call, call.json(RepoBody)))
    return {}


@routes.add("POST", "/api/repos/move")
def move(call: Call) -> dict[str, Any]:
    """Rename a repo or give it to another namespace."""
    body = call.json(MoveBody)
    repo = call.hub.repos.move(
        call.viewer, _split(body.from_repo, body.type), _split(body.to_repo, body.type)
    )
    return {"url": f"{call.base_url}/{repo.url_path}", "name": repo.repo_id}


@routes.add("POST", "/api/{type:repotype}/{ns}/{name}/duplicate")
def duplicate(call: Call) -> Response:
    """Copy a repo under another name; when that is taken the answer is 409 with the same body."""
    body, source = call.json(DuplicateBody), call.repo_id()
    target = _split(body.repository, source.type)
    status, error = 200, None
    try:
        private = _private(body.private, body.visibility)
        repo = call.hub.repos.duplicate(call.viewer, source, target, private=private)
    except NameTaken as taken:
        repo = call.hub.repos.get(call.viewer, target)
        status, error = 409, taken.message
    answer = {"url": f"{call.base_url}/{repo.url_path}", "name": repo.repo_id}
    return json_response(answer | ({"error": error} if error else {}), status)


@routes.add("PUT", "/api/{type:repotype}/{ns}/{name}/settings")
def settings(call: Call) -> dict[str, Any]:
    """Change visibility or gating."""
    body = call.json(SettingsBody)
    changed = RepoSettings(private=_private(body.private, body.visibility), gated=body.gated)
    return _settings(call.hub.repos.change(call.viewer, call.repo_id(), changed))


def _settings(repo: RepoRow) -> dict[str, Any]:
    return {
        "private": repo.private,
        "visibility": "private" if repo.private else "public",
        "gated": repo.gated or False,
    }


@routes.add("POST", "/api/{type:repotype}/{ns}/{name}/like")
def like(call: Call) -> dict[str, Any]:
    """Like a repo."""
    return _liked(call, liked=True)


@routes.add("DELETE", "/api/{type:repotype}/{ns}/{name}/like")
def unlike(call: Call) -> dict[str, Any]:
    """Take a like back."""
    return _liked(call, liked=False)


def _liked(call: Call, *, liked: bool) -> dict[str, Any]:
    repo = call.hub.repos.like(call.viewer, call.repo_id(), liked=liked)
    call.hub.downloads.rank(repo.id)
    return {"likes": repo.likes, "liked": liked}


@routes.add("GET", "/api/{type:repotype}/{ns}/{name}/likers")
def likers(call: Call) -> list[dict[str, Any]]:
    """Who likes a repo."""
    limit, offset = call.number("limit", 1000, most=1000), call.number("cursor", 0, most=10**9)
    found = call.hub.reading.likers(call.viewer, call.repo_id(), limit, offset)
    return [{"user": name, "fullname": full, "avatarUrl": avatar_url(call, name)} for name, full in found]
