"""The models that run, for those who list them. What a commit holds never changes, and is found out once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from seedstock.core.names import RepoType
from seedstock.core.viewer import Viewer
from seedstock.db.repos import RepoRow
from seedstock.hub.listing import Listing, ListQuery
from seedstock.hub.reading import Reading
from seedstock.hub.runnable import Kind, ability_of, base_of, kind_of
from seedstock.run.engines.base import Ability

MOST = 10_000
_ADAPTER_TAG = "peft"
_KEPT = 50_000
# Fewer than the records and trees that are kept of commits, or the first would be gone before the last are there.
_READ_TOGETHER = 500


class ListedModel(msgspec.Struct, frozen=True):
    """A repo that runs, and what it is for as far as its files tell."""

    repo: RepoRow
    ability: Ability


class _Held(msgspec.Struct, frozen=True):
    """What a commit holds; `base` is the one that an adapter names."""

    ability: Ability
    base: str | None


class ModelList:
    """Lists models, and remembers what their commits hold."""

    def __init__(self, reading: Reading, listing: Listing) -> None:
        self._reading = reading
        self._listing = listing
        self._known: OrderedDict[tuple[int, str], _Held] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, viewer: Viewer) -> list[ListedModel]:
        """Repos that hold something runnable and that the viewer may read; adapters where their base is such a repo."""
        query = ListQuery(type=RepoType.MODEL, runnable=True, sort="name", ascending=True, limit=MOST)
        tagged = msgspec.structs.replace(query, runnable=None, tags=(_ADAPTER_TAG,))
        found = {repo.id: repo for repo in self._listing.repos(viewer, query)}
        adapters = {repo.id: repo for repo in self._listing.repos(viewer, tagged) if repo.id not in found}
        held = self._held(viewer, [*found.values(), *adapters.values()])
        bases = {id: base for id in adapters if id in held and (base := held[id].base)}
        here = self._listing.named(viewer, RepoType.MODEL, set(bases.values()))
        found |= {
            id: adapters[id]
            for id, base in bases.items()
            if (named := here.get(base)) is not None and named.runnable
        }
        listed = [ListedModel(repo, held[repo.id].ability) for repo in found.values() if repo.id in held]
        return sorted(listed, key=lambda one: (one.repo.name.lower(), one.repo.id))[:MOST]

    def _held(self, viewer: Viewer, repos: Sequence[RepoRow]) -> dict[int, _Held]:
        """What each repo's head of main holds; none of a repo that is gone meanwhile."""
        found, unknown = dict[int, _Held](), list[RepoRow]()
        with self._lock:
            for repo in repos:
                key = repo.id, repo.head_oid
                if key in self._known:
                    self._known.move_to_end(key)
                    found[repo.id] = self._known[key]
                else:
                    unknown.append(repo)
        for start in range(0, len(unknown), _READ_TOGETHER):
            found |= self._read(viewer, unknown[start : start + _READ_TOGETHER])
        return found

    def _read(self, viewer: Viewer, repos: Sequence[RepoRow]) -> dict[int, _Held]:
        found = {}
        for at in self._reading.heads(viewer, repos):
            adapts = kind_of(at.entries, at.metadata) is Kind.ADAPTER
            base = base_of(at.metadata) if adapts else None
            held = _Held(ability_of(at.entries, at.metadata), str(base.repo) if base else None)
            found[at.repo.id] = held
            if at.snapshot.complete:  # before that its weights have not been read
                self._keep((at.repo.id, at.repo.head_oid), held)
        return found

    def _keep(self, key: tuple[int, str], held: _Held) -> None:
        with self._lock:
            self._known[key] = held
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
