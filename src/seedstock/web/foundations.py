"""From counts of roots to the foundations report: shares, sentences, bars.

A model that merges two roots counts once for each; shares of models therefore may sum to more than 100.
Countries are only ever those that publishers state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from seedstock.web.filters import share
from seedstock.web.views.common import Choice, Fact, Link
from seedstock.web.views.foundations import (
    BarView,
    FoundationsPage,
    Measure,
    OriginView,
    RootRowView,
    SegmentView,
    TrendView,
)

TONES = 4  # roots with a colour of their own; the rest share the next one
_WORDS = {Measure.MODELS: "Models", Measure.DOWNLOADS: "Downloads", Measure.USE: "Use on this hub"}
_SHOWN_IN_BAR = 6


class RootCount(msgspec.Struct, frozen=True):
    """A root and what rests on it, as a service counts: itself is not among its `models`.

    `verified`, `declared` and `contradicted` split `models` by the weakest edge of their best path to it.
    `downloads` and `use` are sums over those models and the root.
    """

    name: str
    publisher: str
    models: int
    downloads: int = 0
    use: int = 0
    verified: int = 0
    declared: int = 0
    contradicted: int = 0
    href: str | None = None
    publisher_href: str | None = None
    origin: OriginView = OriginView()
    licence: str | None = None

    def value(self, measure: Measure) -> int:
        """The number that a share is taken of."""
        return {Measure.MODELS: self.models, Measure.DOWNLOADS: self.downloads, Measure.USE: self.use}[
            measure
        ]


class Totals(msgspec.Struct, frozen=True):
    """Of everything in scope: all models, those with a known root, and their downloads and use."""

    models: int
    derived: int
    downloads: int = 0
    use: int = 0
    pending: int = 0


def report(
    roots: Iterable[RootCount],
    totals: Totals,
    *,
    measure: Measure = Measure.MODELS,
    scope: Link | None = None,
    base: str = "/foundations",
    trend: TrendView | None = None,
) -> FoundationsPage:
    """The whole page; `base` is its address without a query, `scope` None for the hub."""
    ordered = sorted(roots, key=lambda root: (-root.value(measure), -root.models, root.name))
    whole = sum(root.value(measure) for root in ordered)
    rows = tuple(_row(root, at, measure, whole) for at, root in enumerate(ordered))
    return FoundationsPage(
        headline=_headline(ordered, totals, scope),
        lead=_lead(ordered),
        measures=tuple(
            Choice(_WORDS[other], base if other is Measure.MODELS else f"{base}?by={other}", other is measure)
            for other in Measure
        ),
        measure=measure,
        scope=scope,
        figures=(
            Fact("Models", f"{totals.models:,}"),
            Fact("Built on another", f"{totals.derived:,}"),
            Fact("Roots in use", f"{sum(root.models > 0 for root in ordered):,}"),
            Fact("Stated countries", f"{len({r.origin.country for r in ordered if r.origin.country}):,}"),
        ),
        bars=(_root_bar(ordered, measure), _country_bar(ordered, measure), _evidence_bar(ordered))
        if whole
        else (),
        roots=rows,
        trend=trend,
        csv_href=f"{base}.csv?by={measure}",
        json_href=f"{base}.json?by={measure}",
        pending=totals.pending,
    )


def _row(root: RootCount, at: int, measure: Measure, whole: int) -> RootRowView:
    share = 100 * root.value(measure) / whole if whole else 0.0
    fields = {name: getattr(root, name) for name in RootCount.__struct_fields__}
    return RootRowView(**fields, percent=share, tone=min(at, TONES))


def _headline(roots: Sequence[RootCount], totals: Totals, scope: Link | None) -> str:
    whose = f"{scope.label}’s" if scope else "this hub’s"
    if totals.derived == 0:
        return f"None of {whose} {_models(totals.models)} is known to be built on another."
    roots = sorted(roots, key=lambda root: -root.models)
    shares = [
        f"{share(100 * root.models / totals.derived)} on {root.name}" for root in roots[:3] if root.models
    ]
    start = f"{totals.derived:,} of {whose} {_models(totals.models)}"
    if sum(root.models > 0 for root in roots) == 1:
        verb = "is" if totals.derived == 1 else "are"
        return f"{start} {verb} built on others, all on {roots[0].name}."
    return f"{start} are built on others: {_listed(shares)}."


def _lead(roots: Sequence[RootCount]) -> str:
    whole = sum(root.models for root in roots)
    if whole == 0:
        return ""
    countries = _countries(roots, Measure.MODELS)
    unstated = countries.pop(None, 0)
    stated = [f"{share(100 * count / whole)} from {country}" for country, count in countries.most_common(4)]
    origin = f"As their publishers state it, the foundations come {_listed(stated)}" if stated else ""
    missing = f"for {share(100 * unstated / whole)} no country is stated" if unstated else ""
    sentence = "; ".join(part for part in (origin, missing) if part)
    evidence = [
        f"{share(100 * number / whole)} {words}"
        for number, words in (
            (sum(root.verified for root in roots), "verified from weights"),
            (sum(root.declared for root in roots), "only declared"),
            (sum(root.contradicted for root in roots), "contradicted by the weights"),
        )
        if number
    ]
    return f"{sentence[:1].upper()}{sentence[1:]}." + (
        f" Of the descent, {_listed(evidence)}." if evidence else ""
    )


def _countries(roots: Iterable[RootCount], measure: Measure) -> Counter[str | None]:
    counts: Counter[str | None] = Counter()
    for root in roots:
        counts[root.origin.country] += root.value(measure)
    return counts


def _root_bar(roots: Sequence[RootCount], measure: Measure) -> BarView:
    named = [(root.name, root.value(measure), root.href) for root in roots]
    return _bar("By root", named, TONES)


def _country_bar(roots: Sequence[RootCount], measure: Measure) -> BarView:
    counts = _countries(roots, measure)
    unstated = counts.pop(None, 0)
    bar = _bar(
        "By country, as publishers state it", [(str(k), v, None) for k, v in counts.most_common()], TONES
    )
    if not unstated:
        return bar
    whole = sum(counts.values()) + unstated
    shrunk = [msgspec.structs.replace(s, percent=100 * s.value / whole) for s in bar.segments]
    shrunk.append(SegmentView("Not stated", 100 * unstated / whole, TONES, unstated))
    return BarView(bar.label, tuple(shrunk))


def _evidence_bar(roots: Sequence[RootCount]) -> BarView:
    kinds = (
        ("Verified from weights", sum(root.verified for root in roots), 0),
        ("Declared only", sum(root.declared for root in roots), 1),
        ("Contradicted", sum(root.contradicted for root in roots), 5),
    )
    whole = sum(number for _, number, _ in kinds) or 1
    parts = [
        SegmentView(label, 100 * number / whole, tone, number) for label, number, tone in kinds if number
    ]
    return BarView("By evidence, in models", tuple(parts))


def _bar(label: str, parts: list[tuple[str, int, str | None]], tones: int) -> BarView:
    whole = sum(value for _, value, _ in parts) or 1
    counted = [part for part in parts if part[1]]
    shown = counted if len(counted) <= _SHOWN_IN_BAR else counted[: _SHOWN_IN_BAR - 1]
    segments = [
        SegmentView(name, 100 * value / whole, min(at, tones), value, href)
        for at, (name, value, href) in enumerate(shown)
    ]
    rest = counted[len(shown) :]
    if rest:
        value = sum(part[1] for part in rest)
        segments.append(SegmentView(f"{len(rest):,} others", 100 * value / whole, tones, value))
    return BarView(label, tuple(segments))


def _models(number: int) -> str:
    return f"{number:,} model{'' if number == 1 else 's'}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
