"""What a recipe's references stand for now: asked of a hub through the stock API, or read beside the recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import msgspec

from seedstock.core.digests import git_oid
from seedstock.core.errors import (
    DigestMismatch,
    Forbidden,
    HubError,
    Invalid,
    NotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from seedstock.core.names import check_file_path
from seedstock.recipes.outputs import content_digest, describes, file_sha256, list_files, tree_digest
from seedstock.recipes.pinning import Kind, Pinned

MAX_FILES = 10_000
MAX_SMALL_BYTES = 64 << 20
"""Of one file that is not stored as a large one, and so has no SHA-256 in the API: it is fetched and hashed."""
MAX_FETCHED_BYTES = 1 << 30
_ERRORS: dict[int, type[HubError]] = {401: Unauthenticated, 403: Forbidden, 404: NotFound}


class _Lfs(msgspec.Struct):
    sha256: str


class _Sibling(msgspec.Struct):
    rfilename: str
    size: int | None = None
    blobId: str | None = None  # noqa: N815 - the API's name
    lfs: _Lfs | None = None


class _Info(msgspec.Struct):
    sha: str
    siblings: list[_Sibling] = []


class PinResolver:
    """A `pinning.Resolve`, open as long as its connection."""

    def __init__(self, endpoint: str, token: str | None, folder: Path) -> None:
        import httpx

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(headers=headers, timeout=60, follow_redirects=True)
        self._endpoint = endpoint
        self._folder = folder
        self._fetched = 0

    def __enter__(self) -> PinResolver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def __call__(
        self, kind: Kind, reference: str, revision: str | None, files: Sequence[str] = (), /
    ) -> Pinned:
        """Resolve one reference. Raises NotFound, Unauthenticated, Forbidden, Unavailable, Invalid."""
        if kind == "file":
            return Pinned(f"sha256:{file_sha256(self._local(reference))}")
        if kind == "content":
            return Pinned(self._local_content(reference))
        if reference.count("/") != 1:
            raise Invalid(f"{reference!r} is no repo like ada/my-model")
        return self._repo(kind, reference, revision or "main", files)

    def _local(self, reference: str) -> Path:
        path = self._folder / check_file_path(reference)
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise Invalid(f"{reference!r} leads out of the recipe's folder")
        if not path.exists():
            raise NotFound(f"There is no {reference!r} beside the recipe")
        return path

    def _local_content(self, reference: str) -> str:
        path = self._local(reference)
        if path.is_dir():
            return tree_digest({name: file_sha256(path / name) for name in list_files(path)})
        return tree_digest({path.name: file_sha256(path)})

    def _repo(self, kind: str, reference: str, revision: str, only: Sequence[str]) -> Pinned:
        name = quote(reference)
        path = f"/api/{kind}s/{name}/revision/{quote(revision, safe='')}?blobs=true"
        try:
            info = msgspec.json.decode(self._get(path, MAX_SMALL_BYTES), type=_Info)
        except msgspec.DecodeError as error:
            raise Unavailable(f"The hub's answer about {reference} cannot be read: {error}") from None
        if len(info.siblings) > MAX_FILES:
            raise TooLarge(f"{reference} has more than {MAX_FILES} files")
        prefix = f"/{name}" if kind == "model" else f"/{kind}s/{name}"
        files = {
            item.rfilename: item.lfs.sha256 if item.lfs else self._hash(f"{prefix}/resolve/{info.sha}/", item)
            for item in info.siblings
            if (item.rfilename in only if only else not describes(item.rfilename, kind))
        }
        if absent := sorted(set(only) - files.keys()):
            raise NotFound(f"{reference} has no file {absent[0]!r} at {revision}")
        return Pinned(content_digest(files, kind), info.sha)

    def _hash(self, prefix: str, item: _Sibling) -> str:
        """SHA-256 of a small file, which must be the git object that the hub says it is."""
        content = self._get(f"{prefix}{quote(item.rfilename)}", MAX_SMALL_BYTES)
        if item.blobId is not None and git_oid("blob", content) != item.blobId:
            raise DigestMismatch(f"{item.rfilename} is not the file that the hub lists")
        return hashlib.sha256(content).hexdigest()

    def _get(self, path: str, limit_bytes: int) -> bytes:
        import httpx

        content = bytearray()
        try:
            with self._client.stream("GET", f"{self._endpoint}{path}") as answer:
                for piece in answer.iter_bytes():
                    content += piece
                    if len(content) > limit_bytes:
                        raise TooLarge(f"{path} has more than {limit_bytes} bytes")
        except (httpx.TransportError, httpx.InvalidURL, httpx.TooManyRedirects) as error:
            message = f"The hub at {self._endpoint} does not answer: {error}"
            raise Unavailable(message, hint="check --endpoint") from None
        if answer.status_code != 200:
            raise _ERRORS.get(answer.status_code, Invalid)(_message(bytes(content), path, answer.status_code))
        self._fetched += len(content)
        if self._fetched > MAX_FETCHED_BYTES:
            raise TooLarge(f"More than {MAX_FETCHED_BYTES} bytes of small files would have to be fetched")
        return bytes(content)


def _message(content: bytes, path: str, status: int) -> str:
    try:
        found: Any = msgspec.json.decode(content)
        return f"{found['error']} ({path.split('?', maxsplit=1)[0]})"
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"The hub answered with status {status} to {path.split('?', maxsplit=1)[0]}"
