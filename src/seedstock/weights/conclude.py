"""From what was measured to a verdict and its reason. Every way to "derived" or "partial" leads through here."""

from __future__ import annotations

import msgspec
import numpy as np

from seedstock.weights import thresholds
from seedstock.weights.aligned import Aligned
from seedstock.weights.comparison import (
    MAX_LAYER_ROWS,
    MAX_SHARED_NAMES,
    Comparison,
    LayerEvidence,
    Statistic,
    Verdict,
)
from seedstock.weights.equality import Pair, equal_bytes
from seedstock.weights.evidence import Evidence, Model, derived_share, mlp_compared, mostly_comparable
from seedstock.weights.kinds import type_relation


def conclude(a: Model, b: Model, evidence: Evidence, shared: list[Pair]) -> Comparison:
    """Decide; all figures go into the answer whatever it is."""
    result = _decide(a, b, evidence, shared)
    return msgspec.structs.replace(
        result, statistics=statistics_of(evidence) | result.statistics, per_layer=_per_layer(evidence)
    )


def _decide(a: Model, b: Model, evidence: Evidence, shared: list[Pair]) -> Comparison:
    if not evidence.finite:
        return Comparison(Verdict.INCONCLUSIVE, "Weights hold NaN or infinite values")
    found = [match.status for match in evidence.matches]
    matched = found.count("derived") * 2 > len(found) and not _only_mlp_in_place(a, b, evidence)
    covered = evidence.coverage >= thresholds.LAYER_COVERAGE
    whole = mlp_compared(a, b) and mostly_comparable(a, b, evidence.values)
    if (covered and whole) or matched:
        return _derived(a, b, evidence, shared)
    if evidence.touched_layers:
        return Comparison(
            Verdict.PARTIAL,
            f"Weights in {len(evidence.touched_layers)} of {evidence.shorter} layers agree in place;"
            " for the rest no relation is shown",
            shared_tensors=_derived_names(evidence)[:MAX_SHARED_NAMES],
        )
    return _unrelated_body(a, b, evidence, shared)


def _only_mlp_in_place(a: Model, b: Model, evidence: Evidence) -> bool:
    """Whether MLPs agree in place and attention does not: a part of another model, not a reordered one."""
    derived = [match for match in evidence.matches if match.status == "derived"]
    unrelated = any(pair.status == "none" for pairs in evidence.aligned.values() for pair in pairs)
    in_place = bool(derived) and all(match.moved < 0.1 for match in derived) and mlp_compared(a, b)
    return in_place and unrelated and bool(evidence.touched_layers)


def _derived(a: Model, b: Model, evidence: Evidence, shared: list[Pair]) -> Comparison:
    typed = type_relation(a, b, evidence)
    layers = max(len(evidence.derived_layers), 0)
    where = f"{layers} of {evidence.shorter} layers agree" if layers else "MLP neurons match one to one"
    return Comparison(
        Verdict.DERIVED,
        f"{where}: {typed.reason}",
        kind=typed.kind,
        direction=typed.direction,
        statistics=typed.statistics,
        shared_tensors=tuple(left for left, _ in shared)[:MAX_SHARED_NAMES],
    )


def _unrelated_body(a: Model, b: Model, evidence: Evidence, shared: list[Pair]) -> Comparison:
    doubt = _doubt(evidence)
    if doubt:
        return Comparison(Verdict.INCONCLUSIVE, doubt)
    names = _shared_outside(a, b, shared)
    cosine = evidence.embeddings.cosine if evidence.embeddings else 0.0
    if names:
        return Comparison(
            Verdict.PARTIAL,
            "Embeddings are byte for byte the same; the layers show no relation",
            shared_tensors=names,
        )
    if cosine >= thresholds.EMBEDDING_COSINE and a.layout.embedding is not None:
        return Comparison(
            Verdict.PARTIAL,
            "Embeddings agree in place; the layers show no relation",
            shared_tensors=(a.layout.embedding.name,),
        )
    if cosine >= thresholds.EMBEDDING_UNRELATED:
        return Comparison(Verdict.INCONCLUSIVE, "Embeddings agree in part; the layers show no relation")
    return Comparison(
        Verdict.NONE, "Neither weights in place nor neurons in any order agree: no evidence of derivation"
    )


def _doubt(evidence: Evidence) -> str | None:
    """Why the absence of a relation between layers cannot be claimed."""
    if evidence.values:
        return "Some layers agree weakly, too little to tell a relation from chance"
    if not evidence.matches:
        return "No layer could be compared: sizes or values do not allow it"
    if any(match.status != "none" for match in evidence.matches):
        return "Neurons of some layers match better than chance, too few to decide"
    return None


def _shared_outside(a: Model, b: Model, shared: list[Pair]) -> tuple[str, ...]:
    """Embedding and head that are the same in both, read in full."""
    wanted = {slot.name for slot in (a.layout.embedding, a.layout.head) if slot is not None}
    return tuple(
        left
        for left, right in shared
        if left in wanted and equal_bytes(a.checkpoint, left, b.checkpoint, right)
    )


def _derived_names(evidence: Evidence) -> tuple[str, ...]:
    return tuple(
        pair.a for key in evidence.values for pair in evidence.aligned[key] if pair.status == "derived"
    )


def statistics_of(evidence: Evidence) -> dict[str, Statistic]:
    """The figures of the comparison as plain numbers."""
    pairs = [
        pair for found in evidence.aligned.values() for pair in found if pair.finite and not pair.constant
    ]
    figures: dict[str, Statistic] = {
        "layers_a": evidence.layers_a,
        "layers_b": evidence.layers_b,
        "layers_mapped": len(evidence.values),
        "layer_coverage": evidence.coverage,
    }
    if pairs:
        figures |= {
            "cosine_median": _median(pairs, "cosine"),
            "cosine_least": min(pair.cosine for pair in pairs),
            "bit_distance": _median(pairs, "bit_distance"),
            "rho": _median(pairs, "rho"),
            "unchanged": _median(pairs, "unchanged"),
        }
    if evidence.matches:
        figures |= {
            "mlp_agreement": [round(match.agreement, 4) for match in evidence.matches],
            "mlp_log10_p": [round(match.log10_p, 2) for match in evidence.matches],
            "mlp_cosine": [round(match.cosine, 4) for match in evidence.matches],
        }
    if evidence.profiles.size:
        figures["profile_cosine"] = float(evidence.profiles.max())
    if evidence.embeddings is not None:
        figures["embedding_cosine"] = evidence.embeddings.cosine
        figures["embedding_rotated"] = evidence.embeddings.held_out
    return figures


def _median(pairs: list[Aligned], name: str) -> float:
    return float(np.median([getattr(pair, name) for pair in pairs]))


def _per_layer(evidence: Evidence) -> tuple[LayerEvidence, ...]:
    rows = []
    matches = {(match.a, match.b): match for match in evidence.matches}
    for key in sorted({*evidence.values, *matches}):
        pairs = [pair for pair in evidence.aligned.get(key, []) if pair.finite and not pair.constant]
        match = matches.get(key)
        share = derived_share(pairs)
        status = "derived" if share >= thresholds.LAYER_COVERAGE else "unclear"
        if match is not None and share < thresholds.LAYER_COVERAGE:
            status = match.status
        rows.append(
            LayerEvidence(
                key[0], key[1], status,
                cosine=_median(pairs, "cosine") if pairs else None,
                derived_share=share if pairs else None,
                mlp_agreement=match.agreement if match else None,
            )
        )  # fmt: skip
    return tuple(rows[:MAX_LAYER_ROWS])
