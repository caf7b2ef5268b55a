"""Remotes as admins register them, and their models as users find them."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import sqlalchemy.exc
from msgspec import UNSET

from seedstock.accounts.permissions import check_admin, may_use_remote
from seedstock.accounts.service import Accounts
from seedstock.core.clock import Clock
from seedstock.core.errors import (
    Forbidden,
    HubError,
    Invalid,
    NameTaken,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from seedstock.core.viewer import Viewer
from seedstock.db import accounts as account_rows
from seedstock.db import remotes as rows
from seedstock.db.engine import Database
from seedstock.db.remotes import RemoteRow
from seedstock.remotes.probe import list_models
from seedstock.remotes.remote import Change, NewRemote, Offer, Remote, RemoteModel, Tested, checked_models
from seedstock.remotes.sealing import Sealer
from seedstock.run.remote.runner import LocatedRemote
from seedstock.run.remote.upstream import (
    ApiKind,
    Upstream,
    UpstreamKey,
    check_base_url,
    check_key,
    check_remote_name,
    find_remote_name,
    remote_id,
)


class Remotes:
    """All remotes of the hub; with `enabled` false there are none, whatever is registered."""

    def __init__(
        self, database: Database, accounts: Accounts, sealer: Sealer, clock: Clock, *, enabled: bool
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._sealer = sealer
        self._clock = clock
        self.enabled = enabled

    def add(self, viewer: Viewer, new: NewRemote) -> Remote:
        """Register a remote. Raises Forbidden, Invalid, BadName, NameTaken and NotFound (an account)."""
        self._check(viewer)
        name, url = check_remote_name(new.name), check_base_url(new.kind, new.url)
        key = check_key(new.key) if new.key is not None else None
        at = self._clock()
        accounts = self._account_ids(new.accounts)
        values = {
            "name": name,
            "kind": new.kind.value,
            "base_url": url,
            "sealed_key": self._sealer.seal(key, name, url) if key else None,
            "everyone": accounts is None,
            "models": checked_models(new.models),
        }
        try:
            with self._database.write() as connection:
                number = rows.insert_remote(
                    connection, **values, listed=[], listed_at=None, created_at=at, changed_at=at
                )
                rows.set_accounts(connection, number, accounts or ())
                self._audit(connection, viewer, "remote.add", name, {"url": url, "kind": new.kind.value})
        except sqlalchemy.exc.IntegrityError:
            raise NameTaken(
                f"There is a remote {name!r} already", hint="change it, or choose another name"
            ) from None
        return self.get(viewer, name)

    def change(self, viewer: Viewer, name: str, change: Change) -> Remote:
        """Change a remote. Raises Forbidden, Invalid and NotFound."""
        row = self._row(viewer, name)
        values: dict[str, Any] = {"changed_at": max(self._clock(), row.changed_at + 1)}
        url = row.base_url
        if change.url is not UNSET:
            url = values["base_url"] = check_base_url(ApiKind(row.kind), change.url)
            if url != row.base_url and row.sealed_key is not None and change.key is UNSET:
                raise Invalid("A new address needs the key again", hint="it is never sent elsewhere unasked")
        if change.key is not UNSET:
            key = check_key(change.key) if change.key is not None else None
            values["sealed_key"] = self._sealer.seal(key, name, url) if key else None
        if change.models is not UNSET:
            values["models"] = checked_models(change.models)
        accounts = self._account_ids(change.accounts) if change.accounts is not UNSET else None
        if change.accounts is not UNSET:
            values["everyone"] = accounts is None
        with self._database.write() as connection:
            rows.update_remote(connection, row.id, **values)
            if change.accounts is not UNSET:
                rows.set_accounts(connection, row.id, accounts or ())
            changed = sorted(set(values) - {"changed_at", "everyone"} | set(_named(change)))
            self._audit(connection, viewer, "remote.change", name, {"changed": changed})
        return self.get(viewer, name)

    def remove(self, viewer: Viewer, name: str) -> None:
        """Forget a remote and its key. Raises Forbidden and NotFound."""
        row = self._row(viewer, name)
        with self._database.write() as connection:
            rows.delete_remote(connection, row.id)
            self._audit(connection, viewer, "remote.remove", name, None)

    def all(self, viewer: Viewer) -> list[Remote]:
        """All remotes, by name. Raises Forbidden."""
        check_admin(viewer, "Remotes")
        with self._database.read() as connection:
            found, allowed = rows.list_remotes(connection), rows.accounts_by_remote(connection)
        return [self._seen(row, allowed.get(row.id, {}).values()) for row in found]

    def get(self, viewer: Viewer, name: str) -> Remote:
        """One remote. Raises Forbidden and NotFound."""
        found = next((remote for remote in self.all(viewer) if remote.name == name), None)
        if found is None:
            raise NotFound(f"No remote is called {name[:100]!r}")
        return found

    def test(self, viewer: Viewer, name: str) -> Tested:
        """Ask an upstream for its models, and remember them. Raises Forbidden and NotFound; what else is wrong is told."""
        self._check(viewer)
        return self._probe(self._row(viewer, name))

    def refresh(self) -> dict[str, Tested]:
        """Ask every upstream of which all models are offered."""
        if not self.enabled:
            return {}
        with self._database.read() as connection:
            found = [row for row in rows.list_remotes(connection) if row.models is None]
        return {row.name: self._probe(row) for row in found}

    def models(self, viewer: Viewer) -> list[RemoteModel]:
        """The models that a viewer may use, by remote."""
        return [
            RemoteModel(remote_id(row.name, model), row.name, row.created_at)
            for row in self._usable(viewer)
            for model in (row.listed if row.models is None else row.models)
        ]

    def model(self, viewer: Viewer, name: str) -> RemoteModel:
        """One model. Raises NotFound for one that is absent, or that the viewer may not use."""
        row, _ = self._offered(viewer, name)
        return RemoteModel(name, row.name, row.created_at)

    def offer(self, viewer: Viewer, name: str) -> Offer:
        """The remote of a model that the viewer may ask. Raises as `locate`."""
        row, _ = self._offered(viewer, name)
        self._key(row)
        return _offer(row)

    def offers(self, viewer: Viewer) -> dict[int, Offer]:
        """All remotes that the viewer may use, by number."""
        return {row.id: _offer(row) for row in self._usable(viewer)}

    def locate(self, viewer: Viewer, name: str) -> LocatedRemote:
        """What to ask for a model. Raises Unauthenticated, Forbidden, NotFound, and Unavailable if its key cannot be read."""
        row, model = self._offered(viewer, name)
        return LocatedRemote(self._upstream(row), model)

    def _usable(self, viewer: Viewer) -> list[RemoteRow]:
        if not self.enabled or viewer.anonymous:
            return []
        with self._database.read() as connection:
            found, allowed = rows.list_remotes(connection), rows.accounts_by_remote(connection)
        return [
            row
            for row in found
            if may_use_remote(viewer, everyone=row.everyone, account_ids=allowed.get(row.id, {}))
        ]

    def _offered(self, viewer: Viewer, name: str) -> tuple[RemoteRow, str]:
        if viewer.anonymous:
            raise Unauthenticated("Sign in or send a token to run models")
        if not self.enabled:
            raise Forbidden("Remote models are switched off on this hub")
        asked = find_remote_name(name)
        with self._database.read() as connection:
            row = rows.find_remote(connection, asked.remote) if asked else None
            account_ids = rows.accounts_of_remote(connection, row.id) if row and not row.everyone else set()
        if (
            asked is None
            or row is None
            or not may_use_remote(viewer, everyone=row.everyone, account_ids=account_ids)
            or not _offer(row).has(asked.model)
        ):
            raise NotFound(f"The model {name[:300]!r} does not exist or cannot be run")
        return row, asked.model

    def _probe(self, row: RemoteRow) -> Tested:
        begun_s = time.monotonic()
        try:
            listed = list_models(self._upstream(row))
        except HubError as error:
            text = f"{error.message} ({error.hint})" if error.hint else error.message
            return Tested(ok=False, latency_ms=_since_ms(begun_s), error=text)
        with self._database.write() as connection:
            rows.update_remote(connection, row.id, listed=listed, listed_at=self._clock())
        missing = sorted(set(row.models or ()) - set(listed))
        return Tested(ok=True, latency_ms=_since_ms(begun_s), models=len(listed), missing=missing)

    def _upstream(self, row: RemoteRow) -> Upstream:
        return Upstream(row.name, ApiKind(row.kind), row.base_url, self._key(row), row.changed_at)

    def _key(self, row: RemoteRow) -> UpstreamKey | None:
        return None if row.sealed_key is None else self._sealer.open(row.sealed_key, row.name, row.base_url)

    def _seen(self, row: RemoteRow, accounts: Collection[str]) -> Remote:
        try:
            key = "none" if self._key(row) is None else "set"
        except Unavailable:
            key = "unreadable"
        return Remote(
            name=row.name,
            kind=ApiKind(row.kind),
            url=row.base_url,
            key=key,
            models=row.models,
            listed=row.listed,
            listed_at=row.listed_at,
            accounts=None if row.everyone else list(accounts),
            created_at=row.created_at,
            changed_at=row.changed_at,
        )

    def _row(self, viewer: Viewer, name: str) -> RemoteRow:
        check_admin(viewer, "Remotes")
        with self._database.read() as connection:
            row = rows.find_remote(connection, name)
        if row is None:
            raise NotFound(f"No remote is called {name[:100]!r}")
        return row

    def _check(self, viewer: Viewer) -> None:
        check_admin(viewer, "Remotes")
        if not self.enabled:
            raise Forbidden(
                "Remotes are switched off on this hub", hint="SEEDSTOCK_REMOTES=on, for whoever runs it"
            )

    def _account_ids(self, names: Collection[str] | None) -> set[int] | None:
        if names is None:
            return None
        if unfit := next((name for name in names if not name.isprintable()), None):
            raise NotFound(f"No user or organisation is called {unfit[:100]!r}")
        return {self._accounts.get(name).id for name in names}

    def _audit(self, connection: Any, viewer: Viewer, action: str, name: str, detail: Any) -> None:
        account_rows.insert_audit(
            connection, self._clock(), viewer.account_id, viewer.name, action, name, detail
        )


def _offer(row: RemoteRow) -> Offer:
    return Offer(row.id, row.name, ApiKind(row.kind), row.models, row.changed_at)


def _named(change: Change) -> list[str]:
    return ["accounts"] if change.accounts is not UNSET else []


def _since_ms(begun_s: float) -> int:
    return round(1000 * (time.monotonic() - begun_s))
