"""Toy models for the openness tests."""

from __future__ import annotations

from typing import Any

from seedstock.metadata.summary import RepoMetadata
from seedstock.metadata.tags import BaseModels
from seedstock.metadata.weights import HeaderPanel
from seedstock.openness.facts import Ancestry, Edge, Evidence, File, ModelFacts, Node, Relation

COMMIT = "a" * 40
MIT = (
    "MIT License\n\nCopyright (c) 2025 Ada\n\nPermission is hereby granted, free of charge, to any person obtaining a"
    " copy\nof this software ... subject to the following conditions:\n\nThe above copyright notice and this permission"
    ' notice shall be included in all\ncopies or substantial portions of the Software.\n\nTHE SOFTWARE IS PROVIDED "AS'
    ' IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED.\n'
)
APACHE = (
    "                                 Apache License\n                           Version 2.0, January 2004\n"
    "   TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION\n   3. Grant of Patent License. ...\n"
    "   4. Redistribution. ...\n"
)
LLAMA31 = (
    "LLAMA 3.1 COMMUNITY LICENSE AGREEMENT\nLlama 3.1 Version Release Date: July 23, 2024\n"
    "“Llama Materials” means ...\n2. Additional Commercial Terms. ... 700 million monthly active users ...\n"
)
LLAMA31_NOTICE = "Llama 3.1 is licensed under the Llama 3.1 Community License, Copyright © Meta Platforms, Inc. All Rights Reserved."
SENTENCES = (
    "This model answers arithmetic puzzles written as short text and was built to study search by language models.",
    "It must not be used for decisions about people, and it fails outside the narrow task that it was trained for.",
    "Numbers above thirty confuse it, long prompts are cut, and greedy decoding repeats failed attempts endlessly.",
    "Training took a foundation of correct equations, then a cold start of six hundred traces, then group rewards.",
    "Every update used sixteen questions with sixteen samples each, a constant rate and no learned value network.",
    "We measured sampled accuracy over three hundred held out puzzles, with eight samples for every single item.",
    "The interval spans about two points either side; seeds differ by somewhat more than that in our experience.",
    "Reviewers may regenerate all figures with the recipe beside this card, given ten minutes and one processor.",
)
CARD = "\n".join(
    [
        "# Toy", "", "## Intended use", "", SENTENCES[0], SENTENCES[1], "", "## Limitations", "", SENTENCES[2], "",
        "## Training", "", SENTENCES[3], SENTENCES[4], "", "## Evaluation", "", *SENTENCES[5:], "",
        "```python", "from transformers import AutoModelForCausalLM", "m = AutoModelForCausalLM.from_pretrained('x')",
        "```", "", "Trained on the weights of nobody in particular; " + " ".join(SENTENCES[::-1]),
    ]
)  # fmt: skip


def model(repo: str = "lab/toy", licence: str | list[str] | None = None, **fields: Any) -> ModelFacts:
    """A model with a card that declares `licence`; `metadata` and `card` fields may be given as mappings."""
    card = dict(fields.pop("card", {}))
    if licence is not None:
        card["license"] = licence
    metadata = RepoMetadata(card_data=card, **fields.pop("metadata", {}))
    return ModelFacts(repo, COMMIT, metadata, **fields)


def weights(
    path: str = "model.safetensors", size_bytes: int = 4096, parameters: int = 1000
) -> dict[str, Any]:
    """The metadata and files of a model that has one readable weight file."""
    panel = HeaderPanel(path, "safetensors", size_bytes, parameters, {"F32": parameters}, 1)
    return {"metadata": {"panels": (panel,)}, "files": (File(path, size_bytes, "ab" * 32),)}


def chain(
    *nodes: Node, evidence: Evidence = Evidence.VERIFIED, relation: Relation = Relation.FINETUNE
) -> Ancestry:
    """Each node built on the next."""
    edges = tuple(
        Edge(str(n), str(n + 1), relation, evidence, record=f"record-{n}") for n in range(len(nodes) - 1)
    )
    return Ancestry("0", {str(n): node for n, node in enumerate(nodes)}, edges)


def bases(*names: str) -> BaseModels:
    return BaseModels("finetune", names)
