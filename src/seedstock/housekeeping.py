"""Every kind of background job this hub has, and what each does."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.stage import LESS_MEMORY
from seedstock.core.errors import Integrity
from seedstock.evaluation.run import TIMEOUT_S as EVALUATION_S
from seedstock.evaluation.service import EVALUATE_MODEL
from seedstock.hub.conversions import CONVERT_MODEL
from seedstock.hub.index_queue import ANALYSE_LINEAGE, CHECK_SIGNATURE, GRADE_OPENNESS, INDEX_REVISION
from seedstock.jobs.kinds import JobContext, JobKind, Lane
from seedstock.replications.service import REPLICATE_MODEL
from seedstock.variants.service import ADAPT_MODEL
from seedstock.variants.spot_checks import SPOT_CHECK
from seedstock.wiring import Hub

_HOUR_S = 3600.0
_STAGED_S = 2 * 24 * _HOUR_S
_BATCH = 100
_TRAINING_S = 7 * 24 * _HOUR_S
_SAVING_S = 120.0  # a checkpoint of a model that fills the memory, onto a slow disk
_ANALYSIS_MEMORY_BYTES = 6 << 30
_CONVERSION_MEMORY_BYTES = (
    2 << 30
)  # 110 MB were seen; a header with the largest vocabulary takes some hundreds


def job_kinds(hub: Hub) -> dict[str, JobKind]:
    """The kinds by name, bound to the services they use."""

    def index(_context: JobContext, spec: dict[str, Any]) -> dict[str, Any] | None:
        record = hub.indexer.index(spec["repo_id"], spec["commit"])
        return None if record is None else {"tags": len(record.tags), "problems": len(record.problems)}

    def rank(_context: JobContext, _spec: dict[str, Any]) -> None:
        hub.downloads.rank()

    def sweep(_context: JobContext, _spec: dict[str, Any]) -> dict[str, Any]:
        return {"removed": hub.content.staging.sweep(_STAGED_S), "checkpoints_of": hub.spot_checks.sweep()}

    def scrub(context: JobContext, _spec: dict[str, Any]) -> dict[str, Any]:
        return verify_objects(hub, context)

    def grade(_context: JobContext, spec: dict[str, Any]) -> None:
        for child in hub.openness.file_badge(spec["repo_id"]):
            hub.queue.enqueue(GRADE_OPENNESS, {"repo_id": child}, dedup_key=f"grade:{child}", repo_id=child)

    def ask_lineage(_context: JobContext, _spec: dict[str, Any]) -> dict[str, Any]:
        return {"queued": hub.analyst.ask_all(_BATCH)}

    options = msgspec.to_builtins(hub.settings, enc_hook=str)
    isolated = partial(
        JobKind, work=None, services="seedstock.wiring:reopen_hub", services_options=options, max_attempts=3
    )
    training = partial(
        isolated,
        lane=Lane.TRAINING,
        timeout_s=_TRAINING_S,
        grace_s=_SAVING_S,
        memory_bytes=hub.settings.adapt_memory_bytes or _most_of_memory(),
        memory_hint=LESS_MEMORY,
    )
    kinds = [
        JobKind(INDEX_REVISION, index, lease_s=120.0),
        isolated(ANALYSE_LINEAGE, entry=f"{__name__}:analyse_lineage", memory_bytes=_ANALYSIS_MEMORY_BYTES),
        isolated(
            CHECK_SIGNATURE,
            entry=f"{__name__}:check_signature",
            memory_bytes=_ANALYSIS_MEMORY_BYTES,
            max_attempts=2,
        ),
        isolated(CONVERT_MODEL, entry=f"{__name__}:convert_model", memory_bytes=_CONVERSION_MEMORY_BYTES),
        # In the lane of trainings, so that analyses and conversions do not wait for minutes of questions.
        training(EVALUATE_MODEL, entry=f"{__name__}:evaluate_model", timeout_s=EVALUATION_S, memory_hint=""),
        training(ADAPT_MODEL, entry=f"{__name__}:adapt_model"),
        training(REPLICATE_MODEL, entry=f"{__name__}:replicate_model"),
        training(SPOT_CHECK, entry=f"{__name__}:check_segment", lasting=True),
        JobKind(GRADE_OPENNESS, grade, lease_s=120.0),
        JobKind("ask_lineage", ask_lineage, every_s=600.0, max_attempts=1),
        JobKind("rank", rank, every_s=300.0, max_attempts=1),
        JobKind("sweep_staging", sweep, every_s=6 * _HOUR_S, max_attempts=1),
        JobKind("refresh_remotes", partial(refresh_remotes, hub), every_s=6 * _HOUR_S, max_attempts=1),
        JobKind("scrub", scrub, lane=Lane.SLOW, every_s=7 * 24 * _HOUR_S, max_attempts=3),
    ]
    return {kind.name: kind for kind in kinds}


def analyse_lineage(context: JobContext, spec: dict[str, Any], hub: Hub) -> dict[str, Any] | None:
    """The job of that name, in a process of its own: weights of strangers are compared in native code."""
    return hub.analyst.analyse(context, spec["repo_id"], spec["commit"])


def convert_model(context: JobContext, spec: dict[str, Any], hub: Hub) -> dict[str, Any] | None:
    """The job of that name, in a process of its own: weights of strangers are quantised in native code."""
    return hub.conversions.run(context, spec)


def adapt_model(context: JobContext, spec: dict[str, Any], hub: Hub) -> dict[str, Any] | None:
    """The job of that name, in a process of its own, which starts the stages in theirs."""
    return hub.variants.run(context, spec)


def check_segment(context: JobContext, spec: dict[str, Any], hub: Hub) -> dict[str, Any] | None:
    """A spot check, in a process of its own, which starts the stage in another."""
    return hub.spot_checks.run(context, spec)


def evaluate_model(context: JobContext, spec: dict[str, Any], hub: Hub) -> dict[str, Any] | None:
    """The job of that name, in a process of its own, which starts the library in another."""
    return hub.evaluations.run(context, spec)


def replicate_model(context: JobContext, spec: dict[str, Any], hub: Hub) -> dict[str, Any] | None:
    """The job of that name, in a process of its own, which starts the stages in theirs."""
    found = hub.replications.run(context, spec)
    if found is not None:
        hub.queue.enqueue(GRADE_OPENNESS, {"repo_id": spec["repo_id"]}, repo_id=spec["repo_id"])
    return found


def _most_of_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 4 // 5


def check_signature(_context: JobContext, spec: dict[str, Any], hub: Hub) -> dict[str, Any] | None:
    """The job of that name, in the empty folder that its process starts in."""
    found = hub.signatures.check(spec["repo_id"], spec["commit"], Path.cwd())
    return None if found is None else {"state": found.state}


def refresh_remotes(hub: Hub, context: JobContext, _spec: dict[str, Any]) -> dict[str, Any]:
    """Ask remotes for their models; one that does not answer keeps those that it listed last."""
    found = hub.remotes.refresh()
    for name, tested in found.items():
        if tested.error is not None:
            context.log(f"{name}: {tested.error}")
    return {"asked": len(found)}


def verify_objects(hub: Hub, context: JobContext) -> dict[str, Any]:
    """Read every stored object and compare it with its checks; damaged ones are logged and lose their trust."""
    after, checked, damaged = "", 0, 0
    while not context.cancelled():
        batch = hub.content.objects.page(after, _BATCH)
        if not batch:
            break
        for row in batch:
            try:
                hub.content.objects.verify(row)
            except Integrity as error:
                damaged += 1
                context.log(error.message)
            checked += 1
        after = batch[-1].key
    return {"checked": checked, "damaged": damaged}
