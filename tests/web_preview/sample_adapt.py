"""Samples of the pages that make a variant and that make a model again."""

from __future__ import annotations

from datetime import timedelta

from seedstock.web.pages.adapt import MERGES, METHODS, REWARDS
from seedstock.web.stage_graph import spark
from seedstock.web.stage_standing import Planned, planned_stages
from seedstock.web.views.adapt import AdaptPage, BinView, SampleView, SegmentView, VariantView
from seedstock.web.views.common import Fact, Notice, NoticeKind
from seedstock.web.views.replications import BandView, ReplicatePage, ReplicationView
from seedstock.web.views.stages import StageState, StageView
from tests.web_preview.sample_jobs import CHECKED, STAGES
from tests.web_preview.sample_repos import DEMO, HEADER, MODEL_URL, NOW

_FIELDS = dict.fromkeys(
    "data other reward merge weight epochs learning_rate rank max_length publish private merged kept".split(),
    "",
)
_ROW = SampleView(
    (
        SegmentView("<|user|>Write a line about bark.\n<|assistant|>", False),
        SegmentView("The bark waits.", True),
    ),
    25,
)
_PROPOSAL = VariantView(
    "demo/poet",
    (Fact("Makes", "an adapter, in a new repository"), Fact("Base", "demo/base at 0123456789ab")),
    (Fact("learning_rate", "0.0002"), Fact("lora", '{"r":16,"alpha":32}')),
    ("75 of 180 rows equal an earlier one",),
    fit=Notice(
        NoticeKind.INFO, "It fits, with about 2.4 GB of the 20.1 GB that are free, and takes 3 to 9 minutes."
    ),
    fit_lines=("Weights 0.5 GB", "Logits 0.9 GB"),
    samples=(_ROW, _ROW),
    lengths=tuple(BinView(str(10 * at), at * 3, 10.0 * at) for at in range(1, 11)),
    lengths_text="180 rows: 12,609 tokens, 70 in the middle row, 118 in the longest.",
    spec_yaml="method: sft\nbase: demo/base\ndata: demo/rows\n",
)
_STAGES = planned_stages(
    (
        Planned("traces", "sample", {"base": "teacher", "data": "prompts"}, (Fact("per_prompt", "4"),)),
        Planned("student", "sft", {"base": "base", "data": "traces"}, (Fact("learning_rate", "0.003"),)),
    )
)
_RAN = (
    StageView("traces", "sample", (), state=StageState.DONE, took="2 min 3 s"),
    StageView(
        "student",
        "sft",
        (),
        state=StageState.DONE,
        took="14 min 2 s",
        spark=spark([1.0, 0.7, 0.5, 0.42, 0.39, 0.37], 156, 28),
    ),
)
_BANDS = (
    BandView("pass@1, original", 28.0, 31.5, 35.0, "31.5 % (28.0 to 35.0)"),
    BandView("pass@1, replica", 27.0, 30.2, 33.6, "30.2 % (27.0 to 33.6)"),
)
_REPLICATIONS = (
    ReplicationView(
        2, "within-tolerance", "good", "pass@1 of student: -0.013 [-0.031, +0.006], margin 0.050", "student",
        "bob", "hub-worker", NOW - timedelta(hours=2), False, "/api/x", _BANDS, _RAN,
        "a script of its author took part (student): one class of trust less",
    ),
    ReplicationView(
        1, "failed", "bad", "inputs-changed: dataset demo/rows (data) was sha256:aaaa, is sha256:bbbb", "student",
        "ada", "hub-worker", NOW - timedelta(days=2), True, "/api/x",
    ),
)  # fmt: skip

ADAPT_SAMPLES = {
    "adapt": (
        f"{MODEL_URL}/adapt",
        AdaptPage(HEADER, METHODS, REWARDS, MERGES, ("demo/rows",), {"method": "sft", **_FIELDS}, _PROPOSAL),
        DEMO,
    ),
    "adapt-merge": (
        f"{MODEL_URL}/adapt?method=merge",
        AdaptPage(
            HEADER, METHODS, REWARDS, MERGES, (), {"method": "merge", **_FIELDS},
            notice=Notice(NoticeKind.BAD, "There is no model demo/none (for model_1)."),
        ),
        DEMO,
    ),
    "replicate": (
        f"{MODEL_URL}/replicate",
        ReplicatePage(
            HEADER, _STAGES, (Fact("base", "demo/base at 0123456789ab"),),
            (Fact("Runs with", "seed 0, threads: 1, float32, cpu"),), (), _REPLICATIONS,
            ("Available", "Functional", "Reproduced"), may_run=True, checked=(CHECKED,),
        ),
        DEMO,
    ),
    "replicate-live": (
        "/demo/live/replicate",
        ReplicatePage(
            HEADER, STAGES, (Fact("base", "demo/base at 0123456789ab"),), (), (), (), may_run=True,
            job_state="running",
        ),
        DEMO,
    ),
    "replicate-none": (
        "/demo/none/replicate",
        ReplicatePage(HEADER, _STAGES, (), (), ("input: made.py (rows) was pinned, is not to be had",), ()),
        DEMO,
    ),
}  # fmt: skip
