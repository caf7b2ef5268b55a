"""How open a model is, under which terms, and its bill of materials, as far as a viewer may know."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from seedstock.core.clock import Clock
from seedstock.core.errors import HubError
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import ANONYMOUS, Viewer
from seedstock.db import lineage as edges
from seedstock.db import repos
from seedstock.db.engine import Database
from seedstock.db.repos import RepoRow
from seedstock.hub.repos import repo_id_of
from seedstock.openness.bom import cyclonedx_bom
from seedstock.openness.facts import Ancestry, ModelFacts
from seedstock.openness.gathering import Gathering
from seedstock.openness.score import Badge, Openness, grade
from seedstock.openness.spdx_bom import spdx_bom

OPEN_SCIENCE = "open-science"


class Graded(msgspec.Struct, frozen=True):
    """A model's grade, and what it was given for."""

    repo: RepoRow
    ancestry: Ancestry
    openness: Openness

    @property
    def model(self) -> ModelFacts:
        """The facts of the model itself."""
        return self.ancestry.model

    @property
    def badge(self) -> str | None:
        """The grade in one word; None without weights."""
        return badge(self.openness)


def badge(openness: Openness) -> str | None:
    """The grade in one word, for lists; None without weights."""
    if openness.open_science:
        return OPEN_SCIENCE
    return None if openness.weights is Badge.NO_WEIGHTS else openness.weights.value


class OpennessService:
    """Grades and bills."""

    def __init__(self, database: Database, gathering: Gathering, clock: Clock) -> None:
        self._database = database
        self._gathering = gathering
        self._clock = clock

    def grade(self, viewer: Viewer, repo_id: RepoId, revision: str = "main") -> Graded:
        """Grade a model at a revision. Raises RepoNotFound, RevisionNotFound."""
        repo, ancestry = self._gathering.ancestry(viewer, repo_id, revision)
        return Graded(repo, ancestry, grade(ancestry))

    def cyclonedx(self, graded: Graded, hub_url: str) -> dict[str, Any]:
        """The CycloneDX bill of a graded model."""
        return cyclonedx_bom(graded.ancestry, graded.openness, made_at=self._now(), hub_url=hub_url)

    def spdx(self, graded: Graded, hub_url: str) -> dict[str, Any]:
        """The SPDX bill of a graded model."""
        return spdx_bom(graded.ancestry, graded.openness, made_at=self._now(), hub_url=hub_url)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock() // 1000, UTC)

    def file_badge(self, repo_id: int) -> set[int]:
        """Set the badge that lists show; the children whose badges may follow, if it changed.

        It says what a stranger would be told; of a private repo, what its own people are told.
        """
        with self._database.read() as connection:
            repo = repos.find_repo_by_id(connection, repo_id)
        if repo is None or repo.type != RepoType.MODEL:
            return set()
        viewer = Viewer(account_id=repo.namespace_id, name=repo.namespace) if repo.private else ANONYMOUS
        try:
            found = self.grade(viewer, repo_id_of(repo)).badge
        except HubError:  # renamed or deleted meanwhile
            return set()
        if found == repo.openness:
            return set()
        with self._database.write() as connection:
            repos.update_repo(connection, repo_id, openness=found)
            return {edge.repo_id for edge in edges.edges_to(connection, repo_id) if edge.role == "parent"}
