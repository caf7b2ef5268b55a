"""Sample families: a small one that shows every kind of edge, and generated ones of any size."""

from __future__ import annotations

import random

from seedstock.web.views.evidence import Evidence
from seedstock.web.views.family import FamilyEdge, FamilyGraph, FamilyNode
from tests.web_preview.sample_repos import MODEL_ID, MODEL_URL

V, D, C, R = Evidence.VERIFIED, Evidence.DECLARED, Evidence.CONTRADICTED, Evidence.RELATED
COMMIT = "9f3c1d7a5be84460b2c1f07a6cfa44f1c0d9e2b3"


def node(id: int, repo: str, **rest: object) -> FamilyNode:
    here = rest.get("kind") != "elsewhere"
    known = (
        {"href": f"/{repo}", "commit": COMMIT, "licence": "Apache-2.0", "openness": "open-weight"}
        if here
        else {}
    )
    return FamilyNode(**({"id": id, "repo": repo} | known | rest))  # type: ignore[arg-type]


def edge(source: int, target: int, evidence: Evidence, relation: str, kind: str | None = None) -> FamilyEdge:
    verdicts = {V: "derived", C: "contradicted", R: "derived", D: None}
    record = None if evidence is D else f"ev{source:02}{target:02}a41c"
    href = f"{MODEL_URL}/evidence/{record}" if record else None
    return FamilyEdge(source, target, evidence, relation, verdicts[evidence], kind, record, href)


NODES = (
    node(0, "HuggingFaceTB/SmolLM2-135M", kind="elsewhere", origin="France"),
    node(1, str(MODEL_ID), parameters=134_515_008, downloads=48_213, likes=128, origin="Switzerland"),
    node(2, "demo/SmolLM2-135M-Instruct-GGUF", parameters=134_515_008, downloads=9120, origin="Switzerland"),
    node(3, "lab/countdown-grpo-135M", parameters=134_515_008, downloads=1204, openness="open-science"),
    node(4, "lab/clinic-notes-lora-r16", parameters=4_884_480, downloads=88, licence="CC-BY-NC-4.0"),
    node(5, "fieldworks/gardener-merge", parameters=134_515_008, downloads=310, origin="Kenya"),
    node(6, "fieldworks/botany-135M", parameters=134_515_008, downloads=77, origin="Kenya"),
    node(7, "ada/own-from-scratch-135M", parameters=134_515_008, downloads=1611, licence="MIT"),
    node(8, "bob/mystery-weights", parameters=134_515_008, downloads=12, licence=None, openness=None),
    node(9, "ada/pocket-smol-90M", parameters=90_112_000, downloads=402, licence="MIT"),
    node(
        10,
        "lab/countdown-grpo-135M-Q8_0-with-a-very-long-name-for-its-box",
        downloads=230,
        title="8-bit copy",
    ),
)
EDGES = (
    edge(0, 1, D, "finetune"),
    edge(1, 2, V, "quantized", "quantized"),
    edge(1, 3, V, "finetune", "finetune"),
    edge(1, 4, V, "adapter", "lora"),
    edge(1, 5, V, "merge", "merge"),
    edge(6, 5, V, "merge", "merge"),
    edge(0, 6, D, "finetune"),
    edge(1, 7, C, "finetune"),
    edge(1, 8, R, "related"),
    edge(1, 9, V, "pruned", "pruned"),
    edge(3, 10, V, "quantized", "quantized"),
)
FAMILY = FamilyGraph(focus=1, nodes=NODES, edges=EDGES)

_RELATIONS = (("finetune", 50), ("quantized", 25), ("adapter", 15), ("merge", 6), ("pruned", 4))
_LICENCES = ("Apache-2.0", "MIT", "CC-BY-NC-4.0", None)
_ORIGINS = ("France", "China", "Kenya", "United States", None)


def big_family(count: int, seed: int = 0) -> FamilyGraph:
    """A family of `count` models grown by preferential attachment: few popular parents, many leaves."""
    rng = random.Random(seed)
    nodes = [
        node(
            i,
            f"{rng.choice(('lab', 'ada', 'bob', 'fieldworks'))}/model-{i:05}",
            licence=rng.choice(_LICENCES),
            origin=rng.choice(_ORIGINS),
            parameters=rng.choice((134_515_008, 360_000_000, 1_710_000_000)),
            downloads=int(rng.paretovariate(0.7)) % 1_000_000,
        )
        for i in range(count)
    ]
    edges, popular = [], [0]
    for child in range(1, count):
        relation = rng.choices([name for name, _ in _RELATIONS], [weight for _, weight in _RELATIONS])[0]
        parents = {rng.choice(popular) for _ in range(2 if relation == "merge" else 1)}
        for parent in parents:
            evidence = rng.choices((V, D, C, R), (62, 28, 4, 6))[0]
            edges.append(edge(parent, child, evidence, "related" if evidence is R else relation))
        popular += [*parents] * 2 + ([child] if rng.random() < 0.3 else [])
    return FamilyGraph(focus=0, nodes=tuple(nodes), edges=tuple(edges))
