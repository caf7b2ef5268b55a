"""Git's smart HTTP, for reading: `git clone` and `git fetch` (gitprotocol-http).

Answers are protocol version 0, which clients that ask for version 2 accept. Errors are plain text, because
git shows nothing else to its user.
"""

from __future__ import annotations

import zlib
from typing import Never

from starlette.responses import PlainTextResponse, Response, StreamingResponse

from seedstock.core.errors import Forbidden, HubError, Invalid, TooLarge
from seedstock.http.call import Call
from seedstock.http.errors import to_response
from seedstock.http.routing import Routes

_LIMIT_BYTES = 16 << 20
"""Of a request, also when unpacked: a client that lists a hundred thousand commits it has sends 5 MB."""
_FRESH = {"Cache-Control": "no-cache, max-age=0, must-revalidate"}
# With ".git" first: a repo name of the second form may contain dots.
_REPO = (
    "/{ns}/{name}.git",
    "/{type:repotype}/{ns}/{name}.git",
    "/{ns}/{name}",
    "/{type:repotype}/{ns}/{name}",
)


def _render(call: Call, error: HubError) -> Response:
    plain = to_response(error, anonymous=call.viewer.anonymous)
    headers = {
        name: value for name, value in plain.headers.items() if name not in {"content-type", "content-length"}
    }
    if plain.status_code == 401:
        # Makes git ask for a password, and try again with it.
        headers["www-authenticate"] = 'Basic realm="Seedstock"'
    text = f"{error.message}. {error.hint}" if error.hint else error.message
    return PlainTextResponse(text + "\n", plain.status_code, headers)


routes = Routes(render_error=_render)


@routes.add("GET", *(f"{prefix}/info/refs" for prefix in _REPO))
def info_refs(call: Call) -> Response:
    """The refs that a clone or fetch starts from."""
    service = call.query("service")
    if service == "git-receive-pack":
        _refuse_push(call)
    if service != "git-upload-pack":
        raise Forbidden("This hub speaks git's smart HTTP protocol only", hint="use git 1.6.6 or newer")
    data = call.hub.git.advertise(call.viewer, call.repo_id())
    return Response(data, headers=_FRESH, media_type="application/x-git-upload-pack-advertisement")


@routes.add("POST", *(f"{prefix}/git-upload-pack" for prefix in _REPO), limit_bytes=_LIMIT_BYTES)
def upload_pack(call: Call) -> Response:
    """Negotiate, and send the pack."""
    body = call.body
    if call.request.headers.get("content-encoding", "").lower() in {"gzip", "x-gzip"}:
        body = _gunzip(body)
    pieces = call.hub.git.upload_pack(call.viewer, call.repo_id(), body)
    return StreamingResponse(pieces, headers=_FRESH, media_type="application/x-git-upload-pack-result")


@routes.add("POST", *(f"{prefix}/git-receive-pack" for prefix in _REPO), limit_bytes=_LIMIT_BYTES)
def receive_pack(call: Call) -> Response:
    """Pushing is not offered."""
    _refuse_push(call)


def _refuse_push(call: Call) -> Never:
    repo_id = call.repo_id()
    kind = "" if repo_id.type == "models" else f" --repo-type {repo_id.type.singular}"
    raise Forbidden(
        "This hub does not take git pushes yet",
        hint=f"Upload instead: HF_ENDPOINT={call.base_url} hf upload {repo_id.namespace}/{repo_id.name} .{kind}",
    )


def _gunzip(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        data = unpacker.decompress(body, _LIMIT_BYTES)
    except zlib.error as error:
        raise Invalid(f"Malformed gzip body: {error}") from None
    if unpacker.unconsumed_tail:
        raise TooLarge(f"Request body unpacks to more than the limit of {_LIMIT_BYTES} bytes")
    if not unpacker.eof:
        raise Invalid("Truncated gzip body")
    return data
