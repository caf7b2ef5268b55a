"""The Xet store over HTTP: xorbs, shards, chunks, reconstructions and their data.

The client retries 5xx for minutes and takes any other 4xx for final, so that what retrying cannot cure,
damaged stored bytes included, is a 4xx here. Old clients leave `/v1` out of the paths.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from starlette.responses import Response, StreamingResponse

from seedstock.content.xet_register import Progress
from seedstock.content.xet_scope import XetToken, require_write
from seedstock.core.errors import (
    EntryNotFound,
    HubError,
    Integrity,
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from seedstock.http.call import Call
from seedstock.http.file_response import FileSpanResponse, PiecesResponse, parse_range
from seedstock.http.receive import receive
from seedstock.http.routing import Routes
from seedstock.http.threads import in_thread
from seedstock.xet.hashing import hash_to_text
from seedstock.xet.reconstruct import Reconstruction, UrlFor, render_v1, render_v2
from seedstock.xet.shard import MAX_SHARD_BYTES
from seedstock.xet.xorb import MAX_FOOTER_BYTES
from seedstock.xet.xorb_index import MAX_XORB_BYTES

log = logging.getLogger("seedstock.http")

_MAX_BODY_BYTES = MAX_XORB_BYTES + MAX_FOOTER_BYTES
_ANY_SIZE = 1 << 62

TokenHandler = Callable[[Call, XetToken], Any]


def _identify(call: Call) -> None:
    """Nobody: callers of the store show a Xet token, which names no account of theirs to the hub."""


routes = Routes(identify=_identify)


def _cas(method: str, *paths: str, **options: Any) -> Callable[[TokenHandler], TokenHandler]:
    """Route below the store's address; the handler gets the caller's token."""

    def declare(handler: TokenHandler) -> TokenHandler:
        @functools.wraps(handler)
        def answer(call: Call) -> Any:
            with _permanent():
                return handler(call, _authorise(call))

        @functools.wraps(handler)
        async def answer_stream(call: Call) -> Any:
            with _permanent():
                return await handler(call, _authorise(call))

        chosen = answer_stream if inspect.iscoroutinefunction(handler) else answer
        routes.add(method, *(f"/cas/{{generation}}{path}" for path in paths), **options)(chosen)
        return handler

    return declare


@contextmanager
def _permanent() -> Iterator[None]:
    """Turn damage in the store into an answer that the client does not retry."""
    try:
        yield
    except Integrity as error:
        log.error("%s", error.message)
        raise Invalid(error.message, hint=error.hint) from error


def _authorise(call: Call) -> XetToken:
    """The caller's token. Raises Unauthenticated, InvalidToken, or NotFound for an address of the past."""
    _check_generation(call)
    kind, _, text = call.request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not text:
        raise Unauthenticated("The Xet store needs a token of xet-read-token or xet-write-token")
    return call.hub.xet.read_token(text.strip())


def _check_generation(call: Call) -> None:
    if call.param("generation") != call.hub.settings.cas_generation:
        raise NotFound("This Xet store has a new address", hint="start the transfer again")


@_cas("POST", "/v1/xorb-grants/default/{hash}")
def grant(call: Call, token: XetToken) -> Any:
    """Spare the client a xorb that is here; 404 makes it send the bytes to `put_xorb`."""
    require_write(token)
    if not call.hub.xet.holds_xorb(token.scope, call.param("hash")):
        raise EntryNotFound("Send the xorb")
    return {}


@_cas("HEAD", "/v1/xorbs/default/{hash}", "/xorbs/default/{hash}")
def head_xorb(call: Call, token: XetToken) -> Response:
    """Whether a xorb is here."""
    if not call.hub.xet.holds_xorb(token.scope, call.param("hash")):
        raise EntryNotFound("Xorb not found")
    return Response()


@_cas("POST", "/v1/xorbs/default/{hash}", "/xorbs/default/{hash}", stream=True)
async def put_xorb(call: Call, token: XetToken) -> dict[str, bool]:
    """Receive a xorb."""
    require_write(token)
    upload = await in_thread(call.hub.xet.receive_xorb, token.scope, call.param("hash"))
    with upload:
        await receive(call.request, upload.feed, _MAX_BODY_BYTES)
        inserted = await in_thread(upload.finish)
    return {"was_inserted": inserted}


@_cas("POST", "/v1/shards", "/shards", limit_bytes=MAX_SHARD_BYTES)
def put_shard(call: Call, token: XetToken) -> dict[str, int]:
    """Register the files of a shard. The answer comes when all of them have been rebuilt and verified."""
    require_write(token)
    return {"result": int(call.hub.xet.register_shard(token.scope, call.body))}


@_cas("POST", "/v2/shards", limit_bytes=MAX_SHARD_BYTES)
def put_shard_telling(call: Call, token: XetToken) -> Response:
    """`put_shard` that tells how far it is, so that no proxy takes a large file for a dead connection.

    The status is 200 whatever happens; the last line is the result or the error.
    """
    require_write(token)
    lines = _shard_events(call.hub.xet.shard_steps(token.scope, call.body))
    return StreamingResponse(lines, media_type="application/x-ndjson")


def _shard_events(steps: Generator[Progress, None, bool]) -> Iterator[bytes]:
    try:
        while True:
            try:
                done = next(steps)
            except StopIteration as end:
                yield _event(type="result", result=int(end.value))
                return
            yield _event(type="validating", verified=done.verified_bytes, total=done.total_bytes)
    except HubError as error:
        log.warning("Shard refused: %s", error.message)
        yield _event(type="error", message=error.message, retryable=isinstance(error, Unavailable))


def _event(**fields: object) -> bytes:
    return msgspec.json.encode(fields) + b"\n"


@_cas(
    "GET",
    *(
        f"{version}/chunks/{space}/{{hash}}"
        for version in ("/v1", "")
        for space in ("default", "default-merkledb")
    ),
)
def dedup(call: Call, token: XetToken) -> Response:
    """Where a chunk is stored."""
    answer = call.hub.xet.dedup_answer(token.scope, call.param("hash"))
    return Response(answer, media_type="application/octet-stream")


@_cas("GET", "/v1/reconstructions/{hash}", "/reconstructions/{hash}")
def reconstruction_v1(call: Call, token: XetToken) -> dict[str, Any]:
    """Where the bytes of a file lie, as older clients read it."""
    return render_v1(_reconstruct(call, token), _url_for(call))


@_cas("GET", "/v2/reconstructions/{hash}")
def reconstruction_v2(call: Call, token: XetToken) -> dict[str, Any]:
    """Where the bytes of a file lie."""
    return render_v2(_reconstruct(call, token), _url_for(call))


def _reconstruct(call: Call, token: XetToken) -> Reconstruction:
    span = parse_range(call.request.headers.get("range"), _ANY_SIZE)
    return call.hub.xet.reconstruct(token.scope, call.param("hash"), span)


def _url_for(call: Call) -> UrlFor:
    base = f"{call.base_url}/cas/{call.param('generation')}/data/"
    query = call.hub.xet.data_query
    return lambda raw, start, stop: f"{base}{hash_to_text(raw)}?{query(raw, start, stop)}"


@_cas("POST", "/v1/telemetry", "/telemetry", limit_bytes=1 << 20)
def telemetry(_call: Call, _token: XetToken) -> dict[str, Any]:
    """Clients report transfer times; nothing is kept."""
    return {}


@routes.add("GET", "/cas/{generation}/data/{hash}")
def data(call: Call) -> Response:
    """Stored bytes of a xorb: the address itself authorises, for the one range it was made for."""
    with _permanent():
        _check_generation(call)
        parts = [call.query(name) or "" for name in ("bytes", "expires", "sig")]
        row, least, most = call.hub.xet.open_data(call.param("hash"), *parts)
        span = parse_range(call.request.headers.get("range"), row.size_bytes) or (least, most)
        start, stop = max(span[0], least), min(span[1], most)
        if start >= stop:
            raise Invalid(f"This address opens bytes {least} to {most - 1} only")
        headers = {
            "Content-Range": f"bytes {start}-{stop - 1}/{row.size_bytes}",
            "Content-Type": "application/octet-stream",
            "Cache-Control": "private, max-age=1800, immutable",
        }
        objects = call.hub.content.objects
        path = objects.trusted_path(row)
        if path is not None:
            return FileSpanResponse(path, start, stop, 206, headers)
        return PiecesResponse(objects.iter_range(row, start, stop), stop - start, 206, headers)
