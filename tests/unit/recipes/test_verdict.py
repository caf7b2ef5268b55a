"""Verdicts, trust and badges."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from seedstock.recipes.comparison import Comparison
from seedstock.recipes.graph import Change
from seedstock.recipes.recipe import Claim, Evaluation
from seedstock.recipes.statistics import Scores
from seedstock.recipes.trust import Badge, Outcome, Runner, Trust, badges, trust_of
from seedstock.recipes.verdict import Evidence, Failure, Measured, StageFacts, Verdict, as_json, judge

EVALUATION = Evaluation(
    data="test", fn="countdown", n=2000, samples=1, temperature=1.0, top_p=1.0, max_new_tokens=48, seed=0
)
CLAIM = Claim(stage="student", metric="pass@1", eval=EVALUATION, value=0.4, seeds=1, margin=0.05)
EQUAL = Comparison(bit_exact=True, files_match=False)


def unequal(distance: float | None = None) -> Comparison:
    return Comparison(bit_exact=False, files_match=False, differing=("x",), distance=distance)


def scores(share: float, items: int = 2000, common: float = 0.9, seed: int = 0) -> Scores:
    rng, base = np.random.default_rng(seed + int(share * 1e6)), np.random.default_rng(99)
    hard = np.where(rng.random(items) < common, base.random(items), rng.random(items))
    return np.asarray([hard < share], dtype=np.float64)


def measured(original: float, replica: float, items: int = 2000, **changes: Any) -> Measured:
    claim = msgspec.structs.replace(CLAIM, **changes)
    return Measured(claim=claim, original=scores(original, items), replica=scores(replica, items))


def verdict(**evidence: Any) -> Verdict:
    return judge(Evidence(**evidence)).verdict


def test_equal_tensors_are_bit_exact_and_it_is_said_whether_files_are() -> None:
    found = judge(Evidence(comparison=EQUAL, measured=(measured(0.4, 0.4),)))
    assert found.verdict is Verdict.BIT_EXACT
    assert found.applies == (Verdict.BIT_EXACT, Verdict.WITHIN_TOLERANCE)
    assert found.reason == "every tensor is equal, though not every file"


def test_close_weights_are_numerically_close_for_one_seed_only() -> None:
    assert verdict(comparison=unequal(0.006)) is Verdict.NUMERICALLY_CLOSE
    assert verdict(comparison=unequal(0.006), same_seed=False) is Verdict.INCONCLUSIVE
    assert verdict(comparison=unequal(0.2)) is Verdict.INCONCLUSIVE
    assert verdict(comparison=unequal(0.12), seed_distance=1.32) is Verdict.NUMERICALLY_CLOSE
    assert verdict(comparison=unequal(0.006), measured=(measured(0.4, 0.2),)) is Verdict.FAILED, (
        "it only informs"
    )


def test_scores_within_the_margin_are_within_tolerance() -> None:
    found = judge(Evidence(comparison=unequal(1.3), same_seed=False, measured=(measured(0.4, 0.41),)))
    assert found.verdict is Verdict.WITHIN_TOLERANCE
    assert found.reason.startswith("pass@1 of student: +0.0")
    assert found.claims[0].confirmed
    assert found.claims[0].original == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize(
    ("replica", "wanted"), [(0.55, Verdict.EXCEEDS), (0.25, Verdict.FAILED), (0.34, Verdict.INCONCLUSIVE)]
)
def test_scores_outside_or_across_the_margin(replica: float, wanted: Verdict) -> None:
    found = judge(Evidence(comparison=unequal(), measured=(measured(0.4, replica),)))
    assert found.verdict is wanted
    assert (found.failure is Failure.OUTSIDE) == (wanted is Verdict.FAILED)
    if wanted is Verdict.INCONCLUSIVE:
        assert found.claims[0].items_to_decide is not None
        assert found.reason.endswith(f"({found.claims[0].items_to_decide} items would decide)")


def test_too_few_items_never_succeed_and_say_how_many_would() -> None:
    found = judge(Evidence(measured=(measured(0.4, 0.4, items=30),)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "30 items tell 0.165 apart at best, the margin is 0.050: it takes 366 items" in found.reason


def test_what_a_claim_says_of_its_score_makes_no_margin_finer() -> None:
    """At 1.0 items seem to tell more apart than where the score really is."""
    few = measured(0.4, 0.4, items=60, margin=0.1)
    assert verdict(measured=(few,)) is Verdict.INCONCLUSIVE
    declared = msgspec.structs.replace(few, claim=msgspec.structs.replace(few.claim, value=1.0))
    assert verdict(measured=(declared,)) is Verdict.INCONCLUSIVE
    assert judge(Evidence(measured=(declared,))).claims[0].margin.refused


def test_nothing_right_on_either_side_is_no_result() -> None:
    found = judge(Evidence(measured=(measured(0.0, 0.0, value=0.0),)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.endswith("(the original scores 0, as a model that learned nothing may)")


def test_the_worst_claim_decides() -> None:
    good, better, worse = measured(0.4, 0.4), measured(0.4, 0.6), measured(0.4, 0.2)
    assert verdict(measured=(good, better)) is Verdict.EXCEEDS
    assert verdict(measured=(good, better, worse)) is Verdict.FAILED
    assert verdict(measured=(good, measured(0.4, 0.4, items=30))) is Verdict.INCONCLUSIVE


def test_a_claim_that_its_own_model_does_not_keep_is_told() -> None:
    found = judge(Evidence(measured=(measured(0.4, 0.4, value=0.6),)))
    assert found.verdict is Verdict.WITHIN_TOLERANCE
    assert not found.claims[0].confirmed


def test_more_seeds_are_asked_for_where_seeds_are_what_differs() -> None:
    low, high = (np.concatenate([scores(share, seed=seed) for seed, share in enumerate(shares)]) for shares in
                 ([0.3, 0.4, 0.5], [0.32, 0.42, 0.52]))  # fmt: skip
    found = judge(Evidence(measured=(Measured(claim=CLAIM, original=low, replica=high),)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.endswith("(more seeds would decide)")


@pytest.mark.parametrize("failure", list(Failure))
def test_a_run_that_failed_has_a_reason(failure: Failure) -> None:
    found = judge(Evidence(failure=failure, detail="killed at 2,049 MB", comparison=EQUAL))
    assert (found.verdict, found.failure, found.reason) == (Verdict.FAILED, failure, "killed at 2,049 MB")


def test_changed_inputs_are_their_own_reason_and_are_named() -> None:
    change = Change("inputs-changed", "dataset cold", "commit a", "commit b")
    found = judge(Evidence(input_changes=(change,), comparison=EQUAL))
    assert found.failure is Failure.INPUTS_CHANGED
    assert found.reason == "inputs-changed: dataset cold was commit a, is commit b"


@pytest.mark.parametrize(
    ("facts", "idle"),
    [
        (StageFacts(stage="grpo", input_weights="a", output_weights="a"), True),
        (StageFacts(stage="grpo", input_weights="a", output_weights="b"), False),
        (StageFacts(stage="grpo", reward_groups=8, groups_without_variance=8), True),
        (StageFacts(stage="grpo", reward_groups=8, groups_without_variance=7), False),
        (StageFacts(stage="sample"), False),
    ],
)
def test_what_learned_nothing_is_no_success_however_exactly_it_is_repeated(
    facts: StageFacts, idle: bool
) -> None:
    found = judge(Evidence(comparison=EQUAL, stages=(facts,)))
    assert found.verdict is (Verdict.NO_LEARNING if idle else Verdict.BIT_EXACT)
    assert Verdict.BIT_EXACT in found.applies


def test_nothing_to_judge_by_is_inconclusive() -> None:
    assert verdict() is Verdict.INCONCLUSIVE


def test_judgements_are_json() -> None:
    found = judge(Evidence(comparison=EQUAL, measured=(measured(0.4, 0.4),)))
    assert msgspec.json.decode(msgspec.json.encode(as_json(found)))["verdict"] == "bit-exact"


def run(owner: str, kind: str = "hub-worker", **more: Any) -> Outcome:
    runner = Runner(id=f"{owner}-1", kind=kind, owner=owner)  # type: ignore[arg-type]
    return Outcome(runner=runner, **{"verdict": Verdict.WITHIN_TOLERANCE, "metrics": True, **more})


def test_trust_is_who_ran_it_and_two_owners_are_independent() -> None:
    assert trust_of([]) is Trust.AUTHOR_CLAIMED
    assert trust_of([run("ada", "author")]) is Trust.AUTHOR_CLAIMED
    assert trust_of([run("bob", "user"), run("ada", "author")]) is Trust.SELF_REPORTED
    assert trust_of([run("lab"), run("lab")]) is Trust.HUB_WORKER, "one owner twice is not independent"
    assert trust_of([run("lab"), run("other-lab")]).label == "independent-hub-workers"


def test_code_of_the_author_lowers_trust() -> None:
    assert trust_of([run("lab", foreign_code=True)]) is Trust.SELF_REPORTED
    assert trust_of([run("lab", foreign_code=True), run("other", foreign_code=True)]) is Trust.SELF_REPORTED


def test_badges_are_those_of_acm_1_1() -> None:
    def earned(*outcomes: Outcome, available: bool = True) -> list[Badge]:
        return badges(outcomes, author="ada", available=available)

    assert earned() == [Badge.AVAILABLE]
    assert earned(run("ada", smoke=True)) == [Badge.AVAILABLE, Badge.FUNCTIONAL]
    assert earned(run("ada")) == [Badge.AVAILABLE, Badge.FUNCTIONAL], (
        "the author's own run reproduces nothing"
    )
    assert earned(run("lab", smoke=True)) == [Badge.AVAILABLE, Badge.FUNCTIONAL]
    assert earned(run("lab")) == [Badge.AVAILABLE, Badge.FUNCTIONAL, Badge.REPRODUCED]
    assert earned(run("lab", other_recipe=True), available=False) == [Badge.FUNCTIONAL, Badge.REPLICATED]
    assert earned(run("lab", verdict=Verdict.FAILED)) == [Badge.AVAILABLE]
    assert earned(run("lab", verdict=Verdict.NO_LEARNING)) == [Badge.AVAILABLE, Badge.FUNCTIONAL]
