"""What openness asks of a recipe: whether everything in it resolves here, and the strongest replication of it."""

from __future__ import annotations

from collections.abc import Sequence

from seedstock.core.errors import HubError
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.db import replications as rows
from seedstock.db.engine import Database
from seedstock.db.replications import ReplicationRow
from seedstock.hub.reading import Reading
from seedstock.lineage.revisions import ModelRevision, ModelRevisions
from seedstock.openness import facts
from seedstock.openness.facts import Replication
from seedstock.recipes.parts import published_stages
from seedstock.recipes.reading import read_recipe, recipe_digest
from seedstock.recipes.recipe import DatasetInput, GeneratorInput, Input, ModelInput, Recipe
from seedstock.recipes.verdict import REPRODUCED, Verdict

_LOOKED_AT = 200
_ORDER = (Replication.NONE, Replication.FUNCTIONAL, Replication.WITHIN_TOLERANCE, Replication.BIT_EXACT)


class RecipeFacts:
    """Reads recipes for a viewer."""

    def __init__(self, database: Database, reading: Reading, revisions: ModelRevisions) -> None:
        self._database = database
        self._reading = reading
        self._revisions = revisions

    def read(self, viewer: Viewer, revision: ModelRevision) -> facts.Recipe | None:
        """What the recipe of a revision shows; None where there is none. One that is wrong resolves to nothing."""
        raw = self._revisions.find_bytes(revision, "recipe.toml")
        if raw is None:
            return None
        try:
            recipe = read_recipe(raw, complete=False)
        except HubError:
            return facts.Recipe()
        with self._database.read() as connection:
            found = rows.list_replications(connection, revision.repo.id, _LOOKED_AT)
        digest = recipe_digest(recipe)
        outcome, independent = _weakest(
            [row for row in found if row.commit == revision.commit_oid], _published(recipe, revision)
        )
        data = {claim.eval.data for claim in recipe.claim}
        resolved = {name: self._resolves(viewer, revision, item) for name, item in recipe.inputs.items()}
        return facts.Recipe(
            resolves=all(resolved.values()),
            operations=_operations(recipe),
            evaluation_data_resolves=bool(data) and all(resolved[name] for name in data),
            has_generator=any(isinstance(item, GeneratorInput) for item in recipe.inputs.values()),
            digest=digest,
            replication=outcome,
            independent=independent,
        )

    def _resolves(self, viewer: Viewer, revision: ModelRevision, item: Input) -> bool:
        if not isinstance(item, ModelInput | DatasetInput):
            return any(
                entry.path == item.file or entry.path.startswith(f"{item.file}/")
                for entry in revision.entries
            )
        kind = RepoType.MODEL if isinstance(item, ModelInput) else RepoType.DATASET
        try:
            self._reading.repo_at(viewer, RepoId(kind, *item.ref.split("/")), item.revision)
        except HubError:
            return False
        return True


def _operations(recipe: Recipe) -> tuple[str, ...]:
    """Of the stages; a claim is an evaluation."""
    found = [stage.op for stage in recipe.stage.values()]
    return tuple(dict.fromkeys([*found, *(["eval"] if recipe.claim else [])]))


def _published(recipe: Recipe, revision: ModelRevision) -> list[str]:
    held = {entry.path for entry in revision.entries if not entry.is_tree}
    try:
        return published_stages(recipe, revision.repo.repo_id, held)
    except HubError:
        return []


def _weakest(found: list[ReplicationRow], stages: Sequence[str]) -> tuple[Replication, bool]:
    """Of what each stage that made a part of the repo was shown to do, the least; and whether two people had it."""
    each = [_strongest([row for row in found if row.stage == stage]) for stage in stages]
    outcomes = [outcome for outcome, _ in each] or [Replication.NONE]
    return min(outcomes, key=_ORDER.index), bool(each) and all(independent for _, independent in each)


def _strongest(found: list[ReplicationRow]) -> tuple[Replication, bool]:
    """The strongest outcome of one stage, and whether two people had it."""
    best, people = Replication.NONE, set()
    for row in found:
        outcome = _outcome(row)
        if _ORDER.index(outcome) > _ORDER.index(best):
            best = outcome
        if outcome in {Replication.WITHIN_TOLERANCE, Replication.BIT_EXACT}:
            people.add(row.ran_by)
    return best, len(people) >= 2


def _outcome(row: ReplicationRow) -> Replication:
    if row.verdict in {Verdict.FAILED, Verdict.NO_LEARNING}:
        return Replication.NONE
    if row.smoke or row.verdict not in REPRODUCED:
        return Replication.FUNCTIONAL
    return Replication.BIT_EXACT if row.verdict == Verdict.BIT_EXACT else Replication.WITHIN_TOLERANCE
