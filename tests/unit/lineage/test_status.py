"""How far an analysis is said to be, whatever became of its job."""

from __future__ import annotations

import pytest

from seedstock.core.clock import now_ms
from seedstock.db import job_attempts, job_claims, lineage_status
from tests.factories.toy_models import toy_llama
from tests.unit.lineage.conftest import Family

BASE = toy_llama(1)


@pytest.mark.parametrize("end", ["dead", "cancelled", "done"])
def test_an_analysis_whose_process_was_killed_has_failed(family: Family, end: str) -> None:
    """A killed process says nothing: the status that it left is `running`."""
    family.publish("ada/base", BASE)
    family.index()
    assert family.lineage("ada/base").status == "queued"
    now = now_ms()
    with family.hub.database.write() as connection:
        job = job_claims.claim(connection, "worker", now, 1000, only=["analyse_lineage"])
        assert job is not None
        lineage_status.put_status(connection, job.spec["repo_id"], job.spec["commit"], "running", now)
    assert family.lineage("ada/base").status == "running"
    with family.hub.database.write() as connection:
        job_attempts.finish(connection, job.id, "worker", end, now, error="The job's process was killed")
    found = family.lineage("ada/base")
    assert found.status == "failed"
    assert found.error is not None
    with family.hub.database.read() as connection:
        assert lineage_status.count_pending(connection, [found.repo.id]) == 0


def test_an_analysis_that_is_tried_again_is_not_over(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.index()
    now = now_ms()
    with family.hub.database.write() as connection:
        job = job_claims.claim(connection, "worker", now, 1000, only=["analyse_lineage"])
        assert job is not None
        job_attempts.give_back(
            connection, job.id, "worker", now + 60_000, error="The store is away", counts=False
        )
    assert family.lineage("ada/base").status == "queued"
    with family.hub.database.read() as connection:
        assert lineage_status.count_pending(connection, [family.lineage("ada/base").repo.id]) == 1
