"""Writes what was measured as sections of docs/benchmarks.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from tests.bench.lineage import labels
from tests.bench.lineage.costs import SignatureCost, TraceCost
from tests.bench.lineage.hostile import HostileOutcome
from tests.bench.lineage.intervals import interval, share_text, upper_bound
from tests.bench.lineage.judge import MergeOutcome, Outcome
from tests.bench.results import Goal, Row, Section, Table

HALVES = {
    "calibration": "calibration half (toys)",
    "test": "test half (toys, other seeds and shapes)",
    "real": "SmolLM2-135M and what was made of it",
}
_TARGETS = {
    labels.FINE_TUNE: 0.98, labels.LORA: 0.98, labels.MERGE: 0.98, labels.PRUNED: 0.98, labels.QUANTISED: 0.98,
    labels.PERMUTED: 0.95,
}  # fmt: skip
MEASURED_ONLY = {"SLERP", "TIES"}
"""Merges whose coefficients mean little, so that none are judged."""
_VERDICTS = ("identical", "derived", "partial", "none", "inconclusive", "error")

_METHOD_NOTE = """\
Each pair is two models as files, made here so that the truth is known: labels follow from how a file was made and no
label looks at a weight or at an answer. Toy families are tiny models of four architectures (`llama`, `qwen2`, `gemma`,
`gpt2`; {layers} layers, width 96 to 256), really trained with transformers on text of made-up languages, then
fine-tuned, distilled, merged, pruned, quantised and rearranged; the real family is SmolLM2-135M-Instruct turned back
from its published Q4_1 file, with real AdamW steps. Which file of a pair comes first is drawn. The calibration half and
the real family were looked at while the method was made; the test half has other seeds and other shapes, was first
compared when the method stood, and no threshold was changed after. Intervals are 95 % Clopper-Pearson and take pairs as
independent, which those of one family are not: read them as the best case. Where 44 of 44 are right, a miss in twelve is
not excluded."""

LIMITS = """\
- Only one pretrained model of real size. No pair of two full-size models trained independently, or by different
  makers, was compared: the independent pairs are toys of at most three million weights, and full-size models that were
  never trained.
- No fine-tune of more than 160 steps (toys) or 8 steps (real). Continued pretraining over billions of tokens, and
  reinforcement learning, are not here.
- Toys are trained for 180 to 250 steps: their weights are nearer to where they started than those of real models.
- Every toy of one family has one teacher, one tokenizer and few languages. Pairs of a family are not independent.
- No mixture of experts, no fused gate and up, no vision or speech, no state-space model; no tensor
  names but those of transformers and llama.cpp; nothing wider than 576.
- No GPTQ, AWQ, bitsandbytes or FP8 files. Q4_K and Q6_K are written by a plain encoder, not by llama.cpp's.
- The base of the real family lies on a four-bit grid, which original weights do not.
- Whose kind is claimed: a float model trained from a copy that was turned back from four bits is mostly called
  quantised. The verdict is right, no direction is claimed, the kind is not right.
- Merges are of two or three children of one base. No merge of merges, no DARE; SLERP and TIES are only
  compared with their parents, not explained. Of layer-wise mixtures there are two.
- Nobody who knew the method has tried to hide or to feign a relation, beyond what stands under "hostile files"."""


def sections(
    outcomes: list[Outcome],
    merges: list[MergeOutcome],
    hostile: list[HostileOutcome],
    signatures: list[SignatureCost],
    trace: TraceCost | None,
) -> list[Section]:
    """Everything under the heading of this part."""
    made = [_verdicts(outcomes), _relations(outcomes, merges), _hostile(hostile)]
    return [*made, _costs(outcomes, signatures, trace), Section("What this does not show", LIMITS)]


def _of(outcomes: list[Outcome], half: str) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.pair.half == half]


def _verdicts(outcomes: list[Outcome]) -> Section:
    tables = [_confusion(title, part) for half, title in HALVES.items() if (part := _of(outcomes, half))]
    negatives = [outcome for outcome in outcomes if outcome.pair.made in labels.NEGATIVE]
    false = sum(outcome.false_relation for outcome in negatives)
    goals = [
        Goal("pairs with a label", "pairs", [len(outcomes)], at_least=400),
        Goal("false `derived` or `identical`", "pairs", [false], at_most=0),
        Goal("wrong directions claimed", "pairs", [sum(o.false_direction for o in outcomes)], at_most=0),
    ]
    for half in HALVES:
        part = [outcome for outcome in _of(outcomes, half) if outcome.pair.made in labels.NEGATIVE]
        if part:
            bound = 100 * upper_bound(sum(outcome.false_relation for outcome in part), len(part))
            goals.append(
                Goal(f"false relations, upper bound (95 %), {half} ({len(part)} pairs)", "%", [bound])
            )
    note = _METHOD_NOTE.format(layers="4 to 8")
    return Section("Verdicts by how a pair was made", note, goals=goals, tables=tables)


def _confusion(title: str, outcomes: list[Outcome]) -> Table:
    rows = []
    for made in labels.EXPECTED:
        part = [outcome for outcome in outcomes if outcome.pair.made == made]
        if not part:
            continue
        counts = Counter(outcome.verdict for outcome in part)
        allowed = labels.EXPECTED[made].verdicts
        cells = [
            f"**{counts[verdict]}**" if counts[verdict] and verdict in allowed else str(counts[verdict] or "")
            for verdict in _VERDICTS
        ]
        right = (
            "not judged" if made == labels.FROM_INIT else share_text(sum(o.right for o in part), len(part))
        )
        rows.append([made, *cells, right])
    return Table(f"{title[0].upper()}{title[1:]}", ["made by", *_VERDICTS, "right, with 95 % interval"], rows)


def _relations(outcomes: list[Outcome], merges: list[MergeOutcome]) -> Section:
    goals = [
        Goal(
            f"found, {made}, {half}",
            "%",
            [100 * sum(o.right for o in part) / len(part)],
            at_least=100 * target,
        )
        for half in HALVES
        for made, target in _TARGETS.items()
        if (part := [o for o in _of(outcomes, half) if o.pair.made == made])
    ]
    goals += [
        Goal(f"largest error of a merge coefficient, {half}", "", [max(errors)], at_most=0.02)
        for half in HALVES
        if (errors := [error for outcome in merges if outcome.merge.half == half for error in outcome.errors])
    ]
    real = [outcome for outcome in merges if outcome.merge.coefficients]
    other = [
        outcome
        for outcome in merges
        if not outcome.merge.coefficients and outcome.merge.how not in MEASURED_ONLY
    ]
    explained = 100 * sum(outcome.is_merge for outcome in real) / max(len(real), 1)
    goals.append(Goal("linear merges explained", "%", [explained], at_least=98))
    goals.append(
        Goal(
            "called a merge of parents that it does not have", "", [sum(o.is_merge for o in other)], at_most=0
        )
    )
    note = (
        "A relation is found when the verdict is `derived`. Kinds and directions are counted where they are claimed:"
        " a claim is an answer, and silence is none. A merge is explained from its parents and their base; one"
        " that is no merge of these parents must not be given two."
    )
    tables = [_kinds(outcomes), _directions(outcomes), _merge_table(merges)]
    return Section("Kinds, directions, coefficients", note, goals=goals, tables=tables)


def _kinds(outcomes: list[Outcome]) -> Table:
    judged = [(outcome, right) for outcome in outcomes if (right := outcome.right_kind) is not None]
    rows = []
    for made in labels.EXPECTED:
        part = [(outcome, right) for outcome, right in judged if outcome.pair.made == made]
        if part:
            said = Counter(outcome.kind or "none given" for outcome, _ in part)
            rows.append([made, ", ".join(f"{kind} {count}" for kind, count in said.most_common()),
                         share_text(sum(right for _, right in part), len(part))])  # fmt: skip
    return Table("Kinds, where the verdict was `derived`", ["made by", "kinds given", "right"], rows)


def _directions(outcomes: list[Outcome]) -> Table:
    rows = []
    for made in labels.EXPECTED:
        part = [outcome for outcome in outcomes if outcome.pair.made == made]
        claimed = [outcome for outcome in part if outcome.parent]
        if claimed:
            wrong = sum(outcome.false_direction for outcome in claimed)
            rows.append([made, str(len(part)), str(len(claimed)), str(wrong)])
    return Table("Directions claimed", ["made by", "pairs", "claimed", "wrong"], rows)


def _merge_table(merges: list[MergeOutcome]) -> Table:
    rows = []
    for how in dict.fromkeys(outcome.merge.how for outcome in merges):
        part = [outcome for outcome in merges if outcome.merge.how == how]
        true = how in MEASURED_ONLY or any(outcome.merge.coefficients for outcome in part)
        given = sum(outcome.is_merge for outcome in part)
        errors = [error for outcome in part for error in outcome.errors]
        largest = f"{max(errors):.4f}" if errors else ""
        rows.append([how, "yes" if true else "no", str(len(part)), str(given), largest])
    return Table("Merges", ["how it was made", "a merge", "cases", "called one", "largest error"], rows)


def _hostile(outcomes: list[HostileOutcome]) -> Section:
    rows = [[o.name, "; ".join(o.answers), f"{o.seconds:.1f}", f"{o.peak_growth_mb:.0f}"] for o in outcomes]
    unsafe = sum(not outcome.safe for outcome in outcomes)
    return Section(
        "Hostile files",
        "Each is signed and compared with an ordinary model of the same names, first one way round, then the other."
        " Right are an error that says what is wrong with the file, and any verdict but `identical` and `derived`.",
        goals=[
            Goal("hostile files that crash it or gain a relation", "files", [unsafe], at_most=0),
            Goal("longest, of making and answering", "s", [max(o.seconds for o in outcomes)]),
        ],
        tables=[Table("Answers", ["file", "answers", "seconds", "memory, MB"], rows)],
    )


def _costs(outcomes: list[Outcome], signatures: list[SignatureCost], trace: TraceCost | None) -> Section:
    rows, goals, tables = list[Row](), list[Goal](), list[Table]()
    for cost in signatures:
        rows += [
            Row(f"{cost.name}: sign, CPU", "s", cost.sign_s),
            Row(f"{cost.name}: read the same ranges, CPU", "s", cost.read_s),
        ]
        goals += [
            Goal(f"{cost.name}: read, of the file", "%", [100 * cost.share], at_most=20),
            Goal(f"{cost.name}: CPU beyond reading, per GB", "s", cost.beyond_reading, at_most=0.5),
        ]
    for half in HALVES:
        times = [outcome.cpu_s for outcome in _of(outcomes, half)]
        if times:
            rows.append(Row(f"one comparison, CPU, {half}", "s", times))
    if trace:
        rows.append(Row("one search, CPU of all threads", "ms", [1000 * value for value in trace.cpu_s]))
        times = [1000 * value for value in trace.seconds]
        goals.append(Goal(f"search among {trace.signatures:,} signatures", "ms", times, at_most=200))
        goals.append(Goal("strangers named by searches", "", [trace.strangers]))
        found = [[made, share_text(*trace.found[made])] for made in labels.EXPECTED if made in trace.found]
        tables.append(Table("Relatives that a search names", ["made by", "found"], found))
    return Section(
        "Cost",
        "A signature is taken of the real model's files, which lie in the page cache. The floor is reading the same"
        " ranges without looking at them. The index holds random signatures, all of the real model's width, which"
        " is the worst case, and those of every model of this benchmark.",
        rows, goals, tables,
    )  # fmt: skip


def headline(outcomes: Sequence[Outcome]) -> str:
    """One line for the terminal."""
    outcomes = [outcome for outcome in outcomes if outcome.pair.made != labels.FROM_INIT]
    wrong = [outcome for outcome in outcomes if not outcome.right]
    false = sum(outcome.false_relation for outcome in outcomes)
    low, high = interval(len(outcomes) - len(wrong), len(outcomes))
    return (
        f"{len(outcomes)} pairs, {len(outcomes) - len(wrong)} right ({100 * low:.1f}-{100 * high:.1f} %),"
        f" {false} false relations, {sum(o.false_direction for o in outcomes)} wrong directions"
    )


def mistakes(outcomes: Sequence[Outcome], told: Callable[[str], None]) -> None:
    """Name every pair that was judged wrongly."""
    for outcome in outcomes:
        faults = [
            name
            for name, wrong in (
                ("FALSE RELATION", outcome.false_relation),
                ("WRONG DIRECTION", outcome.false_direction),
                ("verdict", not outcome.right),
                ("kind", outcome.right_kind is False),
            )
            if wrong
        ]
        if faults:
            pair = outcome.pair
            told(
                f"{', '.join(faults)}: {pair.made}: {pair.a} against {pair.b}: {outcome.verdict} {outcome.kind}"
                f" parent={outcome.parent}: {outcome.reason[:160]}"
            )
