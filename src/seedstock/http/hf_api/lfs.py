"""Git LFS: batch, basic and multipart uploads, verify.

Upload addresses are signed, because clients send no credentials there.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import msgspec
from starlette.responses import Response

from seedstock.accounts.permissions import Action
from seedstock.content.multipart import CHUNK_BYTES, part_count
from seedstock.core.digests import is_digest
from seedstock.core.errors import BadUpload, Forbidden, Invalid, NotFound
from seedstock.db.files import FileRow
from seedstock.db.repos import RepoRow
from seedstock.http.call import Call
from seedstock.http.file_response import FileAnswer
from seedstock.http.file_sources import StoredSource
from seedstock.http.receive import receive
from seedstock.http.routing import Routes, json_response
from seedstock.http.threads import in_thread

routes = Routes()

LFS_JSON = "application/vnd.git-lfs+json"
_LIFETIME_S = 24 * 3600
_MULTIPART_FROM_BYTES = 512 << 20
_MAX_BYTES = 1 << 43
_GIT = ("/{ns}/{name}.git/info/lfs", "/{type:repotype}/{ns}/{name}.git/info/lfs")


class LfsObject(msgspec.Struct):
    """One object of a batch."""

    oid: str
    size: int


class BatchBody(msgspec.Struct):
    """`POST …/objects/batch`."""

    operation: Literal["upload", "download"]
    objects: list[LfsObject]
    transfers: tuple[str, ...] = ("basic",)
    hash_algo: str = "sha256"


@routes.add("POST", *(f"{prefix}/objects/batch" for prefix in _GIT))
def batch(call: Call) -> Response:
    """Where to send or get each object."""
    body = call.json(BatchBody)
    if body.hash_algo != "sha256":
        raise Invalid(f"Unknown hash algorithm {body.hash_algo[:20]!r}")
    for item in body.objects:
        if not is_digest(item.oid) or not 0 <= item.size <= _MAX_BYTES:
            raise Invalid(f"Malformed object {item.oid[:80]!r} of {item.size} bytes")
    upload = body.operation == "upload"
    repo = call.hub.repos.get(call.viewer, call.repo_id(), Action.WRITE if upload else Action.DOWNLOAD)
    present = call.hub.content.find_in_repo(repo.id, [item.oid for item in body.objects])
    if upload:
        parts = "multipart" in body.transfers
        unsound = call.hub.content.unsound(present.values())
        objects = [
            _stored(item, present[item.oid])
            if item.oid in present and item.oid not in unsound
            else _upload(call, repo, item, parts=parts)
            for item in body.objects
        ]
    else:
        objects = [_download(call, repo, item, present.get(item.oid)) for item in body.objects]
    multipart = any(
        "chunk_size" in item.get("actions", {}).get("upload", {}).get("header", {}) for item in objects
    )
    answer = {"transfer": "multipart" if multipart else "basic", "hash_algo": "sha256", "objects": objects}
    return Response(msgspec.json.encode(answer), media_type=LFS_JSON)


def _stored(item: LfsObject, present: FileRow) -> dict[str, Any]:
    answer: dict[str, Any] = {"oid": item.oid, "size": item.size}
    if present.size_bytes != item.size:
        answer["error"] = {"code": 422, "message": f"The object has {present.size_bytes} bytes"}
    return answer


def _upload(call: Call, repo: RepoRow, item: LfsObject, *, parts: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"oid": item.oid, "size": item.size}
    verify = {"href": f"{call.base_url}/{repo.url_path}.git/info/lfs/objects/verify"}
    if parts and item.size > _MULTIPART_FROM_BYTES:
        upload = _multipart_action(call, repo, item)
    else:
        upload = {"href": _signed(call, f"lfs/{repo.id}/{item.oid}/{item.size}")}
    return {**answer, "authenticated": True, "actions": {"upload": upload, "verify": verify}}


def _multipart_action(call: Call, repo: RepoRow, item: LfsObject) -> dict[str, Any]:
    row = call.hub.multipart.begin(repo.id, item.oid, item.size)
    header = {"chunk_size": str(CHUNK_BYTES)}
    for number in range(1, part_count(item.size) + 1):
        header[f"{number:05d}"] = _signed(call, f"lfs-part/{row.id}/{number}")
    return {"href": _signed(call, f"lfs-complete/{row.id}"), "header": header}


def _download(call: Call, repo: RepoRow, item: LfsObject, present: FileRow | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"oid": item.oid, "size": item.size}
    if present is None:
        return {**answer, "error": {"code": 404, "message": "Object does not exist"}}
    href = _signed(call, f"lfs-object/{repo.id}/{item.oid}")
    return {
        **answer,
        "size": present.size_bytes,
        "authenticated": True,
        "actions": {"download": {"href": href}},
    }


def _signed(call: Call, path: str) -> str:
    expires = int(time.time()) + _LIFETIME_S
    return f"{call.base_url}/{path}?exp={expires}&sig={call.hub.signer.sign('lfs', f'{path}@{expires}')}"


def _check_signature(call: Call, path: str) -> None:
    expires = call.query("exp") or ""
    if not call.hub.signer.verify("lfs", f"{path}@{expires}", call.query("sig") or ""):
        raise Forbidden("This address is not signed by this hub")
    if int(expires) < time.time():
        raise Forbidden("This address has expired", hint="start the upload again")


@routes.add("PUT", "/lfs/{repo:int}/{digest}/{size:int}", stream=True)
async def put_object(call: Call) -> Response:
    """Receive a whole object."""
    repo_id, digest, size = int(call.param("repo")), call.param("digest"), int(call.param("size"))
    _check_signature(call, f"lfs/{repo_id}/{digest}/{size}")
    content = call.hub.content
    with content.staging.open() as staged:
        await receive(call.request, staged.write, size)
        await in_thread(content.add_whole, repo_id, digest, size, staged)
    return Response(headers={"ETag": f'"{digest}"'})


@routes.add("PUT", "/lfs-part/{upload}/{number:int}", stream=True)
async def put_part(call: Call) -> Response:
    """Receive one part."""
    upload, number = call.param("upload"), int(call.param("number"))
    _check_signature(call, f"lfs-part/{upload}/{number}")
    part = await in_thread(call.hub.multipart.part, upload, number)
    try:
        await receive(call.request, part.write, part.length)
        etag = await in_thread(part.finish)
    finally:
        part.close()
    return Response(headers={"ETag": etag})


@routes.add("POST", "/lfs-complete/{upload}")
def complete(call: Call) -> dict[str, Any]:
    """Put the parts together."""
    upload = call.param("upload")
    _check_signature(call, f"lfs-complete/{upload}")
    row = call.hub.multipart.complete(upload)
    return {"oid": row.digest, "size": row.size_bytes}


@routes.add("POST", *(f"{prefix}/objects/verify" for prefix in _GIT))
def verify(call: Call) -> Response:
    """Whether an uploaded object arrived."""
    item = call.json(LfsObject)
    repo = call.hub.repos.get(call.viewer, call.repo_id(), Action.WRITE)
    file = call.hub.content.find_in_repo(repo.id, [item.oid]).get(item.oid)
    if file is None:
        raise NotFound(f"Object {item.oid[:64]} was not uploaded")
    if file.size_bytes != item.size:
        raise BadUpload(f"Object {item.oid} has {file.size_bytes} bytes, not {item.size}")
    return json_response({"oid": item.oid, "size": item.size})


@routes.add("GET", "/lfs-object/{repo:int}/{digest}")
def get_object(call: Call) -> Response:
    """Send an object, or a range of it."""
    repo_id, digest = int(call.param("repo")), call.param("digest")
    _check_signature(call, f"lfs-object/{repo_id}/{digest}")
    file = call.hub.content.find_in_repo(repo_id, [digest]).get(digest)
    if file is None:
        raise NotFound("Object does not exist")
    headers = {"ETag": f'"{digest}"', "Content-Type": "application/octet-stream"}
    return FileAnswer(StoredSource(call.hub.content, file), digest, headers)


@routes.add("POST", *(f"{prefix}/locks/verify" for prefix in _GIT))
def locks(call: Call) -> Response:
    """No file is ever locked here; git-lfs asks before a push."""
    call.hub.repos.get(call.viewer, call.repo_id(), Action.WRITE)
    return Response(b'{"ours":[],"theirs":[]}', media_type=LFS_JSON)
