"""An evidence record's numbers in words: labelled statistics with the rule they met, facts, and the layer chart.

Takes the plain dicts of a record, so that one written by an older method still reads: a name that is not known
here is shown under its own name, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from seedstock.web.filters import percent
from seedstock.web.views.evidence import LayerChartView, LayerView, StatisticView

_PARTS_OF_OTHERS = {"layers_a", "layers_b"}  # shown as the whole of `layers_mapped`


class _Word(msgspec.Struct, frozen=True):
    """How one statistic reads; `rule` names its threshold, which it must exceed, or stay under if `below`."""

    label: str
    meaning: str
    rule: str | None = None
    below: bool = False
    share: bool = False


_WORDS = {
    "layer_coverage": _Word(
        "Layers derived in place", "Of the shorter model’s layers", "layer_coverage", share=True
    ),
    "cosine_median": _Word("Cosine, median", "Of the same weights in both models", "derived_cosine"),
    "cosine_least": _Word("Cosine, least", "The matrix that agrees least"),
    "bit_distance": _Word("Bit distance", "Bits in which weights at the same place differ"),
    "rho": _Word("Size of the change", "As a share of the weights’ own size"),
    "unchanged": _Word("Unchanged values", "Values that are the same to the bit", share=True),
    "mlp_agreement": _Word(
        "Neuron agreement", "Neurons sent to the same place by two separate matchings", "mlp_agreement"
    ),
    "mlp_log10_p": _Word(
        "log₁₀ p of the agreement", "Chance of it among unrelated models", "mlp_log10_p", below=True
    ),
    "mlp_cosine": _Word("Cosine of matched neurons", "After matching"),
    "profile_cosine": _Word("Layer profiles", "Whatever the order of neurons", "profile_cosine"),
    "embedding_cosine": _Word("Token embeddings", "Never a verdict: independent models share their geometry"),
    "embedding_rotated": _Word("Token embeddings, best rotation", "On rows held out from the fit"),
}
_FACTS = {
    "shared_embeddings": "The token embeddings are identical.",
    "equal_shapes": "Every tensor has the same shape in both.",
    "equal_family": "Both are of the same architecture.",
}
_CHARTED = (
    ("cosine", "Cosine by layer", "derived_cosine"),
    ("mlp_agreement", "Neuron agreement by layer", "mlp_agreement"),
    ("derived_share", "Derived share by layer", "layer_coverage"),
)


def statistics_in_words(
    statistics: Mapping[str, Any], thresholds: Mapping[str, float]
) -> tuple[StatisticView, ...]:
    """Each statistic of a record as a row of the table."""
    return tuple(_rows(statistics, thresholds))


def _rows(statistics: Mapping[str, Any], thresholds: Mapping[str, float]) -> Iterator[StatisticView]:
    for name, value in statistics.items():
        word = _WORDS.get(name, _Word(name.replace("_", " ").capitalize(), ""))
        if name == "layers_mapped":
            sizes = [statistics[key] for key in sorted(_PARTS_OF_OTHERS) if key in statistics]
            whole = f" of {min(sizes)}" if sizes else ""
            yield StatisticView(
                "Layers mapped", f"{value}{whole}", meaning="In the same order in both models"
            )
        elif name not in _PARTS_OF_OTHERS:
            limit = thresholds.get(word.rule) if word.rule else None
            yield StatisticView(
                word.label,
                _shown(value, word),
                threshold=None
                if limit is None
                else f"{'below' if word.below else 'above'} {_shown(limit, word)}",
                holds=None if limit is None else _holds(value, limit, word),
                meaning=word.meaning,
            )


def _shown(value: Any, word: _Word) -> str:
    if isinstance(value, list | tuple):
        shown = sorted({_shown(item, word): item for item in value}.items(), key=lambda item: item[1])
        return "–" if not shown else (shown[0][0] if len(shown) == 1 else f"{shown[0][0]} to {shown[-1][0]}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if word.share:
        return percent(100 * value)
    return (f"{value:,}" if isinstance(value, int) else f"{value:.4g}").replace("-", "−")


def _holds(value: Any, limit: float, word: _Word) -> bool:
    """Of several layers most must hold."""
    values = [value] if isinstance(value, int | float) else list(value)
    met = sum((item < limit) if word.below else (item >= limit) for item in values)
    return bool(met * 2 > len(values))


def facts_in_words(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """What was noticed and is never a verdict; facts that are false say nothing."""
    sentences = [sentence for name, sentence in _FACTS.items() if facts.get(name) is True]
    share = facts.get("shared_tensor_share")
    if isinstance(share, float) and share > 0:
        sentences.append(f"{percent(100 * share)} of the bytes are in tensors that both share.")
    sizes = facts.get("vocabulary_a"), facts.get("vocabulary_b")
    if all(isinstance(size, int) and size for size in sizes) and sizes[0] != sizes[1]:
        sentences.append(f"The vocabularies differ in size: {sizes[0]:,} and {sizes[1]:,}.")
    return tuple(sentences)


def layer_chart_of(
    layers: Sequence[Mapping[str, Any]], thresholds: Mapping[str, float]
) -> LayerChartView | None:
    """The layers by the first measure that all of them have; None where none does."""
    for name, measure, rule in _CHARTED:
        if layers and all(isinstance(layer.get(name), int | float) for layer in layers):
            bars = tuple(_layer(at, layer, float(layer[name])) for at, layer in enumerate(layers))
            limit = thresholds.get(rule)
            label = "" if limit is None else f"derived from {limit:g} upwards"
            return LayerChartView(measure, bars, limit, label)
    return None


def _layer(at: int, layer: Mapping[str, Any], value: float) -> LayerView:
    own, other = layer.get("a"), layer.get("b")
    moved = other is not None and other != own
    return LayerView(str(at if own is None else own), value, f"layer {other}" if moved else None)
