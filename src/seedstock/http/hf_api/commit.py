"""Preupload and commit."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from seedstock.core.digests import Oid
from seedstock.core.errors import BadCommit, Invalid, TooLarge
from seedstock.core.names import RepoType
from seedstock.db.repos import RepoRow
from seedstock.http.call import Call
from seedstock.http.routing import Routes, json_response
from seedstock.http.threads import in_thread
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Copy, Delete, DeleteFolder, Operation, Put, PutLarge
from seedstock.hub.writing import Candidate
from seedstock.metadata.card import validate_yaml

routes = Routes()

_REPO = "/api/{type:repotype}/{ns}/{name}"
MAX_LINE_BYTES = 150_000_000
MAX_OPERATIONS = 100_000
MAX_CANDIDATES = 10_000  # stock clients ask about 256
MAX_MESSAGE_CHARACTERS = 100_000
_FLUSH_BYTES = 8_000_000
T = TypeVar("T")


class PreuploadFile(msgspec.Struct):
    """One candidate of a preupload."""

    path: str
    size: int
    sample: str = ""


class PreuploadBody(msgspec.Struct, rename="camel"):
    """`POST …/preupload/{rev}`."""

    files: list[PreuploadFile]
    git_ignore: str | None = None
    git_attributes: str | None = None


@routes.add("POST", _REPO + "/preupload/{rev:path}")
def preupload(call: Call) -> dict[str, Any]:
    """How each file is to be uploaded."""
    body = call.json(PreuploadBody)
    if len(body.files) > MAX_CANDIDATES:
        raise TooLarge(f"At most {MAX_CANDIDATES} files may be asked about at once, not {len(body.files)}")
    candidates = [Candidate(file.path, file.size, _base64(file.sample, file.path)) for file in body.files]
    plans = call.hub.writing.plan(
        call.viewer,
        call.repo_id(),
        call.param("rev"),
        candidates,
        ignore=body.git_ignore,
        attributes=body.git_attributes,
    )
    return {
        "files": [
            {
                "path": plan.path,
                "uploadMode": "lfs" if plan.large else "regular",
                "shouldIgnore": plan.ignore,
                "oid": plan.present,
            }
            for plan in plans
        ]
    }


class Header(msgspec.Struct, rename="camel"):
    """First line of a commit."""

    summary: str
    description: str = ""
    parent_commit: str | None = None


class FileLine(msgspec.Struct):
    """A small file, inline."""

    path: str
    content: str
    encoding: str = "utf-8"


class LfsLine(msgspec.Struct):
    """A large file that was uploaded before."""

    path: str
    oid: str
    algo: str = "sha256"
    size: int | None = None


class PathLine(msgspec.Struct):
    """A path to delete."""

    path: str


class CopyLine(msgspec.Struct, rename="camel"):
    """A file to copy within the repo."""

    path: str
    src_path: str
    src_revision: str | None = None


class Line(msgspec.Struct):
    """Any line of a commit."""

    key: str
    value: msgspec.Raw


@routes.add("POST", _REPO + "/commit/{rev:path}", stream=True)
async def commit(call: Call) -> Response:
    """Apply NDJSON operations to a branch, as one commit.

    Small files are stored as the lines come in, so that memory holds one batch and not the whole body.
    """
    if call.flag("create_pr"):
        raise Invalid("Pull requests are not offered by this hub yet", hint="commit to a branch")
    repo, ref = await in_thread(call.hub.writing.begin, call.viewer, call.repo_id(), call.param("rev"))
    reader = CommitReader(call, repo)
    async for line in _lines(call.request):
        if reader.take(line):
            await in_thread(reader.flush)
    row = await in_thread(_finish, call, reader, repo, ref)
    url = f"{call.base_url}/{repo.url_path}"
    return json_response(
        {"success": True, "commitOid": row, "commitUrl": f"{url}/commit/{row}", "hookOutput": ""}
    )


def _finish(call: Call, reader: CommitReader, repo: RepoRow, ref: str) -> str:
    reader.flush()
    header = reader.header
    if header is None:
        raise BadCommit("The commit has no header line")
    title = header.summary.strip()
    if not title:
        raise BadCommit("A commit needs a summary")
    if len(header.summary) + len(header.description) > MAX_MESSAGE_CHARACTERS:
        raise TooLarge(f"A commit's message has at most {MAX_MESSAGE_CHARACTERS} characters")
    message = CommitMessage(title, header.description.strip())
    row = call.hub.writing.commit(call.viewer, repo, ref, message, reader.operations, header.parent_commit)
    return row.oid


class CommitReader:
    """Collects the operations of a commit body, storing small files in batches."""

    def __init__(self, call: Call, repo: RepoRow) -> None:
        self._call = call
        self._repo = repo
        self.header: Header | None = None
        self.operations: list[Operation] = []
        self._waiting: list[tuple[int, bytes]] = []
        self._waiting_bytes = 0

    def take(self, line: bytes) -> bool:
        """Take one line; True when enough small files are waiting that `flush` should be called."""
        parsed = _decode(line, Line)
        if parsed.key == "header":
            self.header = _decode(parsed.value, Header)
            return False
        if self.header is None:
            raise BadCommit("The first line of a commit must be its header")
        if len(self.operations) >= MAX_OPERATIONS:
            raise TooLarge(f"A commit has at most {MAX_OPERATIONS} operations")
        if parsed.key == "file":
            self._take_file(_decode(parsed.value, FileLine))
        else:
            self.operations.append(_operation(parsed))
        return self._waiting_bytes >= _FLUSH_BYTES

    def _take_file(self, line: FileLine) -> None:
        if line.encoding == "base64":
            content = _base64(line.content, line.path)
        elif line.encoding in {"utf-8", "utf8"}:
            content = line.content.encode()
        else:
            raise BadCommit(f"{line.path}: unknown encoding {line.encoding[:20]!r}")
        self._waiting.append((len(self.operations), content))
        self._waiting_bytes += len(content)
        self.operations.append(Put(line.path, Oid("")))

    def flush(self) -> None:
        """Store the small files that are waiting."""
        if not self._waiting:
            return
        oids = self._call.hub.writing.store_blobs(self._repo, [content for _, content in self._waiting])
        for (position, _), oid in zip(self._waiting, oids, strict=True):
            self.operations[position] = Put(self.operations[position].path, oid)
        self._waiting, self._waiting_bytes = [], 0


def _operation(line: Line) -> Operation:
    match line.key:
        case "lfsFile":
            large = _decode(line.value, LfsLine)
            if large.algo != "sha256":
                raise BadCommit(f"{large.path}: unknown digest algorithm {large.algo[:20]!r}")
            return PutLarge(large.path, large.oid, large.size)
        case "deletedFile":
            return Delete(_decode(line.value, PathLine).path)
        case "deletedFolder":
            return DeleteFolder(_decode(line.value, PathLine).path)
        case "copyFile":
            copy = _decode(line.value, CopyLine)
            return Copy(copy.path, copy.src_path, copy.src_revision)
    raise BadCommit(f"Unknown operation {line.key[:40]!r}")


def _decode(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"Malformed commit line: {str(error)[:200]}") from None


def _base64(text: str, path: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(f"{path[:100]}: malformed base64") from None


async def _lines(request: Request) -> AsyncIterator[bytes]:
    """The lines of a body. Raises TooLarge on one that is absurdly long."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        head, *rest = piece.split(b"\n")
        pieces.append(head)
        size += len(head)
        if size > MAX_LINE_BYTES:
            raise TooLarge(f"A line of a commit has at most {MAX_LINE_BYTES} bytes")
        for part in rest:
            line = b"".join(pieces)
            if line.strip():
                yield line
            pieces, size = [part], len(part)
    last = b"".join(pieces)
    if last.strip():
        yield last


class YamlBody(msgspec.Struct, rename="camel"):
    """`POST /api/validate-yaml`."""

    content: str
    repo_type: str | None = None


@routes.add("POST", "/api/validate-yaml")
def check_card(call: Call) -> Response:
    """Whether a card's front matter is well-formed; asked before a README is committed."""
    body = call.json(YamlBody)
    report = validate_yaml(body.content, RepoType.from_singular(body.repo_type))
    answer = {
        "errors": [{"message": text} for text in report.errors],
        "warnings": [{"message": text} for text in report.warnings],
    }
    return json_response(answer, 400 if report.errors else 200)
