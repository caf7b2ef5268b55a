"""Asking an upstream which models it has: the one question that costs nothing and shows whether the key is right."""

from __future__ import annotations

import time
from typing import Any

import httpx
import msgspec

from seedstock.core.errors import HubError, NotFound, RemoteDown, RemoteFailed, RemoteSilent
from seedstock.remotes.remote import MAX_MODELS
from seedstock.run.remote.refusals import MAX_ERROR_BYTES, refusal_of
from seedstock.run.remote.upstream import ApiKind, Upstream, is_model_name

_MAX_BYTES = 8 << 20
_TIMEOUT_S = 10.0
_MAX_S = 30.0


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


def list_models(upstream: Upstream) -> list[str]:
    """The names of an upstream's models, in its order. Raises RemoteDown, RemoteFailed and what it refuses with."""
    params: dict[str, Any] = {"limit": 1000} if upstream.kind is ApiKind.ANTHROPIC else {}
    status, headers, body = _get(upstream, "/models", params)
    if status != httpx.codes.OK:
        raise _refusal(upstream, status, headers, body)
    try:
        found = msgspec.json.decode(body, type=_Models).data
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise RemoteFailed(
            f"What the remote {upstream.name!r} answers to {upstream.base_url}/models is no list of models",
            hint=_hint(upstream),
        ) from None
    names = dict.fromkeys(model.id for model in found if is_model_name(model.id))
    return list(names)[:MAX_MODELS]


def _refusal(upstream: Upstream, status: int, headers: dict[str, str], body: bytes) -> HubError:
    if status in {404, 405}:
        return NotFound(
            f"The remote {upstream.name!r} has no {upstream.base_url}/models (status {status})",
            hint=_hint(upstream),
        )
    return refusal_of(upstream, status, headers, body)


def _hint(upstream: Upstream) -> str:
    ends = "" if upstream.base_url.endswith("/v1") else "; most addresses end in /v1"
    return f"check the address and the kind, {upstream.kind.value}{ends}"


def _get(upstream: Upstream, path: str, params: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body. The address is named in errors: only administrators see them."""
    name, deadline_s = f"The remote {upstream.name!r}", time.monotonic() + _MAX_S
    body = b""
    try:
        with (
            httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False) as client,
            client.stream(
                "GET",
                upstream.base_url + path,
                params=params,
                headers=upstream.headers | {"Accept-Encoding": "identity", "User-Agent": "seedstock"},
            ) as response,
        ):
            most = _MAX_BYTES if response.status_code == httpx.codes.OK else MAX_ERROR_BYTES
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > most or time.monotonic() > deadline_s:
                    raise RemoteFailed(f"{name} gives too long a list of models")
            return response.status_code, dict(response.headers), upstream.scrub(body)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise RemoteDown(f"{name} cannot be reached at {upstream.base_url}: {error}") from None
    except httpx.TimeoutException:
        raise RemoteSilent(f"{name} gave no answer within {_TIMEOUT_S:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise RemoteFailed(f"{name} gave no answer that is HTTP") from None
    except (OSError, ValueError) as error:  # of the client itself: a proxy or a certificate file
        raise RemoteFailed(
            f"{name} cannot be asked: {error}", hint="see HTTPS_PROXY and SSL_CERT_FILE"
        ) from None
