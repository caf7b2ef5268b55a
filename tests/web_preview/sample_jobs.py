"""Samples of the pages of jobs: one that trains, one that failed, one that is done, one that waits."""

from __future__ import annotations

import math
from datetime import timedelta

import msgspec

from seedstock.web.pages.job import PLOTS, Series, plots_of
from seedstock.web.views.common import Fact, Link
from seedstock.web.views.jobs import JobPage, JobState, LogLineView, SampleView
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
JOB_SAMPLES = {
    "job": ("/jobs/12", TRAINING, DEMO),
    "job-failed": ("/jobs/13", FAILED, DEMO),
    "job-done": ("/jobs/14", DONE, DEMO),
    "job-queued": ("/jobs/15", QUEUED, DEMO),
}
