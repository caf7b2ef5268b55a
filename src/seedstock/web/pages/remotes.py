"""Remotes: models that run elsewhere, registered by administrators in the browser."""

from __future__ import annotations

import re

from msgspec import UNSET
from starlette.responses import Response

from seedstock.core.errors import Conflict, HubError, Invalid, NotFound
from seedstock.http.call import Call
from seedstock.remotes.remote import Change, NewRemote, Remote, Tested
from seedstock.run.remote.upstream import ApiKind, remote_id
from seedstock.web.pages.answer import moment, page_routes, show
from seedstock.web.views.common import Notice, NoticeKind
from seedstock.web.views.remotes import NewRemoteView, RemotesPage, RemoteView

routes = page_routes()
_SEPARATORS = re.compile(r"[\s,]+")
_FORM_BYTES = 2_000_000


@routes.add("GET", "/admin/remotes")
def remotes(call: Call) -> Response:
    """The remotes."""
    return _page(call)


@routes.add("POST", "/admin/remotes", limit_bytes=_FORM_BYTES)
def add(call: Call) -> Response:
    """Register a remote, and ask it for its models."""
    said = {name: values[0].strip() for name, values in call.form().items()}
    typed = NewRemoteView(
        **{field: said.get(field, "")[:2000] for field in ("name", "kind", "url", "models", "accounts")}
    )
    try:
        if typed.kind not in set(ApiKind):
            raise Invalid("A remote is of the kind openai or anthropic")
        new = NewRemote(
            typed.name,
            ApiKind(typed.kind),
            typed.url,
            said.get("key") or None,
            _listed(said.get("models", "")),
            _listed(said.get("accounts", "")),
        )
        name = call.hub.remotes.add(call.viewer, new).name
    except (Invalid, Conflict, NotFound) as error:
        return _page(call, new=_with_error(typed, error), status=409 if isinstance(error, Conflict) else 400)
    return _page(call, _found(name, call.hub.remotes.test(call.viewer, name), "is added, and"))


@routes.add("POST", "/admin/remotes/{name}/test")
def test(call: Call) -> Response:
    """Ask a remote for its models."""
    name = call.param("name")
    return _page(call, _found(name, call.hub.remotes.test(call.viewer, name)))


@routes.add("POST", "/admin/remotes/{name}/change", limit_bytes=_FORM_BYTES)
def change(call: Call) -> Response:
    """Change what a remote offers and to whom, and its key if one is typed."""
    form, name = call.form(), call.param("name")
    models, accounts, key = (form.get(field, [""])[0] for field in ("models", "accounts", "key"))
    wanted = Change(models=_listed(models), accounts=_listed(accounts), key=key.strip() or UNSET)
    try:
        call.hub.remotes.change(call.viewer, name, wanted)
    except (Invalid, NotFound) as error:
        return _page(call, Notice(NoticeKind.BAD, f"{name}: {error.message}."), status=400)
    return _page(call, Notice(NoticeKind.GOOD, f"{name} is changed."))


@routes.add("POST", "/admin/remotes/{name}/remove")
def remove(call: Call) -> Response:
    """Forget a remote."""
    name = call.param("name")
    call.hub.remotes.remove(call.viewer, name)
    return _page(call, Notice(NoticeKind.GOOD, f"{name} and its key are forgotten."))


def _page(
    call: Call, notice: Notice | None = None, *, new: NewRemoteView | None = None, status: int = 200
) -> Response:
    found = tuple(_view(remote) for remote in call.hub.remotes.all(call.viewer))
    page = RemotesPage(found, new or NewRemoteView(), notice, call.hub.remotes.enabled)
    return show(call, page, status)


def _view(remote: Remote) -> RemoteView:
    offered = remote.listed if remote.models is None else remote.models
    return RemoteView(
        name=remote.name,
        kind=remote.kind.value,
        url=remote.url,
        key=remote.key,
        models=tuple(remote_id(remote.name, model) for model in offered),
        offers_all=remote.models is None,
        accounts=None if remote.accounts is None else tuple(remote.accounts),
        listed_at=moment(remote.listed_at) if remote.listed_at is not None else None,
        models_text="\n".join(remote.models or ()),
        accounts_text=", ".join(remote.accounts or ()),
    )


def _found(name: str, tested: Tested, done: str = "") -> Notice:
    subject = f"{name} {done}".strip()
    if tested.error is not None:
        return Notice(NoticeKind.WARN, f"{subject} does not answer as it should: {tested.error}.")
    text = f"{subject} lists {tested.models} models, in {tested.latency_ms} ms."
    if tested.missing:
        return Notice(NoticeKind.WARN, f"{text} It does not list {', '.join(tested.missing[:20])}.")
    return Notice(NoticeKind.GOOD, text)


def _listed(text: str) -> list[str] | None:
    """Names between spaces, commas or lines; None for none, which means all."""
    return [name for name in _SEPARATORS.split(text) if name] or None


def _with_error(typed: NewRemoteView, error: HubError) -> NewRemoteView:
    text = f"{error.message}: {error.hint}." if error.hint else f"{error.message}."
    return NewRemoteView(typed.name, typed.kind, typed.url, typed.models, typed.accounts, text)
