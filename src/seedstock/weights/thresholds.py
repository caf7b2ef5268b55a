"""Every threshold of the comparison, in one place, with the margin it was set by (docs/formats/evidence.md)."""

from __future__ import annotations

# Cosine of weights at equal places. Related: 0.82 (long fine-tune) to 1.0; unrelated, best of all layers: 0.071.
DERIVED_COSINE = 0.5
UNRELATED_COSINE = 0.1
# Gain of the layer alignment starts here.
MAP_COSINE = 0.2
# Cosine of layer profiles: 0.77 and more for relatives in any neuron order; unrelated: up to 0.44. Only a shortlist.
PROFILE_COSINE = 0.5
# Share of the shorter model's layers (and of their weights) that must be derived for the verdict "derived".
LAYER_COVERAGE = 0.8
# Share of a layer's weights that must be comparable in place, else only a part of the model was looked at.
COMPARABLE = 0.5
# MLP match: share of sampled neurons that two separate assignments send to the same place. Related: 0.98 and more.
# Unrelated models: up to 0.055; neighbouring layers of one real model: up to 0.19.
MLP_AGREEMENT = 0.5
MLP_LOG10_P = -6.0
NULL_AGREEMENT = 0.08
# Five layers of some hundred pairs are tested: one in a thousand is to be expected among unrelated ones.
NULL_LOG10_P = -5.0
# Embedding rows at equal places. Unrelated: below 0.06.
EMBEDDING_COSINE = 0.9
EMBEDDING_UNRELATED = 0.2
# Held-out similarity of embeddings after the best rotation; above, the rotation is tried. Unrelated: up to 0.56.
ROTATION = 0.3
# Share of sampled values that quantising the float model would not have given; the true source: 0.
CERTAIN_MISMATCH = 0.001

ALL = {
    name.lower(): value
    for name, value in dict(globals()).items()
    if name.isupper() and isinstance(value, float)
}

# What is known of the method, from the half of `make bench-lineage` that no threshold was set on. The bound is
# Clopper-Pearson's, one-sided, 95 %, for independent pairs, which pairs within a family are not quite.
ERROR_RATE: dict[str, str | int | float] = {
    "text": "0 of 286 pairs of unrelated models were called related in the test half of the lineage benchmark;"
    " with 95% confidence at most 1.04% are",
    "false_relations": 0,
    "unrelated_pairs": 286,
    "upper_bound": 0.0104,
    "measured_on": "test half of make bench-lineage; see docs/benchmarks.md",
}
