"""`/metrics`: who may read it, and that Prometheus' own parser can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from seedstock.core.viewer import TokenRole
from seedstock.db.engine import default_url
from seedstock.http.app import build_app
from seedstock.settings import Settings
from seedstock.wiring import Hub, open_hub

HERE, ELSEWHERE = ("127.0.0.1", 5000), ("203.0.113.7", 5000)


def _hub(folder: Path, **options: str) -> Hub:
    return open_hub(
        Settings(
            data_dir=folder, database_url=default_url(folder), store_url=f"file:{folder / 'store'}", **options
        )
    )


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Hub]:
    hub = _hub(tmp_path)
    yield hub
    hub.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Hub]:
    hub = _hub(tmp_path, metrics_token="let-me-in")
    yield hub
    hub.close()


def _status(hub: Hub, client: tuple[str, int], **headers: str) -> int:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    with TestClient(build_app(hub), client=client) as web:
        return web.get("/metrics", headers=named).status_code


def _bearer(hub: Hub, name: str, *, admin: bool) -> str:
    hub.accounts.create_user(name, admin=admin)
    return f"Bearer {hub.accounts.create_token(name, role=TokenRole.READ)}"


def test_this_machine_and_admins_may_read(plain: Hub) -> None:
    assert _status(plain, HERE) == 200
    assert _status(plain, ("::1", 5000)) == 200
    assert _status(plain, ELSEWHERE) == 401
    assert _status(plain, ELSEWHERE, authorization=_bearer(plain, "root", admin=True)) == 200
    assert _status(plain, ELSEWHERE, authorization=_bearer(plain, "ada", admin=False)) == 403


@pytest.mark.parametrize("header", ["x_forwarded_for", "X_Forwarded_Proto", "forwarded", "x_real_ip", "via"])
def test_whoever_comes_through_a_proxy_is_not_of_this_machine(plain: Hub, header: str) -> None:
    assert _status(plain, HERE, **{header: "127.0.0.1"}) == 401


def test_with_a_token_only_who_has_it(guarded: Hub) -> None:
    assert _status(guarded, HERE) == 401
    assert _status(guarded, ELSEWHERE, authorization="Bearer let-me-in") == 200
    assert _status(guarded, ELSEWHERE, authorization="bearer let-me-in") == 200
    assert _status(guarded, HERE, authorization="Bearer let-me-i") == 401
    assert _status(guarded, HERE, authorization="Bearer é") == 401
    assert _status(guarded, HERE, authorization="Basic bGV0LW1lLWlu") == 401
    assert _status(guarded, ELSEWHERE, authorization=_bearer(guarded, "root", admin=True)) == 200


def test_what_is_read_is_valid_and_counts_by_pattern(plain: Hub) -> None:
    plain.queue.enqueue("index_revision", {"repo_id": 1, "commit": "x"})
    with TestClient(build_app(plain), client=HERE) as web:
        for name in ("one", "two", "three"):
            assert web.get(f"/api/models/ada/{name}").status_code == 401
        assert web.request("BREW", "/pot").status_code == 405
        assert web.get("/metrics").status_code == 200
        text = web.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    requests = families["seedstock_http_requests"]
    assert requests.type == "counter"
    found = {
        tuple(sample.labels.values()): sample.value
        for sample in requests.samples
        if sample.name.endswith("_total")
    }
    assert [value for labels, value in found.items() if "{name}" in labels[1]] == [3]
    assert found["GET", "/metrics", "200"] == 1
    assert found["", "", "405"] == 1
    assert "BREW" not in text
    (jobs,) = families["seedstock_jobs"].samples
    assert (jobs.labels, jobs.value) == ({"kind": "index_revision", "state": "queued"}, 1)
    assert families["seedstock_engines_up"].samples[0].value == 0
