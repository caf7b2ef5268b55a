"""The licence report of a model: its own licence, what it inherits along verified edges, what would follow from
declared ones, and whether all that can hold together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations

import msgspec

from seedstock.openness.facts import Ancestry, ModelFacts, Unknown
from seedstock.openness.inheritance import Reached, Walk, walk
from seedstock.openness.licence_model import Duty, Licence
from seedstock.openness.licence_report import (
    Finding,
    Inherited,
    LicenceReport,
    Permission,
    Permissions,
    Status,
    strongest,
)
from seedstock.openness.licence_rules import Child, read_child, upstream_findings
from seedstock.openness.own_licence import OwnLicence, read_own_licence

MAX_FINDINGS = 200
_ORDER = (Permission.NO, Permission.UNKNOWN, Permission.LIMITED, Permission.YES)
_ALL_KNOWN = Permissions(Permission.YES, Permission.YES, Permission.YES, Permission.YES)
_ALL_UNKNOWN = Permissions(Permission.UNKNOWN, Permission.UNKNOWN, Permission.UNKNOWN, Permission.UNKNOWN)


class _Source(msgspec.Struct, frozen=True):
    """One ancestor with the licences that count for it: the choice that asks least, where it leaves a choice."""

    reached: Reached
    own: OwnLicence | None
    licences: tuple[Licence, ...]


def assess(ancestry: Ancestry) -> LicenceReport:
    """Judge the root of an ancestry. Time grows with its edges; at most MAX_FINDINGS are kept on each side."""
    model = ancestry.model
    own = read_own_licence(model)
    child = read_child(model, own.declared, own.texts)
    walked = walk(ancestry)
    known: dict[str, OwnLicence] = {}
    findings = list(own.findings)
    sources = []
    for reached in walked.reached:
        source, found = _judge(child, reached, known)
        sources.append(source)
        findings += found
    if walked.cut:
        text = f"{model.name}: its ancestry is larger than what was walked, so the rest of it is not known"
        findings.append(Finding(Status.UNKNOWN, "ancestry-cut", text, (model.name,)))
    findings += _conflicts(sources)
    return _report(model, own, walked, sources, _once(findings))


def _judge(child: Child, reached: Reached, known: dict[str, OwnLicence]) -> tuple[_Source, list[Finding]]:
    node = reached.node
    if isinstance(node, Unknown):
        text = f"{child.facts.name}: built on {node.name}, whose licence is not known"
        return _Source(reached, None, ()), [_unknown(text, reached)]
    own = known.get(reached.key)
    if own is None:
        own = known[reached.key] = read_own_licence(node)
    if not own.certain:
        reason = own.findings[0].text if own.findings else f"its licence is {own.declared.text}"
        text = f"{child.facts.name}: what {node.name} asks for is not known ({reason})"
        return _Source(reached, own, ()), [_unknown(text, reached)]
    options = [
        (choice, [found for part in choice for found in upstream_findings(child, reached, part)])
        for choice in own.declared.alternatives
    ]
    best = min(options, key=lambda option: sorted((_weight(found) for found in option[1]), reverse=True))
    return _Source(reached, own, best[0]), best[1]


def _weight(finding: Finding) -> int:
    return list(Status).index(finding.status)


def _unknown(text: str, reached: Reached) -> Finding:
    return Finding(
        Status.UNKNOWN,
        "terms-unknown",
        text,
        reached.path,
        asserted=reached.asserted,
        record=reached.edge.record,
    )


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """The nearest of findings that say the same of the same licence; unknown ancestors are each named."""
    kept: dict[object, Finding] = {}
    for finding in findings:
        key = (finding.rule, finding.clause or finding.text, finding.asserted)
        kept.setdefault(key, finding)
    return list(kept.values())


def _conflicts(sources: list[_Source]) -> Iterator[Finding]:
    """Pairs of upstream licences whose duties cannot both be kept. One pair per two licences."""
    first: dict[tuple[str, bool], tuple[Licence, Reached]] = {}
    for source in sources:
        for licence in source.licences:
            first.setdefault((licence.id, source.reached.asserted), (licence, source.reached))
    for (one, near), (two, far) in combinations(first.values(), 2):
        if one.id == two.id:
            continue
        reason = _clash(one, two) or _clash(two, one)
        if reason:
            text = f"{near.node.name} ({one.label}) and {far.node.name} ({two.label}) cannot be combined: {reason}"
            yield Finding(
                Status.CONFLICT,
                "upstream-conflict",
                text,
                (*near.path, "+", *far.path[1:]),
                f"{one.name}; {two.name}",
                one.url,
                near.asserted and far.asserted,
                one.copyleft or two.copyleft,
                far.edge.record,
            )


def _clash(one: Licence, two: Licence) -> str | None:
    """Why what `one` demands of the whole rules out what `two` demands, or None."""
    if one.no_train_others and Duty.SAME_TERMS in {item.duty for item in two.obligations}:
        return f"{one.name} forbids improving other language models with it"
    if not (one.share_alike or one.copyleft):
        return None
    if two.noncommercial and not one.noncommercial:
        return f"{one.label} allows no further limits, and the other forbids commercial use"
    if two.use_restrictions and not one.use_restrictions:
        return f"{one.label} allows no further limits, and the other restricts uses"
    if one.share_alike and two.share_alike and {one.id, two.id} != {"cc-by-sa-3.0", "cc-by-sa-4.0"}:
        return "each requires the whole to be under its own terms"
    return None


def _report(
    model: ModelFacts, own: OwnLicence, walked: Walk, sources: list[_Source], findings: list[Finding]
) -> LicenceReport:
    sure = [finding for finding in findings if finding.asserted]
    conditional = [finding for finding in findings if not finding.asserted]
    asserted = strongest([finding.status for finding in sure])
    if_declared = strongest([finding.status for finding in findings])
    doubtful = asserted in {Status.OK, Status.NOTICE_MISSING} and if_declared is not asserted
    status = Status.UNKNOWN if doubtful else asserted
    permitted = _permissions_of(own)
    return LicenceReport(
        status=status,
        if_declared=if_declared,
        headline=_headline(model, own, status, sure, conditional, walked),
        declared=own.declared,
        findings=_strongest_first(sure)[:MAX_FINDINGS],
        conditional=_strongest_first(conditional)[:MAX_FINDINGS],
        obligations=tuple(_obligations(sources)),
        permissions=_least([permitted, *(_source_permits(s) for s in sources if s.reached.asserted)]),
        permissions_if_declared=_least([permitted, *(_source_permits(source) for source in sources)]),
        contradicted=tuple(dict.fromkeys(edge.record or edge.verdict or "" for edge in walked.contradicted)),
        left_out=max(0, len(sure) - MAX_FINDINGS) + max(0, len(conditional) - MAX_FINDINGS),
    )


def _strongest_first(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: -_weight(finding)))


def _headline(
    model: ModelFacts,
    own: OwnLicence,
    status: Status,
    sure: list[Finding],
    conditional: list[Finding],
    walked: Walk,
) -> str:
    worst = _strongest_first(sure)
    if worst and worst[0].status is not Status.OK and status is worst[0].status:
        return worst[0].text
    if status is Status.UNKNOWN and conditional:
        return f"if what its card declares is true: {_strongest_first(conditional)[0].text}"
    said = f"{model.name}: {own.declared.text}"
    if not walked.reached:
        return f"{said}; nothing it is built on is known"
    return f"{said}; nothing known of what it is built on asks for more"


def _obligations(sources: list[_Source]) -> Iterator[Inherited]:
    seen = set()
    for source in sources:
        for licence in source.licences:
            for item in licence.obligations:
                key = (licence.id, item.duty, item.text)
                if source.reached.through not in item.binds or key in seen:
                    continue
                seen.add(key)
                yield Inherited(
                    item.duty, item.text, licence.label, item.clause, licence.url, source.reached.path,
                    source.reached.asserted, item.value,
                )  # fmt: skip


def _permissions_of(own: OwnLicence) -> Permissions:
    """The most that a choice of its licence gives."""
    if not own.certain:
        return _ALL_UNKNOWN
    options = [_least([_permits(part) for part in choice]) for choice in own.declared.alternatives]
    return max(options, key=lambda option: [_ORDER.index(value) for value in msgspec.structs.astuple(option)])


def _source_permits(source: _Source) -> Permissions:
    if source.own is None or not source.own.certain:
        return _ALL_UNKNOWN
    if source.reached.through == "outputs":
        return _ALL_KNOWN  # what outputs carry over are duties, which stand among the obligations
    return _least([_permits(part) for part in source.licences])


def _permits(licence: Licence) -> Permissions:
    capped = licence.mau_cap is not None or licence.revenue_cap_usd is not None
    commercial = Permission.LIMITED if capped else Permission.YES
    return Permissions(
        Permission.NO if licence.noncommercial else commercial,
        Permission.NO if licence.find(Duty.NO_DERIVATIVES) else Permission.YES,
        Permission.LIMITED if licence.use_restrictions or licence.noncommercial else Permission.YES,
        Permission.NO if licence.no_train_others else Permission.YES,
    )


def _least(given: Iterable[Permissions]) -> Permissions:
    rows = [msgspec.structs.astuple(item) for item in given] or [msgspec.structs.astuple(_ALL_KNOWN)]
    return Permissions(*(min(column, key=_ORDER.index) for column in zip(*rows, strict=True)))
