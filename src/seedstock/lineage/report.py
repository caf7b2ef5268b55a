"""The foundations report: which roots everything that a viewer may see rests on, and who publishes those.

Shares are of models with a known root. Publisher and country are as stated by a publisher profile; nothing is
inferred from a name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from seedstock.core.clock import DAY_MS
from seedstock.core.errors import NotFound
from seedstock.core.names import RepoType
from seedstock.core.viewer import Viewer
from seedstock.db import accounts, lineage, lineage_status, listing, publishers
from seedstock.db.engine import Database
from seedstock.db.publishers import PublisherRow
from seedstock.db.repos import RepoRow
from seedstock.hub.listing import ListQuery, limited
from seedstock.lineage.graph import Ancestry, Key, Root, Tie, ties

MAX_MODELS = 200_000
_MONTH_MS = 30 * DAY_MS
_MONTHS = 12


class RootShare(msgspec.Struct, frozen=True):
    """A root and what rests on it: itself is not among its `models`."""

    name: str
    repo: RepoRow | None
    publisher: PublisherRow | None
    models: int
    verified: int
    declared: int
    downloads: int
    runs: int
    trend: tuple[int, ...]
    """Models that rested on it at the end of each of the report's months."""


class FoundationsReport(msgspec.Struct, frozen=True):
    """The whole answer. `models` counts everything in scope, `derived` what has a known root."""

    models: int
    derived: int
    contradicted: int
    pending: int
    downloads: int
    runs: int
    roots: tuple[RootShare, ...]
    months: tuple[int, ...]
    """Ends of the months of the trends, UTC milliseconds."""


class Foundations:
    """Makes the report."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def report(self, viewer: Viewer, account: str | None, now: int) -> FoundationsReport:
        """For the whole hub, or for what one account publishes. Raises NotFound."""
        query = ListQuery(type=RepoType.MODEL, sort="createdAt", ascending=True, limit=MAX_MODELS)
        with self._database.read() as connection:
            if account is not None and accounts.find_account(connection, account) is None:
                raise NotFound(f"There is no account {account[:96]!r}")
            models = listing.list_repos(connection, limited(viewer, query))
            visible = {repo.id: repo for repo in models}
            found = ties(lineage.all_edges(connection), visible)
            pending = lineage_status.count_pending(connection, list(visible)) if visible else 0
            scope = [repo for repo in models if account is None or repo.namespace.lower() == account.lower()]
            return self._count(connection, scope, visible, found, pending, now)

    def _count(
        self,
        connection: sa.Connection,
        scope: Sequence[RepoRow],
        visible: Mapping[int, RepoRow],
        found: list[Tie],
        pending: int,
        now: int,
    ) -> FoundationsReport:
        ancestry = Ancestry(found)
        months = tuple(now - _MONTH_MS * back for back in reversed(range(_MONTHS)))
        shares: dict[Key, _Share] = {}
        derived = 0
        for repo in scope:
            roots = ancestry.roots(repo.id)
            derived += bool(roots)
            for root in roots:
                shares.setdefault(root.key, _Share(months)).add(repo, root)
        declared = {tie.parent: tie.edge.declared_name for tie in reversed(found) if tie.edge.declared_name}
        names = {key: _name(key, visible, declared) for key in shares}
        profiles = publishers.find_publishers(connection, [name.split("/")[0] for name in names.values()])
        return FoundationsReport(
            models=len(scope),
            derived=derived,
            contradicted=sum(repo.lineage == "contradicted" for repo in scope),
            pending=pending,
            downloads=sum(repo.downloads for repo in scope),
            runs=sum(repo.runs for repo in scope),
            roots=tuple(
                sorted(
                    (
                        share.done(
                            names[key], _row(key, visible), profiles.get(names[key].split("/")[0].lower())
                        )
                        for key, share in shares.items()
                    ),
                    key=lambda share: (-share.models, -share.downloads, share.name),
                )
            ),
            months=months,
        )


class _Share:
    """What rests on one root, as it is counted."""

    def __init__(self, months: tuple[int, ...]) -> None:
        self._months = months
        self._numbers: Counter[str] = Counter()
        self._created: list[int] = []

    def add(self, repo: RepoRow, root: Root) -> None:
        self._numbers["models"] += 1
        self._numbers["verified" if root.verified else "declared"] += 1
        self._numbers["downloads"] += repo.downloads
        self._numbers["runs"] += repo.runs
        self._created.append(repo.created_at)

    def done(self, name: str, repo: RepoRow | None, publisher: PublisherRow | None) -> RootShare:
        numbers = self._numbers
        return RootShare(
            name,
            repo,
            publisher,
            models=numbers["models"],
            verified=numbers["verified"],
            declared=numbers["declared"],
            downloads=numbers["downloads"] + (repo.downloads if repo else 0),
            runs=numbers["runs"] + (repo.runs if repo else 0),
            trend=tuple(sum(at <= month for at in self._created) for month in self._months),
        )


def _row(key: Key, visible: Mapping[int, RepoRow]) -> RepoRow | None:
    return visible.get(key) if isinstance(key, int) else None


def _name(key: Key, visible: Mapping[int, RepoRow], declared: Mapping[Key, str]) -> str:
    return visible[key].repo_id if isinstance(key, int) else declared.get(key, key)
