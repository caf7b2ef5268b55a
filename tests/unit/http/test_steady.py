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
from seedstock.hub.operations import Put, PutLarge
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


def put_file(hub: Hub, ada: Viewer, path: str, data: bytes) -> str:
    """Commit a large file; its digest."""
    row, ref = hub.writing.begin(ada, REPO, "main")
    with hub.content.staging.open() as staged:
        staged.write(data)
        digest = hub.content.add_received(row.id, staged)
    hub.writing.commit(ada, row, ref, CommitMessage("t"), [PutLarge(path, digest, len(data))])
    return digest


def test_a_kept_file_answers_every_range_and_head(hub: Hub, ada: Viewer) -> None:
    data = bytes(range(256)) * 40
    put_file(hub, ada, "w.bin", data)
    app, path = build_app(hub), "/ada/m/resolve/main/w.bin"
    assert get(app, path).content == data
    statements = Statements(hub)
    part = get(app, path, range="bytes=5-20")
    assert (part.status_code, part.content) == (206, data[5:21])
    assert part.headers["content-range"] == f"bytes 5-20/{len(data)}"
    assert get(app, path, range="bytes=-4").content == data[-4:]
    assert get(app, path).content == data
    beyond = get(app, path, range=f"bytes={len(data)}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(data)}")
    assert get(app, path, **{"range": "bytes=0-1", "if-range": '"other"'}).content == data
    etag = part.headers["etag"]
    assert get(app, path, **{"range": "bytes=0-1", "if-range": etag}).content == data[:2]
    if hub.stamp() is not None:
        assert statements.count == 0


def test_a_kept_file_that_was_damaged_meanwhile_is_not_sent(hub: Hub, ada: Viewer) -> None:
    digest = put_file(hub, ada, "w.bin", bytes(5000))
    app, path = build_app(hub), "/ada/m/resolve/main/w.bin"
    assert get(app, path).status_code == 200
    stored = next((hub.settings.data_dir / "store").rglob(digest))
    stored.chmod(0o600)
    with stored.open("r+b") as file:
        file.write(b"x")
    answer = get(app, path)
    assert answer.status_code == 500
    assert "damaged" in answer.json()["error"] or "orrupt" in answer.json()["error"]


def test_whole_downloads_are_counted_each_time_and_once(hub: Hub, ada: Viewer) -> None:
    put_file(hub, ada, "w.gguf", bytes(100))
    app, path = build_app(hub), "/ada/m/resolve/main/w.gguf"
    for _ in range(3):
        get(app, path)
    get(app, path, range="bytes=0-9")
    get(app, path, **{"x-hf-download-counter": "1"})
    hub.downloads.flush()
    assert get(app).json()["downloads"] == 4


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
