"""New repositories, and the settings of existing ones."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response

from seedstock.accounts.permissions import Action
from seedstock.core.errors import Conflict, Forbidden, HubError, Invalid, Unauthenticated
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import OrgRole, Viewer
from seedstock.http.call import Call
from seedstock.hub.repos import RepoSettings
from seedstock.web.pages.answer import page_routes, redirect, show
from seedstock.web.pages.header import below, header_of
from seedstock.web.views.common import Notice, NoticeKind
from seedstock.web.views.repos import Visibility
from seedstock.web.views.run import NewRepoPage, RepoSettingsPage

routes = page_routes()

_CREATES = {OrgRole.CONTRIBUTOR, OrgRole.WRITE, OrgRole.ADMIN}
_DONE = {"visibility": "Visibility is saved."}


def _owners(viewer: Viewer) -> tuple[str, ...]:
    """Namespaces that the viewer may create repos in."""
    if viewer.anonymous:
        raise Unauthenticated("Sign in to create a repository")
    orgs = [item.name for item in viewer.memberships if viewer.is_admin or item.role in _CREATES]
    return (viewer.name, *orgs)


@routes.add("GET", "/new")
def new_form(call: Call) -> Response:
    """The form for a new repo."""
    owners = _owners(call.viewer)
    owner = call.query("owner") or ""
    type = RepoType.DATASET if call.query("type") == "dataset" else RepoType.MODEL
    return show(call, NewRepoPage(owners, owner if owner in owners else owners[0], type))


@routes.add("POST", "/new", limit_bytes=20_000)
def new(call: Call) -> Response:
    """Create a repo."""
    owners = _owners(call.viewer)
    form = {name: values[0] for name, values in call.form().items()}
    type = RepoType.from_singular(form.get("type"))
    private = form.get("visibility") == "private"
    owner, name = form.get("owner", owners[0]), form.get("name", "").strip()
    try:
        repo = call.hub.repos.create(call.viewer, RepoId(type, owner, name), private=private)
    except (Invalid, Conflict, Forbidden) as error:
        visibility = Visibility.PRIVATE if private else Visibility.PUBLIC
        page = NewRepoPage(owners, owner, type, name[:96], visibility, _explain(error))
        return show(call, page, 409 if isinstance(error, Conflict) else 400)
    return redirect(f"/{repo.url_path}?done=created")


def _explain(error: HubError) -> str:
    return f"{error.message}: {error.hint}." if error.hint else f"{error.message}."


@routes.add("GET", *below("/settings"))
def settings(call: Call) -> Response:
    """The settings of a repo."""
    text = _DONE.get(call.query("done") or "")
    return _settings_page(call, Notice(NoticeKind.GOOD, text) if text else None)


def _settings_page(call: Call, notice: Notice | None, status: int = 200) -> Response:
    call.hub.repos.get(call.viewer, call.repo_id(), Action.ADMIN)
    at = call.hub.reading.repo_at(call.viewer, call.repo_id())
    owners = tuple(dict.fromkeys((at.repo.namespace, *_owners(call.viewer))))
    return show(call, RepoSettingsPage(header_of(call, at), owners, notice), status)


@routes.add("POST", *below("/settings/visibility"))
def set_visibility(call: Call) -> Response:
    """Make a repo public or private."""
    wanted = call.form().get("visibility", [""])[0]
    if wanted not in {"public", "private"}:
        raise Invalid("Visibility is public or private")
    change = RepoSettings(private=wanted == "private")
    repo = call.hub.repos.change(call.viewer, call.repo_id(), change)
    return redirect(f"/{repo.url_path}/settings?done=visibility")


@routes.add("POST", *below("/settings/move"))
def move(call: Call) -> Response:
    """Rename a repo or give it to another namespace."""
    form, source = call.form(), call.repo_id()
    target = RepoId(
        source.type,
        form.get("namespace", [source.namespace])[0].strip(),
        form.get("name", [source.name])[0].strip(),
    )
    try:
        repo = call.hub.repos.move(call.viewer, source, target)
    except (Invalid, Conflict) as error:
        return _settings_page(call, Notice(NoticeKind.BAD, _explain(error)), 400)
    return redirect(f"/{repo.url_path}?done=moved")


@routes.add("POST", *below("/settings/delete"))
def delete(call: Call) -> Response:
    """Delete a repo, once its full name was typed."""
    repo = call.hub.repos.get(call.viewer, call.repo_id(), Action.ADMIN)
    if call.form().get("confirm", [""])[0].strip() != repo.repo_id:
        text = f"Nothing was deleted: type {repo.repo_id} to confirm."
        return _settings_page(call, Notice(NoticeKind.BAD, text), 400)
    call.hub.repos.delete(call.viewer, call.repo_id())
    return redirect(f"/{quote(repo.namespace, safe='')}")
