"""Every kind of background job this hub has, and what each does."""

from __future__ import annotations

from typing import Any

from seedstock.core.errors import Integrity
from seedstock.hub.index_queue import INDEX_REVISION
from seedstock.jobs.kinds import JobContext, JobKind
from seedstock.wiring import Hub

_HOUR_S = 3600.0
_STAGED_S = 2 * 24 * _HOUR_S
_BATCH = 100


def job_kinds(hub: Hub) -> dict[str, JobKind]:
    """The kinds by name, bound to the services they use."""

    def index(_context: JobContext, spec: dict[str, Any]) -> dict[str, Any] | None:
        record = hub.indexer.index(spec["repo_id"], spec["commit"])
        return None if record is None else {"tags": len(record.tags), "problems": len(record.problems)}

    def rank(_context: JobContext, _spec: dict[str, Any]) -> None:
        hub.downloads.rank()

    def sweep(_context: JobContext, _spec: dict[str, Any]) -> dict[str, Any]:
        return {"removed": hub.content.staging.sweep(_STAGED_S)}

    def scrub(context: JobContext, _spec: dict[str, Any]) -> dict[str, Any]:
        return verify_objects(hub, context)

    kinds = [
        JobKind(INDEX_REVISION, index, lease_s=120.0),
        JobKind("rank", rank, every_s=300.0, max_attempts=1),
        JobKind("sweep_staging", sweep, every_s=6 * _HOUR_S, max_attempts=1),
        JobKind("scrub", scrub, slow=True, every_s=7 * 24 * _HOUR_S, max_attempts=3),
    ]
    return {kind.name: kind for kind in kinds}


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
