"""What is judged: plain facts of models and of the ties between them, gathered by whoever asks.

Nothing here reads a store or a database. A parent that lies outside the hub, or that the caller may not see,
is an `Unknown`; node keys are the caller's own and are never printed, so they may name what must stay hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from seedstock.metadata.summary import RepoMetadata


class Relation(StrEnum):
    """How a child comes from its parent; `distilled` passes on outputs, all others pass on weights."""

    FINETUNE = "finetune"
    ADAPTER = "adapter"
    MERGE = "merge"
    QUANTIZED = "quantized"
    PRUNED = "pruned"
    PERMUTED = "permuted"
    IDENTICAL = "identical"
    DISTILLED = "distilled"


class Evidence(StrEnum):
    """What stands behind an edge."""

    DECLARED = "declared"
    VERIFIED = "verified"
    CONTRADICTED = "contradicted"


class File(msgspec.Struct, frozen=True):
    """One file of the commit; `sha256` is of its plain bytes, None where the hub has none."""

    path: str
    size_bytes: int
    sha256: str | None = None


class Publisher(msgspec.Struct, frozen=True):
    """Who publishes, as their profile states it; `source` is where it is stated."""

    organisation: str
    country: str | None = None
    source: str | None = None


class Dataset(msgspec.Struct, frozen=True):
    """A data set that a card or recipe names, and what this hub knows of it.

    `license` is the hub tag or SPDX expression of the data set's own card.
    """

    name: str
    resolves: bool = False
    has_card: bool = False
    license: str | None = None
    gated: bool = False
    has_code: bool = False
    evaluates: bool = False
    url: str | None = None


class Replication(StrEnum):
    """The strongest outcome that a run record of this recipe gives."""

    NONE = "none"
    FUNCTIONAL = "functional"
    WITHIN_TOLERANCE = "within-tolerance"
    BIT_EXACT = "bit-exact"


class Recipe(msgspec.Struct, frozen=True):
    """`recipe.toml`: whether every reference in it resolves on this hub, and the operations of its stages."""

    resolves: bool = False
    operations: tuple[str, ...] = ()
    evaluation_data_resolves: bool = False
    has_generator: bool = False
    digest: str | None = None
    replication: Replication = Replication.NONE
    independent: bool = False


class Confirmation(msgspec.Struct, frozen=True):
    """A person's word that an openness component is there, where to see it, and its licence if they say."""

    by: str
    link: str
    license: str | None = None


class ModelFacts(msgspec.Struct, frozen=True):
    """One commit of a model repo. `licence_texts` holds LICENSE*, NOTICE*, USE_POLICY*, cut at 256 KiB each."""

    repo: str
    commit: str
    metadata: RepoMetadata
    type: str = "models"
    card_body: str = ""
    files: tuple[File, ...] = ()
    licence_texts: Mapping[str, str] = {}
    private: bool = False
    publisher: Publisher | None = None
    datasets: tuple[Dataset, ...] = ()
    readable_name: str | None = None
    recipe: Recipe | None = None
    refs: tuple[str, ...] = ()
    confirmations: Mapping[int, Confirmation] = {}
    released_at: str | None = None

    @property
    def name(self) -> str:
        """What people call it: the readable name, else the repo's own without its owner."""
        return self.readable_name or self.repo.rsplit("/", 1)[-1]


class Unknown(msgspec.Struct, frozen=True):
    """A parent that is outside the hub or may not be seen; `name` is None where even that may not be told."""

    repo: str | None = None

    @property
    def name(self) -> str:
        """The name where it may be told."""
        return self.repo.rsplit("/", 1)[-1] if self.repo else "a model that is not known here"


Node = ModelFacts | Unknown


class Edge(msgspec.Struct, frozen=True):
    """Child to parent, by node key; `record` names the evidence record, `verdict` is its word for the tie."""

    child: str
    parent: str
    relation: Relation = Relation.FINETUNE
    evidence: Evidence = Evidence.DECLARED
    verdict: str | None = None
    record: str | None = None


class Ancestry(msgspec.Struct, frozen=True):
    """A model and all that it is built on, as far as is known. A key without a node counts as unknown."""

    root: str
    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...] = ()

    @property
    def model(self) -> ModelFacts:
        """The model in question."""
        node = self.nodes[self.root]
        assert isinstance(node, ModelFacts)
        return node

    def node(self, key: str) -> Node:
        """The node of a key."""
        return self.nodes.get(key, Unknown())

    def parents(self) -> dict[str, list[Edge]]:
        """Edges by child, in a fixed order. A declaration that the weights contradict is not among them twice."""
        refuted = {(edge.child, edge.parent) for edge in self.edges if edge.evidence is Evidence.CONTRADICTED}
        found: dict[str, list[Edge]] = {}
        for edge in sorted(self.edges, key=_order):
            if edge.evidence is not Evidence.DECLARED or (edge.child, edge.parent) not in refuted:
                found.setdefault(edge.child, []).append(edge)
        return found


def alone(model: ModelFacts) -> Ancestry:
    """The ancestry of a model of which no parent is known or declared."""
    return Ancestry("model", {"model": model})


def _order(edge: Edge) -> tuple[str, ...]:
    return (edge.child, edge.parent, edge.relation, edge.evidence, edge.record or "")
