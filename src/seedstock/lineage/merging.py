"""Explains a model as a merge of several that its weights are derived from."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from seedstock.core.errors import HubError, Unavailable
from seedstock.lineage.discovery import Discovery
from seedstock.lineage.findings import Finding
from seedstock.lineage.pairing import Subject, storable
from seedstock.lineage.reading import WeightReader
from seedstock.lineage.revisions import ModelRevision
from seedstock.lineage.weight_sets import group_weights

MAX_PARENTS = 4


def explain_merges(
    subject: Subject, findings: list[Finding], reader: WeightReader, discovery: Discovery
) -> list[Finding]:
    """The findings, with coefficients where the weights are a combination of several others'.

    Declared parents are tried if any is declared as merged, else the relatives that were found. A base that all
    of them come from is taken as the point that differences are counted from.
    """
    merged = [finding for finding in findings if finding.is_positive and _may_be_part(finding, findings)]
    merged = merged[:MAX_PARENTS]
    if len(merged) < 2 or subject.main is None:
        return findings
    ids = [finding.other.repo.id for finding in merged if finding.other]
    common = set.intersection(*({*discovery.parents_of([repo_id])} for repo_id in ids))
    inner = [finding for finding in merged if finding.other and finding.other.repo.id not in common]
    base = next((f.other for f in findings if f.other and f.other.repo.id in common), None)
    if len(inner) < 2:
        return findings
    fit = _fit(subject, [f.other for f in inner if f.other], base, reader)
    if fit is None:
        return findings
    shares = dict(zip([id(finding) for finding in inner], fit["coefficients"], strict=False))
    return [
        msgspec.structs.replace(finding, kind="merge", coefficient=shares[id(finding)], merge=fit)
        if id(finding) in shares
        else finding
        for finding in findings
    ]


def _may_be_part(finding: Finding, findings: Sequence[Finding]) -> bool:
    if finding.verdict == "identical":
        return False
    declared_merge = any(item.declared and item.declared.relation == "merge" for item in findings)
    return finding.declared is not None if declared_merge else finding.declared is None


def _fit(
    subject: Subject, parents: Sequence[ModelRevision], base: ModelRevision | None, reader: WeightReader
) -> dict[str, Any] | None:
    from seedstock.weights.merge import explain_merge

    assert subject.main is not None
    with contextlib.ExitStack() as opened:
        try:
            target = opened.enter_context(
                contextlib.closing(reader.open(subject.revision, subject.main.held))
            )
            sides = [
                opened.enter_context(
                    contextlib.closing(reader.open(parent, group_weights(parent.entries)[0]))
                )
                for parent in parents
            ]
            start = (
                opened.enter_context(contextlib.closing(reader.open(base, group_weights(base.entries)[0])))
                if base is not None
                else None
            )
            fit = explain_merge(target, sides, start)
        except Unavailable:
            raise
        except HubError:
            return None
    if fit is None or not all(math.isfinite(value) for value in fit.coefficients):
        return None
    plain: dict[str, Any] = storable(msgspec.to_builtins(fit))
    return plain
