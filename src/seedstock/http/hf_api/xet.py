"""Tokens for the Xet store: where it is, and what the caller may do there."""

from __future__ import annotations

from starlette.responses import Response

from seedstock.accounts.permissions import Action
from seedstock.content.xet_scope import Access
from seedstock.http.call import Call
from seedstock.http.routing import Routes, json_response

routes = Routes()

_REPO = "/api/{type:repotype}/{ns}/{name}"


@routes.add("GET", _REPO + "/xet-read-token/{rest:path}", _REPO + "/xet-read-token")
def read_token(call: Call) -> Response:
    """A token to download; revision and path do not matter to it."""
    return _token(call, Action.DOWNLOAD, Access.READ)


@routes.add("GET", _REPO + "/xet-write-token/{rest:path}", _REPO + "/xet-write-token")
def write_token(call: Call) -> Response:
    """A token to upload."""
    return _token(call, Action.WRITE, Access.WRITE)


def _token(call: Call, action: Action, access: Access) -> Response:
    repo = call.hub.repos.get(call.viewer, call.repo_id(), action)
    token = call.hub.xet.mint_token(call.viewer, repo, access)
    cas_url = f"{call.base_url}/cas/{call.hub.settings.cas_generation}"
    headers = {  # the Python client reads these, the native one the body
        "X-Xet-Cas-Url": cas_url,
        "X-Xet-Access-Token": token.text,
        "X-Xet-Token-Expiration": str(token.expires_at_s),
        "Cache-Control": "no-store",
    }
    body = {"casUrl": cas_url, "accessToken": token.text, "exp": token.expires_at_s}
    return json_response(body, headers=headers)
