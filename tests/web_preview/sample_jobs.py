"""Samples of the pages of jobs: one that trains, one that failed, one that is done, one that waits."""

from __future__ import annotations

import math
from datetime import timedelta

import msgspec

from seedstock.db.job_events import EventRow
from seedstock.web.measured import PLOTS, Series, plots_of
from seedstock.web.stage_standing import job_stages
from seedstock.web.views.common import Fact, Link, Notice, NoticeKind
from seedstock.web.views.jobs import JobPage, JobState, LogLineView, SampleView
from seedstock.web.views.spot_checks import CheckedRunView, KeptView, SpotCheckView
from tests.web_preview.sample_repos import DEMO, MODEL_ID, MODEL_URL, NOW

_SERIES: Series = {
    "loss": [(step, 1.1 + 2.2 * math.exp(-step / 60) + 0.09 * math.sin(step)) for step in range(1, 301, 2)],
    "eval_loss": [(step, 1.2 + 2.1 * math.exp(-step / 55)) for step in range(20, 301, 20)],
    "reward": [
        (step, None if step == 151 else 0.8 - 0.7 * math.exp(-step / 90) + 0.04 * math.cos(step))
        for step in range(1, 301, 2)
    ],
    "kl": [(step, 4e-4 * step**0.5) for step in range(1, 301, 2)],
    "completion_length": [(step, 90 + 0.3 * step + 6 * math.sin(step / 3)) for step in range(1, 301, 2)],
}
_LOG = tuple(
    LogLineView(NOW - timedelta(seconds=300 - step), f"step {step}: {'x' * (400 if step == 298 else 12)}")
    for step in range(280, 301)
)
TRAINING = JobPage(
    12,
    "adapt",
    JobState.RUNNING,
    (Fact("Asked for", "2026-03-01 12:00 UTC"), Fact("Attempt", "2 of 5"), Fact("Priority", "normal")),
    0,
    percent=63,
    message="step 300 of 480",
    left_in_words="7 min",
    error="The worker died or lost its lease",
    subject=Link(str(MODEL_ID), MODEL_URL),
    stage="train",
    plots=plots_of(_SERIES),
    samples=(
        SampleView("300", "What is 17 + 25?", "<think>17 + 25 = 42</think>\n42"),
        SampleView("200", "What is 17 + 25?", "It is the number that it is. " * 12),
    ),
    log=_LOG,
    log_is_cut=True,
    may_cancel=True,
    stored_state="running",
    groups_json=msgspec.json.encode(PLOTS).decode(),
    series_json=msgspec.json.encode(list(_SERIES.items())).decode(),
)
FAILED = msgspec.structs.replace(
    TRAINING,
    state=JobState.FAILED,
    stored_state="dead",
    error="The job needs more memory than its limit of 2,048 MiB",
    may_cancel=False,
    may_retry=True,
    plots=(),
    series_json="[]",
    samples=(),
)
DONE = msgspec.structs.replace(
    FAILED, state=JobState.DONE, error=None, may_retry=False, result=Link("demo/mine", "/demo/mine"), log=()
)
QUEUED = msgspec.structs.replace(
    DONE, state=JobState.QUEUED, stored_state="queued", result=None, percent=None, may_cancel=True
)
_GRAPH = [
    ["foundation", "pretrain", {"tokenizer": "tokenizer", "data": "corpus"}],
    ["student_foundation", "pretrain", {"tokenizer": "tokenizer", "data": "corpus"}],
    ["zero", "grpo", {"base": "foundation", "data": "problems"}],
    ["cold_start", "sft", {"base": "foundation", "data": "cold"}],
    ["reasoning", "grpo", {"base": "cold_start", "data": "problems"}],
    ["reasoning_traces", "sample", {"base": "reasoning", "data": "problems"}],
    ["rejection", "sft", {"base": "foundation", "data": "reasoning_traces"}],
    ["zero_traces", "sample", {"base": "zero", "data": "problems"}],
    ["distilled", "sft", {"base": "student_foundation", "data": "zero_traces"}],
    ["student_zero", "grpo", {"base": "student_foundation", "data": "problems"}],
    ["student_control", "sft", {"base": "student_foundation", "data": "cold"}],
]
_WORDS = [
    ("foundation", "reused"),
    ("student_foundation", "done"),
    ("zero", "done"),
    ("cold_start", "running"),
]


def _heard() -> list[EventRow]:
    heard = [EventRow(1, 0, "stage", "", {"graph": _GRAPH, "run": "2 of 3, seed 1"})]
    for name, state in _WORDS:
        more = {"seconds": 73.4} if state == "done" else {}
        heard.append(
            EventRow(
                len(heard) + 1, 0, "stage", "", {"run": "2 of 3, seed 1", "name": name, "state": "running"}
            )
        )
        if state != "running":
            word = {"run": "2 of 3, seed 1", "name": name, "state": state, **more}
            heard.append(EventRow(len(heard) + 1, 0, "stage", "", word))
    return heard


def _measured() -> list[EventRow]:
    rows = []
    for name, measure in (("student_foundation", "loss"), ("zero", "reward"), ("cold_start", "loss")):
        for step in range(1, 120, 2):
            fall = math.exp(-step / 40) + 0.03 * math.sin(step)
            said = {"stage": name, "run": "2 of 3, seed 1", "step": step}
            rows.append(
                EventRow(0, 0, "metrics", "", said | {measure: fall if measure == "loss" else 1 - fall})
            )
    return rows


STAGES = job_stages(12, _heard(), _measured(), newest=0, ended_as=None)
REPLICATING = msgspec.structs.replace(
    TRAINING, kind="replicate_model", plots=(), series_json="[]", samples=(), error=None, stages=STAGES
)
CHECKED = CheckedRunView(
    "spot-checked: 2 of 12 segments agreed, 1 did not",
    "bad",
    "0123abcd",
    (
        SpotCheckView("running", "", "steps 500 to 600", "", "demo", NOW - timedelta(minutes=1)),
        SpotCheckView(
            "did not agree", "bad", "steps 400 to 500", "came out as 4463f712b2bc, recorded is 1f0e3dad9990", "demo",
            NOW - timedelta(minutes=20), "/api/x",
            "It ran on another class of platforms than the run, where equal bytes are not promised.",
        ),
        SpotCheckView(
            "agreed", "good", "steps 0 to 100", "came out as recorded (9c56cc51b374)", "demo", NOW - timedelta(hours=3), "/api/x",
        ),
        SpotCheckView(
            "agreed", "good", "steps 1100 to 1200", "came out as recorded (a665a4592042)", "ada",
            NOW - timedelta(days=2), "/api/x",
        ),
    ),
)  # fmt: skip
KEPT = msgspec.structs.replace(
    DONE,
    kept=KeptView(
        "12 of 12 segments can be run again: 1.4 GB of checkpoints are kept for two weeks, if newer ones do not need "
        "the room.",
        (CHECKED,),
    ),
)
_AGREES = Notice(
    NoticeKind.INFO,
    "Steps 0 to 100, one of 12 segments of job 14: came out as recorded (9c56cc51b374). Of the other segments this shows "
    "nothing.",
)
SPOT_CHECK = msgspec.structs.replace(
    DONE,
    kind="spot_check",
    result=None,
    facts=(Fact("Asked for", "2026-03-01 12:00 UTC"),),
    segment=Link("steps 0 to 100 of job 14", "/jobs/14"),
    finding=_AGREES,
)
DISAGREES = msgspec.structs.replace(
    SPOT_CHECK,
    segment=Link("steps 400 to 500 of job 14", "/jobs/14"),
    finding=Notice(
        NoticeKind.BAD,
        "Steps 400 to 500, one of 12 segments of job 14: came out as 4463f712b2bc, recorded is 1f0e3dad9990.",
    ),
)
JOB_SAMPLES = {
    "job-kept": ("/jobs/17", KEPT, DEMO),
    "job-kept-no-more": ("/jobs/18", msgspec.structs.replace(DONE, kept=KeptView("", ())), DEMO),
    "job-spot-check": ("/jobs/19", SPOT_CHECK, DEMO),
    "job-spot-check-bad": ("/jobs/20", DISAGREES, DEMO),
    "job-stages": ("/jobs/16", REPLICATING, DEMO),
    "job": ("/jobs/12", TRAINING, DEMO),
    "job-failed": ("/jobs/13", FAILED, DEMO),
    "job-done": ("/jobs/14", DONE, DEMO),
    "job-queued": ("/jobs/15", QUEUED, DEMO),
}
