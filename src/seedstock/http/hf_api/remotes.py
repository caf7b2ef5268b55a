"""Remotes: models that run elsewhere, as administrators register them. Their keys are taken and never given."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from seedstock.core.clock import iso
from seedstock.http.call import Call
from seedstock.http.routing import Routes, json_response
from seedstock.remotes.remote import Change, NewRemote, Remote, Tested

routes = Routes()


@routes.add("GET", "/api/remotes")
def list_remotes(call: Call) -> list[dict[str, Any]]:
    """All remotes; for administrators, as all of these."""
    return [_shown(remote) for remote in call.hub.remotes.all(call.viewer)]


@routes.add("POST", "/api/remotes", limit_bytes=2_000_000)
def add_remote(call: Call) -> Response:
    """Register one: JSON `{"name", "kind": "openai"|"anthropic", "url", "key"?, "models"?, "accounts"?}`; answers 201.

    Without `models` all that the upstream lists are offered, without `accounts` everyone who is signed in may use them.
    `test` in the answer says how the upstream answered.
    """
    remote = call.hub.remotes.add(call.viewer, call.json(NewRemote))
    tested = call.hub.remotes.test(call.viewer, remote.name)
    return json_response(
        _shown(call.hub.remotes.get(call.viewer, remote.name)) | {"test": _told(tested)}, 201
    )


@routes.add("GET", "/api/remotes/{name}")
def get_remote(call: Call) -> dict[str, Any]:
    """One remote."""
    return _shown(call.hub.remotes.get(call.viewer, call.param("name")))


@routes.add("PATCH", "/api/remotes/{name}", limit_bytes=2_000_000)
def change_remote(call: Call) -> dict[str, Any]:
    """Change what is named of `url`, `key`, `models` and `accounts` (null: no key, all, everyone)."""
    return _shown(call.hub.remotes.change(call.viewer, call.param("name"), call.json(Change)))


@routes.add("DELETE", "/api/remotes/{name}")
def remove_remote(call: Call) -> Response:
    """Forget a remote, with its key."""
    call.hub.remotes.remove(call.viewer, call.param("name"))
    return Response(status_code=204)


@routes.add("POST", "/api/remotes/{name}/test")
def test_remote(call: Call) -> dict[str, Any]:
    """Ask the upstream for its models: `{"ok", "latency_ms", "models", "missing", "error"}`."""
    return _told(call.hub.remotes.test(call.viewer, call.param("name")))


def _shown(remote: Remote) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(remote)
    times = {"listed_at": remote.listed_at, "created_at": remote.created_at, "changed_at": remote.changed_at}
    return shown | {name: iso(at) if at is not None else None for name, at in times.items()}


def _told(tested: Tested) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(tested)
    return told
