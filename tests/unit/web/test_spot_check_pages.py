"""Spot checks on the pages of the job, of the check and of the model: in how many of how many segments, by whom, when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from seedstock.core.clock import DAY_MS
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.db import job_attempts, job_claims
from seedstock.db import jobs as rows
from seedstock.housekeeping import job_kinds
from seedstock.http.app import build_app
from seedstock.variants.kept import Kept, KeptRuns
from seedstock.variants.service import ADAPT_MODEL
from seedstock.variants.spot_checks import SPOT_CHECK
from tests.unit.web.test_job_pages import HTML, browser, csrf_of

SEEN, RECORDED = "1" * 64, "2" * 64


def ended(hub: Any, viewer: Viewer, kind: str, spec: dict[str, Any], repo_id: int, result: Any) -> int:
    """A job that is done and left this result."""
    number = int(hub.jobs.enqueue(viewer, kind, spec, repo_id=repo_id))
    with hub.database.write() as connection:
        job = job_claims.claim(connection, "w", hub.clock(), 60_000, only={kind})
        assert job is not None
        assert job_attempts.finish(connection, number, "w", rows.DONE, hub.clock(), result=result)
    return number


def checked(hub: Any, viewer: Viewer, job: int, repo_id: int, start: int, **finding: Any) -> int:
    """A check of ten steps that has ended."""
    segment = {
        "job": job,
        "commit": "c" * 40,
        "stage": "sft",
        "start": start,
        "stop": start + 10,
        "segments": 12,
    }
    found = {
        "agrees": True, "start_as_recorded": True, "same_platform": True, "recorded": SEEN, "seen": SEEN, "record": "{}",
        **finding,
    }  # fmt: skip
    return ended(hub, viewer, SPOT_CHECK, {"account": viewer.name, "segment": segment}, repo_id, found)


@pytest.fixture
def run(hub: Any, tmp_path: Path) -> tuple[TestClient, Viewer, int, int]:
    """Ada's browser, ada, the repo `ada/variant` and the job that made it and kept its checkpoints."""
    client, ada = browser(hub, "ada")
    repo_id = hub.repos.create(ada, RepoId(RepoType.MODEL, "ada", "variant")).id
    told = {"repo": "ada/variant", "checkpoints": {"repo_id": repo_id, "segments": 12}}
    base = hub.repos.create(ada, RepoId(RepoType.MODEL, "ada", "base")).id
    number = ended(hub, ada, ADAPT_MODEL, {}, base, told)
    about = Kept(
        repo_id=repo_id, commit="c" * 40, stage="sft", device="cpu", at_ms=1, segments=12, checkable=6
    )
    kept = KeptRuns(hub.settings.data_dir / "kept", 1 << 20)
    assert kept.keep(number, about, tmp_path / "work", {}, print)
    return client, ada, repo_id, number


def of_model(hub: Any) -> str:
    """The page of the model's replications, for whoever comes along: the repo holds no recipe to sign in for."""
    client = TestClient(build_app(hub), base_url="http://hub.test", headers=HTML, follow_redirects=False)
    return client.get("/ada/variant/replicate").text


def test_an_agreement_is_of_one_segment_and_a_disagreement_is_said_as_plainly(hub: Any, run: Any) -> None:
    client, ada, repo_id, number = run
    page = client.get(f"/jobs/{number}").text
    assert "6 of 12 segments can be run again" in page
    assert "spot-checked" not in page
    first = checked(hub, ada, number, repo_id, 10)
    for page in (client.get(f"/jobs/{number}").text, of_model(hub)):
        assert "spot-checked: 1 of 12 segments agreed</span>" in page
        assert "steps 10 to 20, run again by ada" in page
        assert f'href="/api/models/ada/variant/spot-checks/{first}"' in page
        assert "did not agree" not in page
        for word in ("proof", "proven", "verified"):
            assert word not in page.split("Spot checks</h2>")[1].split("</section>")[0].lower()
    bad = checked(hub, ada, number, repo_id, 50, agrees=False, recorded=RECORDED, same_platform=False)
    worse = checked(hub, ada, number, repo_id, 70, agrees=False, start_as_recorded=False)
    for page in (client.get(f"/jobs/{number}").text, of_model(hub)):
        assert "badge-bad" in page
        assert "spot-checked: 1 of 12 segments agreed, 2 did not</span>" in page
        assert f"came out as {SEEN[:12]}, recorded is {RECORDED[:12]}" in page
        assert "It ran on another class of platforms than the run" in page
        assert "the checkpoint at step 70 is not the state that the record has for it" in page
    checked(hub, ada, number, repo_id, 10, agrees=False)
    assert "0 of 12 segments agreed, 3 did not" in client.get(f"/jobs/{number}").text, (
        "it agreed once, not always"
    )
    own = client.get(f"/jobs/{bad}").text
    assert f'<a href="/jobs/{number}">steps 50 to 60 of job {number}</a>' in own
    assert "notice-bad" in own
    assert f"Steps 50 to 60, one of 12 segments of job {number}: came out as" in own
    assert "Of the other segments this shows nothing" in client.get(f"/jobs/{first}").text
    assert "checkpoint at step 70" in client.get(f"/jobs/{worse}").text


def test_a_check_that_has_found_nothing_yet_is_shown_and_counts_for_nothing(hub: Any, run: Any) -> None:
    client, ada, repo_id, number = run
    segment = {"job": number, "commit": "c" * 40, "stage": "sft", "start": 0, "stop": 10, "segments": 12}
    waiting = hub.jobs.enqueue(ada, SPOT_CHECK, {"account": "ada", "segment": segment}, repo_id=repo_id)
    page = client.get(f"/jobs/{number}").text
    assert "none of 12 segments spot-checked yet" in page
    hub.jobs.cancel(ada, waiting)
    assert '<span class="badge">cancelled</span>' in of_model(hub)
    assert client.get(f"/api/models/ada/variant/spot-checks/{waiting}").status_code == 404


def test_checkpoints_are_removed_by_their_owner_and_checks_stay(hub: Any, run: Any) -> None:
    client, ada, repo_id, number = run
    checked(hub, ada, number, repo_id, 10)
    other, _ = browser(hub, "bob")
    form = {"csrf": csrf_of(client.get(f"/jobs/{number}").text)}
    theirs = {"csrf": csrf_of(other.get("/jobs").text)}
    for verb in ("spot-check", "forget"):
        assert other.post(f"/jobs/{number}/{verb}", data=theirs).status_code == 404
        assert client.post(f"/jobs/{number}/{verb}", data={"csrf": "x"}).status_code == 403
    assert client.post(f"/jobs/{number}/forget", data=form).headers["location"] == f"/jobs/{number}"
    page = client.get(f"/jobs/{number}").text
    assert "not kept any more" in page
    assert "spot-checked: 1 of 12 segments agreed" in page
    answer = client.post(f"/jobs/{number}/spot-check", data=form)
    assert answer.status_code == 404
    assert "are not kept any more" in answer.text


def test_checkpoints_of_a_deleted_model_go_too(hub: Any, run: Any) -> None:
    client, ada, _, number = run
    assert hub.spot_checks.sweep() == 0
    hub.repos.delete(ada, RepoId(RepoType.MODEL, "ada", "variant"))
    assert hub.spot_checks.sweep() == 1
    assert "not kept any more" in client.get(f"/jobs/{number}").text


def test_what_checks_found_outlives_the_job_and_its_checkpoints(hub: Any, run: Any) -> None:
    """Jobs are forgotten two weeks after their end; their checkpoints then go with them, results of checks do not."""
    client, ada, repo_id, number = run
    checked(hub, ada, number, repo_id, 10)
    checked(hub, ada, number, repo_id, 20)
    ended(hub, ada, ADAPT_MODEL, {}, repo_id, {})
    assert hub.spot_checks.sweep() == 0
    lasting = [kind.name for kind in job_kinds(hub).values() if kind.lasting]
    assert lasting == [SPOT_CHECK]
    with hub.database.write() as connection:
        assert rows.prune(connection, hub.clock() + 20 * DAY_MS, but=lasting) == 1
    assert client.get(f"/jobs/{number}").status_code == 404
    assert hub.spot_checks.sweep() == 1
    assert not (hub.settings.data_dir / "kept" / str(number)).exists()
    assert "spot-checked: 2 of 12 segments agreed" in of_model(hub)
