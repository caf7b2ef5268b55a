"""Trees, refs, history."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from seedstock.core.clock import iso
from seedstock.core.errors import Invalid
from seedstock.db.commits import CommitRow
from seedstock.http.call import Call
from seedstock.http.hf_api.listing import next_link
from seedstock.http.routing import Routes, json_response
from seedstock.hub.reading import LargeFile, TreePage
from seedstock.hub.trees import Entry

routes = Routes()

_PAGE = 1000
_EXPANDED_PAGE = 100
_REPO = "/api/{type:repotype}/{ns}/{name}"


@routes.add("GET", _REPO + "/tree/{rest:path}", steady=True)
def tree(call: Call) -> Response:
    """A folder of a revision."""
    expand = call.flag("expand")
    # llama.cpp does not follow pages, so that a plain listing comes in large ones.
    most = _EXPANDED_PAGE if expand else 10 * _PAGE
    page = call.hub.reading.tree(
        call.viewer,
        call.repo_id(),
        call.param("rest"),
        recursive=call.flag("recursive"),
        expand=expand,
        limit=call.number("limit", _EXPANDED_PAGE if expand else _PAGE, most=most) or 1,
        offset=call.number("cursor", 0, most=10**12),
    )
    headers = {} if page.next_offset is None else {"Link": next_link(call, page.next_offset)}
    return json_response([_entry(entry, page) for entry in page.entries], headers=headers)


@routes.add("POST", _REPO + "/paths-info/{rev:path}")
def paths_info(call: Call) -> list[dict[str, Any]]:
    """Those of the named paths that exist."""
    form = call.form()
    paths = form.get("paths", [])
    if len(paths) > 10 * _PAGE:
        raise Invalid(f"At most {10 * _PAGE} paths may be asked for at once")
    expand = form.get("expand", ["false"])[0].lower() in {"true", "1"}
    page = call.hub.reading.paths(call.viewer, call.repo_id(), call.param("rev"), paths, expand=expand)
    return [_entry(entry, page) for entry in page.entries]


def _entry(entry: Entry, page: TreePage) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "directory" if entry.is_tree else "file",
        "oid": entry.oid,
        "size": entry.size_bytes,
        "path": entry.path,
    }
    if entry.digest is not None:
        found["lfs"] = {"oid": entry.digest, "size": entry.size_bytes, "pointerSize": entry.pointer_bytes}
        if entry.digest in page.xet_hashes:
            found["xetHash"] = page.xet_hashes[entry.digest]
    last = page.last_commits.get(entry.path)
    if last is not None:
        found["lastCommit"] = {"id": last.oid, "title": last.title, "date": iso(last.committed_at)}
    return found


@routes.add("GET", _REPO + "/lfs-files")
def lfs_files(call: Call) -> Response:
    """The large files that a repo was given."""
    limit = call.number("limit", _PAGE, most=_PAGE) or 1
    offset = call.number("cursor", 0, most=10**12)
    found = call.hub.reading.large_files(call.viewer, call.repo_id(), limit + 1, offset)
    headers = {"Link": next_link(call, offset + limit)} if len(found) > limit else {}
    return json_response([_large_file(file) for file in found[:limit]], headers=headers)


def _large_file(file: LargeFile) -> dict[str, Any]:
    return {
        "fileOid": file.digest,
        "oid": file.digest,
        "filename": file.path or "",
        "size": file.size_bytes,
        "pushedAt": iso(file.added_at),
        **({"ref": "refs/heads/main"} if file.path else {}),
    }


@routes.add("GET", _REPO + "/refs", steady=True)
def refs(call: Call) -> dict[str, Any]:
    """Branches, tags and the rest."""
    groups: dict[str, list[dict[str, str]]] = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
    kinds = {
        "refs/heads/": "branches",
        "refs/convert/": "converts",
        "refs/tags/": "tags",
        "refs/pr/": "pullRequests",
    }
    for ref in call.hub.refs.list(call.viewer, call.repo_id()):
        prefix = next(prefix for prefix in kinds if ref.name.startswith(prefix))
        groups[kinds[prefix]].append(
            {"name": ref.name.removeprefix(prefix), "ref": ref.name, "targetCommit": ref.oid}
        )
    if not call.flag("include_prs"):
        del groups["pullRequests"]
    return groups


@routes.add("GET", _REPO + "/commits/{rev:path}", steady=True)
def commits(call: Call) -> Response:
    """A page of history, newest first."""
    limit = call.number("limit", 50, most=1000) or 50
    offset = call.number("cursor", call.number("p", 0, most=10**9) * limit, most=10**12)
    page, total = call.hub.reading.history(
        call.viewer, call.repo_id(), call.param("rev"), limit=limit, offset=offset
    )
    headers = {"X-Total-Count": str(total)}
    if offset + limit < total:
        headers["Link"] = next_link(call, offset + limit)
    return json_response([_commit(row) for row in page], headers=headers)


def _commit(row: CommitRow) -> dict[str, Any]:
    return {
        "id": row.oid,
        "title": row.title,
        "message": row.message,
        "authors": [{"user": row.author}],
        "date": iso(row.committed_at),
    }


class BranchBody(msgspec.Struct, rename="camel"):
    """`POST …/branch/{name}`."""

    starting_point: str | None = None
    empty_branch: bool = False
    overwrite: bool = False


class TagBody(msgspec.Struct):
    """`POST …/tag/{rev}`."""

    tag: str
    message: str | None = None


class SquashBody(msgspec.Struct):
    """`POST …/super-squash/{branch}`."""

    message: str | None = None


@routes.add("POST", _REPO + "/super-squash/{branch:path}")
def super_squash(call: Call) -> dict[str, Any]:
    """Make one commit of a branch's history."""
    branch = call.param("branch")
    message = (call.json(SquashBody).message or "").strip() or f"Super-squash branch '{branch}'"
    call.hub.refs.squash(call.viewer, call.repo_id(), branch, message)
    return {}


@routes.add("POST", _REPO + "/branch/{branch:path}")
def create_branch(call: Call) -> dict[str, Any]:
    """Create a branch."""
    body = call.json(BranchBody)
    call.hub.refs.create_branch(
        call.viewer,
        call.repo_id(),
        call.param("branch"),
        start=body.starting_point,
        empty=body.empty_branch,
        overwrite=body.overwrite,
    )
    return {}


@routes.add("DELETE", _REPO + "/branch/{branch:path}")
def delete_branch(call: Call) -> dict[str, Any]:
    """Delete a branch."""
    call.hub.refs.delete_branch(call.viewer, call.repo_id(), call.param("branch"))
    return {}


@routes.add("POST", _REPO + "/tag/{rev:path}")
def create_tag(call: Call) -> dict[str, Any]:
    """Tag a revision."""
    body = call.json(TagBody)
    call.hub.refs.create_tag(
        call.viewer, call.repo_id(), body.tag, revision=call.param("rev"), message=body.message
    )
    return {}


@routes.add("DELETE", _REPO + "/tag/{tag:path}")
def delete_tag(call: Call) -> dict[str, Any]:
    """Delete a tag."""
    call.hub.refs.delete_tag(call.viewer, call.repo_id(), call.param("tag"))
    return {}
