"""A variant whose training is spot-checked: asked for, stopped, gone on with, by the real trainer on a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from seedstock.adapt.spec import read_spec
from seedstock.core.errors import Conflict, Forbidden, Invalid, NotFound
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import TokenRole
from seedstock.db import job_attempts, job_claims
from seedstock.db import jobs as rows
from seedstock.variants.service import ADAPT_MODEL
from seedstock.wiring import open_hub
from tests.unit.variants.conftest import Context, Nursery

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
TRAINING = {"batch_size": 4, "max_length": 32, "lora": {"r": 2}, "held_out": 0.0, "sample_every": 1000}
TRACES = {
    "method": "distil_traces",
    "base": "ada/base",
    "teacher": "ada/base",
    "data": "ada/questions",
    "publish": "ada/student",
    "settings": {"steps": 4, "save_every": 2, **TRAINING},
    "sampling": {
        "rewards": [{"fn": "exact"}],
        "per_prompt": 1,
        "max_new_tokens": 8,
        "keep_at_least": -1e9,
    },
    "threads": 1,
    "keep_checkpoints": True,
}


def run_job(nursery: Nursery, document: dict[str, Any], folder: Path) -> tuple[int, Context]:
    """A variant made as a worker makes it: the number of the job, which is done."""
    number, _ = nursery.hub.variants.start(nursery.people["ada"], read_spec(document))
    context = Context(folder)
    context.job_id = number
    with nursery.hub.database.write() as connection:
        job = job_claims.claim(connection, "w", nursery.hub.clock(), 10**9, only={ADAPT_MODEL})
    assert job is not None
    with pytest.raises(Conflict):
        nursery.hub.spot_checks.start(nursery.people["ada"], number)
    result = nursery.hub.variants.run(context, job.spec)
    with nursery.hub.database.write() as connection:
        assert job_attempts.finish(connection, number, "w", rows.DONE, nursery.hub.clock(), result=result)
    return number, context


def test_a_segment_of_a_student_is_run_again_on_what_its_job_made(nursery: Nursery, tmp_path: Path) -> None:
    """The traces are nowhere else; and a check that is stopped goes on with the segment that was drawn."""
    nursery.publish_rows("ada/questions", [{"prompt": f"{n} + 1", "answer": str(n + 1)} for n in range(12)])
    number, context = run_job(nursery, TRACES, tmp_path / "job")
    ada, checks = nursery.people["ada"], nursery.hub.spot_checks
    kept = checks.find_kept(ada, number)
    assert kept is not None, context.lines
    assert (kept.stage, kept.segments, kept.checkable) == ("student", 2, 2)
    assert list((nursery.hub.settings.data_dir / "kept" / str(number) / "made" / "data").iterdir())

    asked, segment = checks.start(ada, number)
    assert (segment.start, segment.stop) in {(0, 2), (2, 4)}
    spec, check = nursery.hub.queue.get(asked).spec, Context(tmp_path / "check")
    check.stop = True
    assert checks.run(check, spec) is None
    check.stop = False
    found = checks.run(check, spec)
    assert found is not None
    assert (found["agrees"], found["start_as_recorded"], found["same_platform"]) == (True, True, True)
    assert nursery.hub.records.holds(found["record"])
    assert f"Running steps {segment.start} to {segment.stop} of stage student again" in check.lines
    assert [one.segment for one in checks.of_job(ada, number)] == [segment]
    assert checks.start(ada, number)[1].start != segment.start, "what nobody has checked comes first"
    may_not_see_it(nursery, number)


def may_not_see_it(nursery: Nursery, number: int) -> None:
    """The job is ada's; the model is public, and so is what checks of it showed."""
    bob, checks = nursery.people["bob"], nursery.hub.spot_checks
    for act in (checks.start, checks.of_job, checks.find_kept, checks.forget):
        said = []
        for job in (number, 999_999):
            with pytest.raises(NotFound) as caught:
                act(bob, job)
            said.append(caught.value.message.replace(str(job), "N"))
        assert said[0] == said[1]
    assert len(checks.of(bob, RepoId(RepoType.MODEL, "ada", "student"))) == 2
    token = nursery.hub.accounts.create_token("ada", role=TokenRole.READ)
    with pytest.raises(Forbidden):
        checks.start(nursery.hub.accounts.viewer_for_token(token), number)


def test_a_hub_that_keeps_nothing_says_so_before_anything_runs(nursery: Nursery) -> None:
    document = {"method": "sft", "base": "ada/base", "data": "ada/rows", "keep_checkpoints": True}
    hub = open_hub(msgspec.structs.replace(nursery.hub.settings, kept_bytes=0))
    try:
        with pytest.raises(Invalid, match="keeps no checkpoints"):
            hub.variants.start(nursery.people["ada"], read_spec(document))
    finally:
        hub.close()
    with pytest.raises(Invalid, match="keep_checkpoints"):
        read_spec({"method": "merge", "models": ["ada/base"], "keep_checkpoints": True})
