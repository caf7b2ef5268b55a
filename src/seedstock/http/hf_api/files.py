"""Downloads: `resolve` and `raw`."""

from __future__ import annotations

import mimetypes
from functools import partial
from urllib.parse import quote

from starlette.responses import Response

from seedstock.http.call import Call
from seedstock.http.file_response import FileAnswer, FileSource
from seedstock.http.file_sources import MemorySource, StoredSource
from seedstock.http.routing import Routes
from seedstock.hub.reading import FileAt

routes = Routes()

_COUNTED = frozenset({"config.json", "config.yaml", "hyperparams.yaml", "params.json", "meta.yaml"})
# What a browser would run on our origin is sent as plain text; everything is sent with a sandboxing policy.
_ACTIVE = ("html", "xml", "svg", "javascript", "ecmascript", "xhtml", "pdf")


@routes.add(
    "GET",
    "/{ns}/{name}/resolve/{rest:path}",
    "/{type:repotype}/{ns}/{name}/resolve/{rest:path}",
    "/api/{type:repotype}/{ns}/{name}/resolve/{rest:path}",
    "/api/resolve-cache/{type:repotype}/{ns}/{name}/{rest:path}",
    steady=True,
)
def resolve(call: Call) -> Response:
    """The bytes of a file, with the metadata headers that clients cache by."""
    file = call.hub.reading.file(call.viewer, call.repo_id(), call.param("rest"))
    count = partial(call.hub.downloads.count, file.repo.id)
    counted = bool(call.request.headers.get("x-hf-download-counter"))
    if counted:
        count()
    if file.file is not None:
        source: FileSource = StoredSource(call.hub.content, file.file)
    else:
        source = MemorySource(file.data or b"")
    return FileAnswer(
        source, file.etag, file_headers(call, file), count if _counts(file) and not counted else None
    )


@routes.add("GET", "/{ns}/{name}/raw/{rest:path}", "/{type:repotype}/{ns}/{name}/raw/{rest:path}")
def raw(call: Call) -> Response:
    """What git holds: the content of a small file, the pointer of a large one."""
    file = call.hub.reading.file(call.viewer, call.repo_id(), call.param("rest"))
    headers = file_headers(call, file) | {
        "ETag": f'"{file.entry.oid}"',
        "Content-Type": "text/plain; charset=utf-8",
    }
    return Response(call.hub.reading.pointer(file), headers=headers)


def file_headers(call: Call, file: FileAt) -> dict[str, str]:
    """Headers of a file, whole or in part."""
    name = file.path.rpartition("/")[2]
    kind = "attachment" if call.query("download") is not None else "inline"
    plain = "".join(
        char if char.isascii() and char.isprintable() and char not in '"\\' else "_" for char in name
    )
    headers = {
        "X-Repo-Commit": file.commit_oid,
        "ETag": f'"{file.etag}"',
        "Content-Disposition": f"{kind}; filename*=UTF-8''{quote(name)}; filename=\"{plain}\";",
        "Content-Type": _content_type(name),
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Access-Control-Expose-Headers": "X-Repo-Commit, X-Linked-Size, X-Linked-ETag, X-Xet-Hash, Link",
    }
    if file.file is not None:
        headers["X-Linked-Size"] = str(file.entry.size_bytes)
        headers["X-Linked-ETag"] = f'"{file.etag}"'
        headers |= _xet_headers(call, file)
    return headers


def _xet_headers(call: Call, file: FileAt) -> dict[str, str]:
    if file.file is None or file.file.xet_hash is None:
        return {}
    token = f"{call.base_url}/api/{file.repo.type}/{file.repo.repo_id}/xet-read-token/{file.commit_oid}"
    return {"X-Xet-Hash": file.file.xet_hash, "Link": f'<{token}>; rel="xet-auth"'}


def _content_type(name: str) -> str:
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if guessed.startswith("text/") or any(part in guessed for part in _ACTIVE):
        return "text/plain; charset=utf-8"
    return guessed


def _counts(file: FileAt) -> bool:
    """Whether taking the whole file is a download of its repo, as the public hub counts them."""
    return (
        file.path in _COUNTED
        or file.path.endswith(".gguf")
        or (file.repo.type == "datasets" and file.file is not None)
    )
