"""How a replication turned out. The rules are those of docs/formats/recipe.md; nothing here trusts what was declared.

All verdicts that apply are found, and one is the headline. What a run did not do (it failed, it learned nothing)
comes before what it did, and equal tensors before equal scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from seedstock.recipes.comparison import Comparison
from seedstock.recipes.graph import Change
from seedstock.recipes.margins import Margin, items_to_decide, margin_of
from seedstock.recipes.recipe import Claim
from seedstock.recipes.statistics import Difference, Interval, Scores, as_scores, paired_difference, wilson

SEED_DISTANCE = 1.0
"""Distance of two seeds where it was not measured; the least of three pairs that were is 1.32."""
CLOSE = 0.1
"""Share of the seed-to-seed distance below which a replica is numerically close."""


_NOTHING = "the original scores 0, as a model that learned nothing may"


class Verdict(StrEnum):
    """What is said of a replication."""

    BIT_EXACT = "bit-exact"
    NUMERICALLY_CLOSE = "numerically-close"
    WITHIN_TOLERANCE = "within-tolerance"
    EXCEEDS = "exceeds"
    INCONCLUSIVE = "inconclusive"
    FAILED = "failed"
    NO_LEARNING = "no-learning"


REPRODUCED = frozenset(
    {Verdict.BIT_EXACT, Verdict.NUMERICALLY_CLOSE, Verdict.WITHIN_TOLERANCE, Verdict.EXCEEDS}
)
"""Headlines that mean that the model was made again."""


class Failure(StrEnum):
    """Why a run has nothing to compare."""

    INPUTS_CHANGED = "inputs-changed"
    CRASHED = "crashed"
    BUDGET = "budget-exceeded"
    DIGEST = "digest-mismatch"
    OUTSIDE = "outside-tolerance"


class StageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage that trains shows about whether it learned; digests are of weights, groups of GRPO."""

    stage: str
    input_weights: str | None = None
    output_weights: str | None = None
    reward_groups: int = 0
    groups_without_variance: int = 0


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One claim, evaluated by the hub for both models: item-level scores, seeds x items, on the same items."""

    claim: Claim
    original: Any
    replica: Any


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that a replication showed."""

    failure: Failure | None = None
    """That the run ended before there was something to compare; `detail` says more."""
    detail: str = ""
    input_changes: tuple[Change, ...] = ()
    comparison: Comparison | None = None
    same_seed: bool = True
    seed_distance: float | None = None
    """Distance of two seeds' weights as in `Comparison.distance`, where it was measured."""
    stages: tuple[StageFacts, ...] = ()
    measured: tuple[Measured, ...] = ()


class ClaimVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """One claim judged."""

    metric: str
    stage: str
    verdict: Verdict
    margin: Margin
    difference: Difference
    original: float
    original_interval: Interval
    replica: float
    replica_interval: Interval
    confirmed: bool
    """Whether the original, evaluated here, does what its author says, within the margin."""
    items_to_decide: int | None = None
    more_seeds: bool = False
    """More seeds would say more than more items."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The headline, all verdicts that apply, and why."""

    verdict: Verdict
    applies: tuple[Verdict, ...]
    reason: str
    failure: Failure | None = None
    files_match: bool = False
    claims: tuple[ClaimVerdict, ...] = ()


def judge(evidence: Evidence) -> Judgement:
    """The judgement of a replication. Raises Invalid for item-level results that are none."""
    if evidence.input_changes:
        reason = "; ".join(str(change) for change in evidence.input_changes)
        return _failed(Failure.INPUTS_CHANGED, reason)
    if evidence.failure is not None:
        return _failed(evidence.failure, evidence.detail or evidence.failure.value)
    claims = tuple(judge_claim(item) for item in evidence.measured)
    reasons = _reasons(evidence, claims)
    headline = next(verdict for verdict in _ORDER if verdict in reasons)
    comparison = evidence.comparison
    return Judgement(
        verdict=headline,
        applies=tuple(verdict for verdict in _ORDER if verdict in reasons),
        reason=reasons[headline],
        failure=Failure.OUTSIDE if headline is Verdict.FAILED else None,
        files_match=comparison is not None and comparison.files_match,
        claims=claims,
    )


# `numerically-close` only informs: a score outside the margin outweighs it.
_ORDER = (
    Verdict.NO_LEARNING,
    Verdict.BIT_EXACT,
    Verdict.FAILED,
    Verdict.NUMERICALLY_CLOSE,
    Verdict.INCONCLUSIVE,
    Verdict.WITHIN_TOLERANCE,
    Verdict.EXCEEDS,
)


def _failed(failure: Failure, reason: str) -> Judgement:
    return Judgement(verdict=Verdict.FAILED, applies=(Verdict.FAILED,), reason=reason, failure=failure)


def _reasons(evidence: Evidence, claims: Sequence[ClaimVerdict]) -> dict[Verdict, str]:
    """Every verdict that applies, with its reason. At least one does."""
    found: dict[Verdict, str] = {}
    idle = [text for stage in evidence.stages if (text := _idle(stage))]
    if idle:
        found[Verdict.NO_LEARNING] = "; ".join(idle)
    comparison = evidence.comparison
    if comparison is not None and comparison.bit_exact:
        files = "and every file" if comparison.files_match else "though not every file"
        found[Verdict.BIT_EXACT] = f"every tensor is equal, {files}"
    elif comparison is not None and comparison.distance is not None and evidence.same_seed:
        limit = CLOSE * (SEED_DISTANCE if evidence.seed_distance is None else evidence.seed_distance)
        if comparison.distance < limit:
            text = f"the weights are {comparison.distance:.2g} of what was learned apart"
            found[Verdict.NUMERICALLY_CLOSE] = text
    found |= _claim_reasons(claims)
    if not found:
        found[Verdict.INCONCLUSIVE] = "the outputs differ, and no claim was measured that could decide"
    return found


def _claim_reasons(claims: Sequence[ClaimVerdict]) -> dict[Verdict, str]:
    """The verdict on all claims together: as good as the worst of them; exceeding one is a success beside another."""
    for verdict in (Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.EXCEEDS, Verdict.WITHIN_TOLERANCE):
        those = [claim for claim in claims if claim.verdict is verdict]
        if those:
            return {verdict: "; ".join(_say(claim) for claim in those)}
    return {}


def _say(claim: ClaimVerdict) -> str:
    difference, margin = claim.difference, claim.margin
    text = (
        f"{claim.metric} of {claim.stage}: {difference.mean:+.3f}"
        f" [{difference.interval.low:+.3f}, {difference.interval.high:+.3f}], margin {margin.value:.3f}"
    )
    if claim.verdict is Verdict.INCONCLUSIVE:
        if margin.refused:
            text += f" ({margin.refused})"
        elif claim.more_seeds:
            text += " (more seeds would decide)"
        elif claim.items_to_decide is not None:
            text += f" ({claim.items_to_decide} items would decide)"
    return text


def _idle(stage: StageFacts) -> str:
    """Why a stage learned nothing, or nothing."""
    if stage.output_weights is not None and stage.output_weights == stage.input_weights:
        return f"stage {stage.stage} gave back the weights that it was given"
    if stage.reward_groups and stage.groups_without_variance >= stage.reward_groups:
        return f"stage {stage.stage}: in none of {stage.reward_groups} groups did the rewards differ"
    return ""


def judge_claim(measured: Measured, *, seed: int = 0) -> ClaimVerdict:
    """One claim: equivalence by two one-sided tests at 5 % each, on the paired difference."""
    claim = measured.claim
    original, replica = as_scores(measured.original), as_scores(measured.replica)
    margin = _measured_margin(claim, original)
    difference = paired_difference(original, replica, seed=seed)
    verdict = _tolerance(difference.interval, margin)
    undecided = verdict is Verdict.INCONCLUSIVE
    item_variance = difference.item_sd**2 / difference.items
    shares = [float(side.mean()) for side in (original, replica)]
    intervals = [wilson(share, original.shape[1]) for share in shares]
    return ClaimVerdict(
        metric=claim.metric,
        stage=claim.stage,
        verdict=verdict,
        margin=margin,
        difference=difference,
        original=shares[0],
        original_interval=intervals[0],
        replica=shares[1],
        replica_interval=intervals[1],
        confirmed=intervals[0].low - margin.value <= claim.value <= intervals[0].high + margin.value,
        items_to_decide=(
            items_to_decide(difference.item_sd, margin.value, difference.mean) if undecided else None
        ),
        more_seeds=undecided and difference.seed_variance > item_variance,
    )


def _measured_margin(claim: Claim, original: Scores) -> Margin:
    """The claim's margin, by the items that were measured where those are fewer and by the score that tells less apart."""
    items, measured = min(claim.eval.n, original.shape[1]), float(original.mean())
    how = msgspec.structs.replace(claim.eval, n=items)
    margin = max(
        (
            margin_of(msgspec.structs.replace(claim, value=value, eval=how))
            for value in (claim.value, measured)
        ),
        key=lambda margin: margin.floor,
    )
    return msgspec.structs.replace(margin, refused=_NOTHING) if measured == 0 else margin


def _tolerance(interval: Interval, margin: Margin) -> Verdict:
    if interval.high < -margin.value:
        return Verdict.FAILED
    if interval.low > margin.value:
        return Verdict.EXCEEDS
    inside = -margin.value <= interval.low and interval.high <= margin.value
    return Verdict.WITHIN_TOLERANCE if inside and margin.refused is None else Verdict.INCONCLUSIVE


def as_json(judgement: Judgement) -> Mapping[str, Any]:
    """For records and answers: JSON values only."""
    found: dict[str, Any] = msgspec.to_builtins(judgement)
    return found
