"""Gathers the facts that openness and licences are judged by: of a model and of all that it is built on.

What the viewer may not see is an `Unknown` by the name that a card gives it, as if this hub did not have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from seedstock.core.clock import iso
from seedstock.core.errors import RepoNotFound
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.db import publishers, refs
from seedstock.db.engine import Database
from seedstock.db.publishers import PublisherRow
from seedstock.db.repos import RepoRow
from seedstock.hub.listing import Listing
from seedstock.lineage.graph import Ancestry as Ways
from seedstock.lineage.graph import Key, Support, Tie
from seedstock.lineage.revisions import ModelRevision, ModelRevisions
from seedstock.lineage.service import Lineage
from seedstock.metadata.card import parse_card, texts
from seedstock.openness.facts import (
    Ancestry,
    Dataset,
    Edge,
    Evidence,
    File,
    ModelFacts,
    Node,
    Publisher,
    Recipe,
    Relation,
    Unknown,
)
from seedstock.openness.licence_text import is_licence_file

MAX_LICENCE_BYTES = 256 << 10
_MAX_LICENCE_FILES = 8
_KINDS = {
    "finetune": Relation.FINETUNE,
    "lora": Relation.FINETUNE,
    "merge": Relation.MERGE,
    "pruned": Relation.PRUNED,
    "quantized": Relation.QUANTIZED,
    "permuted": Relation.PERMUTED,
    "adapter": Relation.ADAPTER,
}
_EVIDENCE = {
    Support.VERIFIED: Evidence.VERIFIED,
    Support.DECLARED: Evidence.DECLARED,
    Support.CONTRADICTED: Evidence.CONTRADICTED,
}


ReadRecipe = Callable[[Viewer, ModelRevision], Recipe | None]
"""What the recipe of a revision shows a viewer."""


class Gathering:
    """Reads facts from the hub for a viewer."""

    def __init__(
        self,
        database: Database,
        revisions: ModelRevisions,
        lineage: Lineage,
        listing: Listing,
        read_recipe: ReadRecipe,
    ) -> None:
        self._database = database
        self._revisions = revisions
        self._lineage = lineage
        self._listing = listing
        self._read_recipe = read_recipe

    def ancestry(self, viewer: Viewer, repo_id: RepoId, revision: str = "main") -> tuple[RepoRow, Ancestry]:
        """A model and its ancestors. Raises RepoNotFound, RevisionNotFound."""
        found = self._lineage.ancestors(viewer, repo_id, revision)
        nodes: dict[str, Node] = {
            _key(number): self._facts(
                viewer, repo, found.commit if number == found.repo.id else repo.head_oid
            )
            for number, repo in found.visible.items()
        }
        if not isinstance(nodes[_key(found.repo.id)], ModelFacts):  # deleted since the family was read
            raise RepoNotFound
        edges, walk = [], Ways(found.ties)
        for tie in found.ties:
            if tie.support not in _EVIDENCE:
                continue
            for end in (tie.parent, tie.child):
                if isinstance(end, str):
                    nodes.setdefault(_key(end), Unknown(tie.edge.declared_name or end))
            # Of weights that the parent has replaced since, nothing is inherited that the parent inherits now.
            replaced = tie.support is Support.VERIFIED and not walk.leads_on(tie)
            edges.append(_edge(tie, Evidence.DECLARED if replaced else _EVIDENCE[tie.support]))
        return found.repo, Ancestry(_key(found.repo.id), nodes, tuple(edges))

    def _facts(self, viewer: Viewer, repo: RepoRow, commit: str) -> ModelFacts | Unknown:
        revision = self._revisions.find(repo.id, commit)
        if revision is None:
            return Unknown(repo.repo_id)
        readme = self._revisions.find_bytes(revision, "README.md")
        with self._database.read() as connection:
            profile = publishers.find_publishers(connection, [repo.namespace]).get(repo.namespace.lower())
            names = tuple(ref.name for ref in refs.list_refs(connection, repo.id))
        return ModelFacts(
            repo=repo.repo_id,
            commit=commit,
            metadata=revision.metadata,
            card_body=parse_card(readme).body if readme else "",
            files=tuple(File(entry.path, entry.size_bytes, entry.digest) for entry in revision.entries),
            licence_texts=self._licence_texts(revision),
            private=repo.private,
            publisher=_publisher(profile),
            datasets=self._datasets(viewer, revision),
            recipe=self._read_recipe(viewer, revision),
            refs=names,
            released_at=iso(repo.created_at),
        )

    def _licence_texts(self, revision: ModelRevision) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for entry in revision.entries:
            if len(found) < _MAX_LICENCE_FILES and is_licence_file(entry.path):
                raw = self._revisions.find_bytes(revision, entry.path, MAX_LICENCE_BYTES)
                if raw is not None:
                    found[entry.path] = raw.decode("utf-8", "replace")
        return found

    def _datasets(self, viewer: Viewer, revision: ModelRevision) -> tuple[Dataset, ...]:
        names = texts(revision.metadata.card_data, "datasets")[:64]
        here = self._listing.named(viewer, RepoType.DATASET, names)
        return tuple(_dataset(name, here.get(name), self._revisions) for name in names)


def _dataset(name: str, repo: RepoRow | None, revisions: ModelRevisions) -> Dataset:
    if repo is None:
        return Dataset(name)
    found = revisions.find(repo.id)
    paths = {entry.path for entry in found.entries} if found else set()
    return Dataset(
        name=repo.repo_id,
        resolves=True,
        has_card=bool(found and found.metadata.card_data),
        license=found.metadata.licenses[0] if found and found.metadata.licenses else repo.license,
        gated=repo.gated is not None,
        has_code=any(path.endswith(".py") for path in paths),
        url=f"/{repo.url_path}",
    )


def _key(key: Key) -> str:
    return str(key)


def _edge(tie: Tie, evidence: Evidence) -> Edge:
    row = tie.edge
    relation = Relation.IDENTICAL if tie.verdict == "identical" else None
    kind = row.kind if tie.known else None
    return Edge(
        child=_key(tie.child),
        parent=_key(tie.parent),
        relation=relation or _KINDS.get(kind or row.declared or "", Relation.FINETUNE),
        evidence=evidence,
        verdict=tie.verdict,
        record=str(row.id) if tie.verdict is not None else None,
    )


def _publisher(profile: PublisherRow | None) -> Publisher | None:
    return None if profile is None else Publisher(profile.organisation, profile.country, profile.source)
