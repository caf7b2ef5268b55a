"""Answers to strangers are given again while nothing changed, and never a moment longer."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import TokenRole, Viewer
from seedstock.db.engine import Database, default_url
from seedstock.http.app import build_app
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Put
from seedstock.hub.repos import RepoSettings
from seedstock.wiring import Hub, open_hub

REPO = RepoId(RepoType.MODEL, "ada", "m")
INFO = "/api/models/ada/m"


class Statements:
    """Counts what reaches the database, apart from the stamp."""

    def __init__(self, hub: Hub) -> None:
        self.count = 0
        sa.event.listen(hub.database.engine, "before_cursor_execute", self._note)

    def _note(self, *_: object) -> None:
        self.count += 1


@pytest.fixture
def ada(hub: Hub) -> Viewer:
    hub.accounts.create_user("ada")
    viewer = hub.accounts.viewer_for_token(hub.accounts.create_token("ada", role=TokenRole.WRITE))
    hub.repos.create(viewer, REPO)
    return viewer


def get(app: object, path: str = INFO, **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


def test_nothing_is_asked_twice_while_nothing_changes(hub: Hub, ada: Viewer) -> None:
    app = build_app(hub)
    first = get(app)
    statements = Statements(hub)
    again = get(app)
    assert again.json() == first.json()
    if hub.stamp() is not None:
        assert statements.count == 0
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


def test_every_change_is_seen_at_once(hub: Hub, ada: Viewer) -> None:
    app = build_app(hub)
    before = get(app).json()["sha"]
    row, ref = hub.writing.begin(ada, REPO, "main")
    [oid] = hub.writing.store_blobs(row, [b"x"])
    made = hub.writing.commit(ada, row, ref, CommitMessage("t"), [Put("a", oid)])
    assert get(app).json()["sha"] == made.oid != before
    hub.repos.like(ada, REPO, liked=True)
    assert get(app).json()["likes"] == 1
    hub.repos.change(ada, REPO, RepoSettings(private=True))
    assert get(app).status_code == 401
    hub.repos.change(ada, REPO, RepoSettings(private=False))
    assert get(app).status_code == 200
    hub.repos.delete(ada, REPO)
    assert get(app).status_code == 401


def test_a_change_by_another_process_is_seen(hub: Hub, ada: Viewer) -> None:
    app = build_app(hub)
    assert get(app).json()["private"] is False
    other = open_hub(hub.settings)
    other.repos.change(ada, REPO, RepoSettings(private=True))
    other.close()
    assert get(app).status_code == 401


def test_what_somebody_is_told_is_kept_from_others(hub: Hub, ada: Viewer) -> None:
    app = build_app(hub)
    hub.repos.change(ada, REPO, RepoSettings(private=True))
    token = hub.accounts.create_token("ada")
    for _ in range(2):
        assert get(app, authorization=f"Bearer {token}").status_code == 200
        assert get(app).status_code == 401
        assert get(app, cookie="seedstock_session=x").status_code == 401


def test_addresses_in_answers_follow_the_request(hub: Hub, ada: Viewer) -> None:
    hub.repos.create(ada, RepoId(RepoType.MODEL, "ada", "n"))
    app = build_app(hub)
    for host in ("one.example", "two.example", "one.example"):
        link = get(app, "/api/models?limit=1", host=host).headers["link"]
        assert link.startswith(f"<http://{host}/")


def test_downloads_are_counted_every_time(hub: Hub, ada: Viewer) -> None:
    app = build_app(hub)
    get(app)
    for _ in range(3):
        get(app, **{"x-hf-download-counter": "1"})
    hub.downloads.flush()
    assert get(app).json()["downloads"] == 3


def test_the_stamp_changes_with_every_commit_of_any_connection(tmp_path: Path) -> None:
    database = Database(default_url(tmp_path))
    with database.write() as connection:
        connection.execute(sa.text("CREATE TABLE t (x INTEGER)"))
    stamps = [database.stamp()]

    def insert() -> None:
        with database.write() as connection:
            connection.execute(sa.text("INSERT INTO t VALUES (1)"))

    insert()
    stamps.append(database.stamp())
    thread = threading.Thread(target=insert)
    thread.start()
    thread.join()
    stamps.append(database.stamp())
    with database.read() as connection:
        connection.execute(sa.text("SELECT * FROM t")).all()
    assert database.stamp() == stamps[-1]
    assert len(set(stamps)) == 3
    database.close()
