"""Uploads from the browser: one PUT per file and a form that commits them, or one multipart form for all."""

from __future__ import annotations

import posixpath

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from seedstock.accounts.permissions import Action, check
from seedstock.core.errors import BadCommit, HubError, Invalid, TooLarge
from seedstock.http.call import Call
from seedstock.http.receive import receive
from seedstock.http.routing import json_response
from seedstock.http.threads import in_thread
from seedstock.hub.commits import CommitMessage
from seedstock.hub.uploads import Received, Target
from seedstock.web.pages.answer import login_href, page_routes, redirect, show
from seedstock.web.pages.files import segment
from seedstock.web.pages.header import below, header_of
from seedstock.web.views.common import Notice, NoticeKind
from seedstock.web.views.files import UploadPage

routes = page_routes()

FORM_LIMIT_BYTES = 100 * 1024 * 1024
_FORM_SLACK_BYTES = 8 << 20
_FILE_LIMIT_BYTES = 1 << 40
_MOST_FILES = 10_000


@routes.add("GET", *below("/upload/{rest:path}"))
def upload_form(call: Call) -> Response:
    """The upload form of a branch."""
    target = call.hub.uploads.target(call.viewer, call.repo_id(), call.param("rest"))
    return _form(call, target, call.query("folder") or target.path, None)


def _form(call: Call, target: Target, folder: str, notice: Notice | None, status: int = 200) -> Response:
    at = call.hub.reading.repo_at(call.viewer, call.repo_id(), target.branch)
    header = header_of(call, at, target.branch)
    view = UploadPage(
        header=header,
        branch=target.branch,
        action=f"{header.url}/upload/{segment(target.branch)}",
        folder=folder.strip("/"),
        form_limit_bytes=FORM_LIMIT_BYTES,
        notice=notice,
    )
    return show(call, view, status)


@routes.add("PUT", *below("/upload/{rest:path}"), stream=True)
async def put_file(call: Call) -> Response:
    """Receive one file and answer the reference that the commit names it by."""
    uploads, content = call.hub.uploads, call.hub.content
    target = await in_thread(uploads.target, call.viewer, call.repo_id(), call.param("rest"))
    with content.staging.open() as staged:
        await receive(call.request, staged.write, _FILE_LIMIT_BYTES)
        received = await in_thread(uploads.take, call.viewer, target, target.path, staged)
    return json_response({"staged": uploads.sign(call.viewer, target.repo, received)})


@routes.add("POST", *below("/upload/{rest:path}"), stream=True)
async def commit_files(call: Call) -> Response:
    """Commit what was received, and the files of the form itself where there is no script."""
    _check_size(call)
    if call.viewer.anonymous and not call.awaits_form:
        return redirect(login_href(call))
    try:
        form = await call.request.form(max_files=_MOST_FILES, max_fields=_MOST_FILES + 8)
    except HTTPException as error:
        raise Invalid(f"Malformed form: {error.detail}") from None
    try:
        call.confirm_form(_text(form, "csrf"))
        return await in_thread(_commit, call, form)
    finally:
        await form.close()


def _check_size(call: Call) -> None:
    announced = call.request.headers.get("content-length", "")
    if not announced.isdigit():
        raise Invalid("The form does not say how long it is")
    if int(announced) > FORM_LIMIT_BYTES + _FORM_SLACK_BYTES:
        raise TooLarge(
            f"A form may carry {FORM_LIMIT_BYTES >> 20} MiB", hint="use hf upload or git for larger files"
        )


def _commit(call: Call, form: FormData) -> Response:
    uploads, viewer = call.hub.uploads, call.viewer
    target = uploads.target(viewer, call.repo_id(), call.param("rest"))
    check(viewer, Action.WRITE, target.repo)
    try:
        references = [item for item in form.getlist("staged") if isinstance(item, str)]
        received = uploads.read_signed(viewer, target.repo, references) + _files(call, target, form)
        if not received:
            raise BadCommit("No file was chosen")
        title = _text(form, "summary").strip()[:200] or _default_title(received)
        message = CommitMessage(title, _text(form, "description").strip()[:10_000])
        operations = [item.operation() for item in received]
        row = call.hub.writing.commit(viewer, target.repo, target.ref, message, operations)
    except HubError as error:
        text = f"Nothing was committed: {error.message}."
        return _form(call, target, _text(form, "folder"), Notice(NoticeKind.BAD, text), 400)
    folder = posixpath.dirname(received[0].path)
    if target.branch == "main" and folder == "" and any(item.path == "README.md" for item in received):
        return redirect(f"/{target.repo.url_path}?done=uploaded")
    return redirect(f"/{target.repo.url_path}/commit/{row.oid}")


def _files(call: Call, target: Target, form: FormData) -> list[Received]:
    """Take in the files that came inside the form."""
    folder = _text(form, "folder").strip().strip("/")
    found = []
    for item in form.getlist("files"):
        if not isinstance(item, UploadFile) or not item.filename:
            continue
        name = item.filename.replace("\\", "/").rpartition("/")[2]
        with call.hub.content.staging.open() as staged:
            while piece := item.file.read(1 << 20):
                staged.write(piece)
            path = f"{folder}/{name}" if folder else name
            found.append(call.hub.uploads.take(call.viewer, target, path, staged))
    return found


def _default_title(received: list[Received]) -> str:
    name = received[0].path.rpartition("/")[2]
    return f"Upload {name}"[:200] if len(received) == 1 else f"Upload {len(received)} files"


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""
