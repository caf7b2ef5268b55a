"""Samples of family, evidence, foundations and trace pages."""

from __future__ import annotations

import math
from datetime import timedelta
from functools import cache

import msgspec

from seedstock.web.family import family_page
from seedstock.web.family_query import FamilyQuery
from seedstock.web.foundations import RootCount, Totals, report
from seedstock.web.views import evidence, trace
from seedstock.web.views.common import Fact, Link, Page, Snippet, ViewerView
from seedstock.web.views.evidence import Evidence
from seedstock.web.views.family import AnalysisState, AnalysisView, FamilyGraph, FamilyPage, FoundationLine
from seedstock.web.views.foundations import Measure, OriginView, TrendView
from tests.web_preview.sample_family import COMMIT, FAMILY, big_family
from tests.web_preview.sample_repos import ANONYMOUS, DEMO, HEADER, MODEL_ID, MODEL_URL, NOW

DONE = AnalysisView(AnalysisState.DONE)
ROOTS = (
    FoundationLine(
        "HuggingFaceTB/SmolLM2-135M",
        Evidence.DECLARED,
        steps=1,
        publisher="HuggingFaceTB",
        origin="France",
        origin_href="/HuggingFaceTB",
    ),
)
BIG_COUNT = 5000
BIG_HEADER = msgspec.structs.replace(HEADER, name="big-family", url="/demo/big-family")


@cache
def big_graph() -> FamilyGraph:
    """Five thousand models; made once, because making them takes longer than drawing them."""
    return big_family(BIG_COUNT)


def family(query: FamilyQuery, *, big: bool = False) -> FamilyPage:
    """The page for a state of its table."""
    header, graph = (BIG_HEADER, big_graph()) if big else (HEADER, FAMILY)
    return family_page(header, graph, query, DONE, () if big else ROOTS)


def lone(state: AnalysisState, detail: str | None = None) -> FamilyPage:
    graph = FamilyGraph(focus=1, nodes=FAMILY.nodes[1:2])
    return family_page(HEADER, graph, FamilyQuery(), AnalysisView(state, detail))


RUNNING = family_page(
    HEADER, FAMILY, FamilyQuery(), AnalysisView(AnalysisState.RUNNING, "3 of 7 candidates are done."), ROOTS
)
CHART = evidence.LayerChartView(
    "Agreement of matched neurons",
    tuple(
        evidence.LayerView(str(i), 0.97 + 0.03 * math.cos(i), "13" if i == 14 else None) for i in range(30)
    ),
    threshold=0.5,
    threshold_label="derived from 0.5 upwards",
)
STATISTICS = (
    evidence.StatisticView(
        "Layers mapped", "30 of 30", "at least 80%", True, "Layers whose sketches match in the same order"
    ),
    evidence.StatisticView(
        "Cosine", "0.9997", "above 0.9", True, "Of the same tensor in both models, median"
    ),
    evidence.StatisticView("Bit distance", "2.81", "below 3.5", True, "Bits in which aligned values differ"),
    evidence.StatisticView(
        "Neuron agreement", "1.000", "above 0.3", True, "Neurons assigned alike by gate and up"
    ),
    evidence.StatisticView("log10 p of the agreement", "−304", "below −6", True),
    evidence.StatisticView("Identical tensors", "0.0%", None, None, "Recorded, never a verdict alone"),
)
FILES = (
    evidence.FileReadView("child", "model.safetensors", "5af571cbf074e6d21a03528d2330792e", "#"),
    evidence.FileReadView("parent", "model.safetensors", "91c0be2233aa41870c9d2e5f6a7b8c90"),
)
RECORD = evidence.EvidenceView(
    id="ev0103a41c77",
    evidence=Evidence.VERIFIED,
    title="lab/countdown-grpo-135M is a full fine-tune of demo/SmolLM2-135M-Instruct",
    summary="All 30 layers match in order, and every weight moved a little: 2.1% of its size on average. Weights of "
    "independent training never come this near.",
    child=evidence.CommitRefView("lab/countdown-grpo-135M", COMMIT, "/lab/countdown-grpo-135M"),
    parent=evidence.CommitRefView(str(MODEL_ID), COMMIT[::-1], MODEL_URL),
    compared_at=NOW - timedelta(days=2),
    method="pairwise@1",
    record_href="/api/evidence/ev0103a41c77",
    download_href="/api/evidence/ev0103a41c77?download=true",
    signature=evidence.SignatureView(evidence.SignatureState.VALID, "hub-2026-ed25519"),
    kind="full fine-tune",
    coefficients=(Fact("Mean change", "0.021"),),
    declared="finetune of demo/SmolLM2-135M-Instruct",
    direction="by first publication and the card",
    error_rate="0 of 412 independent pairs called derived",
    statistics=STATISTICS,
    chart=CHART,
    files=FILES,
    tensors=tuple(
        f"model.layers.{i}.mlp.{part}_proj.weight" for i in range(0, 30, 5) for part in ("gate", "up")
    ),
    tensor_count=24,
    facts=(
        "Both use the same tokenizer.json.",
        "The token embeddings are not equal: 0.4% of the rows changed.",
    ),
    notes=("A chain of two fine-tunes is told from one only when both are on this hub.",),
    verify=(
        Snippet("seedstock", "seedstock verify-record ev0103a41c77.json --key hub-2026-ed25519.pub"),
        Snippet(
            "With the weights", "seedstock verify-record ev0103a41c77.json --recompute CHILD_DIR PARENT_DIR"
        ),
    ),
)
CONTRADICTED = msgspec.structs.replace(
    RECORD,
    id="ev0107a41c09",
    evidence=Evidence.CONTRADICTED,
    title="The weights contradict the card of ada/own-from-scratch-135M",
    summary="The card names demo/SmolLM2-135M-Instruct as its base. No layer matches, in any order or basis: the two "
    "are as far apart as models of independent training.",
    child=evidence.CommitRefView("ada/own-from-scratch-135M", COMMIT, "/ada/own-from-scratch-135M"),
    kind=None,
    coefficients=(),
    direction="",
    signature=evidence.SignatureView(evidence.SignatureState.UNKNOWN_KEY, "b41f09"),
    statistics=tuple(
        msgspec.structs.replace(row, value=value, holds=None if row.holds is None else False)
        for row, value in zip(STATISTICS, ("0 of 30", "0.0003", "5.76", "0.004", "−0.4", "0.0%"), strict=True)
    ),
    chart=evidence.LayerChartView(
        "Agreement of matched neurons",
        tuple(evidence.LayerView(str(i), 0.004 + 0.012 * (i % 3)) for i in range(30)),
        threshold=0.3,
    ),
)
EVIDENCE_PAGE = evidence.EvidencePage(
    HEADER,
    RECORD,
    f"{MODEL_URL}/family",
    (Link("ada/own-from-scratch-135M, contradicted", f"{MODEL_URL}/evidence/x"),),
)
CONTRADICTED_PAGE = evidence.EvidencePage(HEADER, CONTRADICTED, f"{MODEL_URL}/family")


def stated(country: str, owner: str) -> OriginView:
    return OriginView(country, Link(f"profile of {owner}", f"/{owner}"))


def root(
    name: str, models: int, downloads: int, use: int, split: tuple[int, int, int], **rest: object
) -> RootCount:
    publisher = name.partition("/")[0]
    return RootCount(
        name,
        publisher,
        models,
        downloads,
        use,
        *split,
        publisher_href=f"/{publisher}",
        **rest,  # type: ignore[arg-type]
    )


COUNTS = (
    root("demo/SmolLM2-135M", 141, 612_400, 20_411, (118, 20, 3), href="/demo/SmolLM2-135M", licence="Apache-2.0",
         origin=stated("France", "demo")),
    root("lab/harvest-1B", 62, 88_020, 40_200, (30, 31, 1), href="/lab/harvest-1B", licence="MIT",
         origin=stated("Switzerland", "lab")),
    root("elsewhere/llama-like-8B", 40, 301_552, 9_120, (0, 40, 0), licence="Llama 3.1"),
    root("fieldworks/acacia-500M", 21, 4_410, 310, (19, 2, 0), href="/fieldworks/acacia-500M", licence="Apache-2.0",
         origin=stated("Kenya", "fieldworks")),
    root("elsewhere/bamboo-7B", 12, 77_004, 1_200, (9, 3, 0), licence="Apache-2.0", origin=stated("China", "elsewhere")),
    root("ada/own-from-scratch-135M", 3, 1_611, 0, (3, 0, 0), href="/ada/own-from-scratch-135M", licence="MIT"),
    root("bob/mystery-weights", 0, 12, 0, (0, 0, 0), href="/bob/mystery-weights"),
)  # fmt: skip
TREND = TrendView(
    tuple(f"2026-{month:02}" for month in range(1, 12)),
    (
        ("demo/SmolLM2-135M", 0, (0, 4, 9, 21, 40, 66, 80, 101, 118, 130, 141)),
        ("lab/harvest-1B", 1, (0, 0, 0, 2, 9, 17, 30, 41, 50, 58, 62)),
        ("elsewhere/llama-like-8B", 2, (3, 8, 12, 20, 26, 30, 31, 33, 36, 39, 40)),
        ("fieldworks/acacia-500M", 3, (0, 0, 0, 0, 0, 0, 4, 9, 14, 18, 21)),
        ("others", 4, (1, 1, 2, 3, 4, 6, 8, 10, 12, 14, 15)),
    ),
)
TOTALS = Totals(models=312, derived=274, downloads=1_085_009, use=71_241, pending=3)
FOUNDATIONS = report(COUNTS, TOTALS, trend=TREND)
ACCOUNT = report(
    (
        root(
            "demo/SmolLM2-135M",
            7,
            8_800,
            90,
            (5, 1, 1),
            href="/demo/SmolLM2-135M",
            origin=stated("France", "demo"),
        ),
    ),
    Totals(9, 7),
    scope=Link("lab", "/lab"),
    base="/lab/foundations",
    measure=Measure.DOWNLOADS,
)
NO_FOUNDATIONS = report((), Totals(0, 0))
HITS = (
    trace.TraceHitView(
        str(MODEL_ID), MODEL_URL, COMMIT, Evidence.VERIFIED, "Derived", "full fine-tune", "7 of 128 bits",
        "All 30 layers match in order; the weights moved by 2.1%.",
    ),
    trace.TraceHitView(
        "bob/mystery-weights", "/bob/mystery-weights", COMMIT, Evidence.RELATED, "Partly shared", None, "31 of 128 bits",
        "12 of 30 layers match; the rest does not.",
    ),
)  # fmt: skip
LIMIT = 16 * 1024**3
LINEAGE_SAMPLES: dict[str, tuple[str, Page, ViewerView]] = {
    "family": (f"{MODEL_URL}/family", family(FamilyQuery()), DEMO),
    "family-filtered": (
        "/_/family-filtered",
        family(FamilyQuery(evidence="verified", sort="name")),
        ANONYMOUS,
    ),
    "family-big": ("/demo/big-family/family", family(FamilyQuery(), big=True), DEMO),
    "family-empty": ("/_/family-empty", lone(AnalysisState.DONE), ANONYMOUS),
    "family-queued": ("/_/family-queued", lone(AnalysisState.QUEUED), DEMO),
    "family-running": ("/_/family-running", RUNNING, DEMO),
    "family-failed": (
        "/_/family-failed",
        lone(AnalysisState.FAILED, "model.safetensors names a tensor beyond the end of the file."),
        DEMO,
    ),
    "evidence": (f"{MODEL_URL}/evidence/ev0103a41c77", EVIDENCE_PAGE, DEMO),
    "evidence-contradicted": (f"{MODEL_URL}/evidence/ev0107a41c09", CONTRADICTED_PAGE, ANONYMOUS),
    "foundations": ("/foundations", FOUNDATIONS, DEMO),
    "foundations-account": ("/lab/foundations", ACCOUNT, DEMO),
    "foundations-empty": ("/_/foundations-empty", NO_FOUNDATIONS, ANONYMOUS),
    "trace": ("/trace", trace.TracePage(LIMIT), DEMO),
    "trace-found": (
        "/_/trace-found",
        trace.TracePage(LIMIT, "lab/countdown-grpo-135M", HITS, searched=312),
        DEMO,
    ),
    "trace-none": ("/_/trace-none", trace.TracePage(LIMIT, "ada/new", ()), DEMO),
    "trace-anonymous": (
        "/_/trace-anonymous",
        trace.TracePage(LIMIT, sign_in_href="/login?next=/trace"),
        ANONYMOUS,
    ),
}
