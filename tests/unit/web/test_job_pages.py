"""The pages of jobs: what they show to whom, forms that stop and retry, plots with odd values, and many metrics."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from starlette.testclient import TestClient

from seedstock.core.viewer import TokenRole, Viewer
from seedstock.db import job_attempts, job_claims, job_events
from seedstock.db.job_events import EventRow
from seedstock.http.app import build_app
from seedstock.web.line_chart import figure, line_chart
from seedstock.web.measured import plots_of, series_of
from seedstock.web.views.plots import PlotView, SeriesView

HTML = {"accept": "text/html", "host": "hub.test"}
PASSWORD = "correct horse battery"


def browser(hub: Any, name: str, *, admin: bool = False) -> tuple[TestClient, Viewer]:
    hub.accounts.create_user(name, password=PASSWORD, admin=admin)
    client = TestClient(build_app(hub), base_url="http://hub.test", headers=HTML, follow_redirects=False)
    client.post("/login", data={"name": name, "password": PASSWORD})
    token = hub.accounts.create_token(name, role=TokenRole.WRITE)
    return client, hub.accounts.viewer_for_token(token)


def csrf_of(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def claim(hub: Any, number: int) -> None:
    with hub.database.write() as connection:
        job = job_claims.claim(connection, "w", hub.clock(), 60_000, only={"adapt"})
    assert job is not None
    assert job.id == number


def test_a_job_is_shown_stopped_and_tried_again_by_its_owner(hub: Any) -> None:
    client, ada = browser(hub, "ada")
    other, _ = browser(hub, "bob")
    number = hub.jobs.enqueue(ada, "adapt", {})
    where = f"/jobs/{number}"
    assert f'href="{where}"' in client.get("/jobs").text
    assert where not in other.get("/jobs").text
    assert other.get(where).status_code == other.get("/jobs/999").status_code == 404
    form = {"csrf": csrf_of(client.get(where).text)}
    assert client.post(f"{where}/cancel", data={"csrf": "x"}).status_code == 403
    assert other.post(f"{where}/cancel", data={"csrf": csrf_of(other.get("/jobs").text)}).status_code == 404
    assert client.post(f"{where}/cancel", data=form).headers["location"] == where
    page = client.get(where).text
    assert "Yes, try again" in page
    assert "Yes, stop it" not in page
    assert client.post(f"{where}/retry", data=form).headers["location"] == where
    claim(hub, number)
    client.post(f"{where}/cancel", data=form)
    assert "asked to stop" in client.get(where).text
    anonymous = TestClient(build_app(hub), base_url="http://hub.test", headers=HTML, follow_redirects=False)
    for path in (where, "/jobs"):
        assert anonymous.get(path).headers["location"].startswith("/login")


def test_admins_see_whose_jobs_they_are(hub: Any) -> None:
    _, ada = browser(hub, "ada")
    client, _ = browser(hub, "root", admin=True)
    number = hub.jobs.enqueue(ada, "adapt", {})
    page = client.get("/admin/jobs?state=queued").text
    assert f'href="/jobs/{number}"' in page
    assert "<td>ada</td>" in page
    assert "<dt>By</dt><dd>ada</dd>" in client.get(f"/jobs/{number}").text


def test_ten_thousand_metrics_are_shown_fast(hub: Any) -> None:
    client, ada = browser(hub, "ada")
    number = hub.jobs.enqueue(ada, "adapt", {})
    claim(hub, number)
    data = ({"step": step, "loss": 1 / step, "eval_loss": None, "<b>": 1.0} for step in range(1, 10_001))
    said: list[tuple[int, str, str, dict[str, Any] | None]] = [(0, "metrics", "", one) for one in data]
    said += [(0, "log", f"<i>{line}</i>", None) for line in range(1000)]
    said.append((0, "sample", "", {"step": 9, "prompt": "<script>", "text": "</pre>"}))
    with hub.database.write() as connection:
        job_events.add(connection, number, said)
        job_attempts.set_progress(connection, number, "w", {"fraction": 0.5, "message": "<u>", "eta_s": 600})
    began_s = time.process_time()
    page = client.get(f"/jobs/{number}").text
    assert time.process_time() - began_s < 2
    assert len(page) < 200_000
    assert "50 % · about 10 min left" in page
    assert '<path class="line line-0" d="M' in page
    assert "&lt;i&gt;999&lt;/i&gt;" in page
    assert "<i>" not in page
    assert "&lt;/pre&gt;" in page


def metrics(*data: dict[str, Any]) -> list[EventRow]:
    return [EventRow(number, 0, "metrics", "", one) for number, one in enumerate(data)]


def test_steps_repeated_after_a_checkpoint_are_drawn_once() -> None:
    said = [{"step": step, "loss": float(step)} for step in (1, 2, 3, 2, 3, 4)]
    said[3]["loss"] = 9.0
    assert series_of(metrics(*said))["loss"] == [(1, 1.0), (2, 9.0), (3, 3.0), (4, 4.0)]


def test_only_what_was_measured_is_plotted() -> None:
    series = series_of(metrics({"step": 1, "reward": 1, "kl": None, "odd": 2.0, "name": "x"}))
    assert [plot.title for plot in plots_of(series)] == ["Reward", "KL"]


@pytest.mark.parametrize(
    "points",
    [(), ((1, None),), ((1, 0.0),), ((5, 2.0), (5, 2.0)), ((1, 1e300), (2, -1e300)), ((1, 1.0), (2, None))],
)
def test_plots_of_odd_values_have_finite_places(points: tuple[tuple[int, float | None], ...]) -> None:
    chart = line_chart(PlotView("Loss", (SeriesView("loss", points),)))
    places = [float(number) for line in chart.lines for number in re.findall(r"-?[\d.]+|nan|inf", line.path)]
    assert all(-1 <= place <= 481 for place in places)
    assert all(0 <= tick.at <= 200 for tick in chart.heights)


def test_figures_are_short() -> None:
    assert [figure(value) for value in (0, 1.23456, 1234.5678, 12345.6, 1e-9, 1e9)] == [
        "0",
        "1.235",
        "1235",
        "12346",
        "1.0e-09",
        "1.0e+09",
    ]
