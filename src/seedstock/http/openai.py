"""The OpenAI-compatible endpoint: every runnable model of the hub under `/v1`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from seedstock.accounts.permissions import Action, allowed
from seedstock.core import errors
from seedstock.core.errors import HubError, Unauthenticated
from seedstock.db.repos import RepoRow
from seedstock.http import anthropic
from seedstock.http.call import Call
from seedstock.http.errors import status_of, to_response
from seedstock.http.generation import generate, identify_api_caller
from seedstock.http.receive import read_body
from seedstock.http.routing import Routes, json_response
from seedstock.hub.runnable import ability_of
from seedstock.remotes.remote import RemoteModel
from seedstock.run.apis import Api, parse_request
from seedstock.run.engines.base import Ability
from seedstock.run.remote.upstream import find_remote_name
from seedstock.run.request_checks import MAX_BODY_BYTES

_TYPES: list[tuple[type[HubError], str]] = [
    (errors.Unauthenticated, "authentication_error"),
    (errors.Forbidden, "permission_error"),
    (errors.NotFound, "not_found_error"),
    (errors.LimitExceeded, "rate_limit_error"),
    (errors.Unavailable, "server_error"),
    (errors.Integrity, "server_error"),
]

_CODES: list[tuple[type[HubError], str]] = [
    (errors.NotFound, "model_not_found"),
    (errors.RateLimited, "rate_limit_exceeded"),
]

# Refusals put the parameter first, in quotes; llama.cpp's own begin with a word.
_PARAMETER = re.compile(r"^(?:[\w ]+:? )?'([\w.$\[\]]+)'")


def render_error(call: Call, error: HubError) -> Response:
    """An error in the shape of the caller's API; the model that may not be seen is the model that is not there."""
    if _is_anthropic(call):
        return anthropic.render_error(call, error)
    text = f"{error.message}. {error.hint}" if error.hint else error.message
    kind = next((name for cls, name in _TYPES if isinstance(error, cls)), "invalid_request_error")
    code = next((code for cls, code in _CODES if isinstance(error, cls)), None)
    plain = to_response(error, anonymous=call.viewer.anonymous)
    kept = {
        name: plain.headers[name] for name in ("retry-after", "www-authenticate") if name in plain.headers
    }
    param = _PARAMETER.search(error.message) if isinstance(error, errors.Invalid) else None
    body = {"error": {"message": text, "type": kind, "param": param and param[1], "code": code}}
    return json_response(body, status_of(error, anonymous=False), kept)


routes = Routes(render_error, identify_api_caller)


@routes.add("GET", "/v1/models")
def models(call: Call) -> dict[str, Any]:
    """Every model that the caller may run, in OpenAI's shape or in Anthropic's."""
    if call.viewer.anonymous:
        raise Unauthenticated("Sign in or send a token to list models")
    found = [_model(call, one.repo, one.ability) for one in call.hub.models.list(call.viewer)]
    found += [_remote_model(call, remote) for remote in call.hub.remotes.models(call.viewer)]
    if _is_anthropic(call):
        ends = (found[0]["id"], found[-1]["id"]) if found else (None, None)
        return {"data": found, "has_more": False, "first_id": ends[0], "last_id": ends[1]}
    return {"object": "list", "data": found}


@routes.add("GET", "/v1/models/{name:path}")
def model(call: Call) -> dict[str, Any]:
    """One model."""
    name = call.param("name")
    if find_remote_name(name) is not None:
        return _remote_model(call, call.hub.remotes.model(call.viewer, name))
    at = call.hub.models.get(call.viewer, name)
    found = _model(call, at.repo, ability_of(at.entries, at.metadata))
    if (
        not call.viewer.anonymous
        and not _is_anthropic(call)
        and allowed(call.viewer, Action.DOWNLOAD, at.repo)
    ):
        found |= _needs(call, name)
    return found


def _needs(call: Call, name: str) -> dict[str, Any]:
    """What the model takes to run, and whether this hub gives as much; nothing of one that cannot be told."""
    try:
        fit = call.hub.models.fit(call.viewer, name)
    except errors.HubError:
        return {}
    found = fit.estimate
    memory = {
        "weights": found.weights_bytes + fit.adapter_bytes,
        "cache": found.cache_bytes,
        "other": found.other_bytes,
        "total": fit.total_bytes,
        "limit": fit.limit_bytes,
    }
    return {
        "context_length": found.context_tokens,
        "slots": found.slots,
        "memory_bytes": memory,
        "fits": fit.fits,
        "abilities": found.abilities,
    }


def _is_anthropic(call: Call) -> bool:
    """Both APIs list models at the same address; every client of Anthropic's names a version."""
    return "anthropic-version" in call.request.headers


def _model(call: Call, repo: RepoRow, ability: Ability) -> dict[str, Any]:
    found = _listed(call, repo.repo_id, repo.created_at, repo.namespace)
    return found if _is_anthropic(call) else found | {"abilities": [ability]}


def _remote_model(call: Call, model: RemoteModel) -> dict[str, Any]:
    """A model whose weights are not here."""
    return _listed(call, model.id, model.created_at, model.remote) | {"closed": True}


def _listed(call: Call, name: str, created_at: int, owner: str) -> dict[str, Any]:
    created_s = created_at // 1000
    if _is_anthropic(call):
        created = datetime.fromtimestamp(created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"type": "model", "id": name, "display_name": name, "created_at": created}
    return {"id": name, "object": "model", "created": created_s, "owned_by": owner}


@routes.add("POST", "/v1/chat/completions", stream=True)
async def chat_completions(call: Call) -> Response:
    """Answer a conversation, whole or as a stream of events."""
    body = await read_body(call.request, MAX_BODY_BYTES)
    return await generate(call, parse_request(Api.CHAT, body))


@routes.add("POST", "/v1/completions", stream=True)
async def completions(call: Call) -> Response:
    """Continue a text, whole or as a stream of events."""
    body = await read_body(call.request, MAX_BODY_BYTES)
    return await generate(call, parse_request(Api.COMPLETION, body))


@routes.add("POST", "/v1/responses", stream=True)
async def responses(call: Call) -> Response:
    """Answer a conversation in the shape of OpenAI's Responses; nothing is stored."""
    return await generate(call, parse_request(Api.RESPONSE, await read_body(call.request, MAX_BODY_BYTES)))


@routes.add("POST", "/v1/embeddings", stream=True)
async def embeddings(call: Call) -> Response:
    """Turn texts into vectors."""
    return await generate(call, parse_request(Api.EMBEDDING, await read_body(call.request, MAX_BODY_BYTES)))


@routes.add("POST", "/v1/tokenize", stream=True)
async def tokenize(call: Call) -> Response:
    """The tokens of a text."""
    return await generate(call, parse_request(Api.TOKENIZE, await read_body(call.request, MAX_BODY_BYTES)))


@routes.add("POST", "/v1/detokenize", stream=True)
async def detokenize(call: Call) -> Response:
    """The text of tokens."""
    return await generate(call, parse_request(Api.DETOKENIZE, await read_body(call.request, MAX_BODY_BYTES)))
