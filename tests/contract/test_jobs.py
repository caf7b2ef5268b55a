"""Following jobs of a live hub: events as they are stored, exact resumption, and streams that leave nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from seedstock.cli.hub_client import HubClient
from seedstock.cli.job_follower import follow, parse_events
from seedstock.core.clock import DAY_MS, now_ms
from seedstock.db import accounts, job_attempts, job_claims, job_events
from seedstock.db import jobs as rows
from seedstock.db.engine import Database, default_url
from tests.contract.server import ROOT, HubProcess
from tests.contract.test_slow_clients import until, web_processes

Event = tuple[str, int | None, dict[str, Any]]


class Pretender:
    """Stands in for a worker: runs jobs by saying what the test wants said."""

    def __init__(self, data: Path) -> None:
        self.database = Database(default_url(data))

    def begin(self, owner: str = "ada") -> int:
        """A running job of ada's that no real worker touches, for it seems to be of tomorrow."""
        tomorrow = now_ms() + DAY_MS
        with self.database.write() as connection:
            account = accounts.find_account(connection, owner)
            assert account is not None
            number = rows.enqueue(
                connection, "pretended", {}, at=tomorrow, max_attempts=1, account_id=account.id
            )
            job = job_claims.claim(connection, "test", tomorrow, DAY_MS, only={"pretended"})
            assert job is not None
            assert job.id == number
        return number

    def say(self, number: int, *steps: int) -> None:
        said = [(now_ms(), "metrics", "", {"step": step, "loss": 1 / step}) for step in steps]
        with self.database.write() as connection:
            job_events.add(connection, number, said)

    def end(self, number: int) -> None:
        with self.database.write() as connection:
            job_events.add(connection, number, [(now_ms(), "log", "goodbye", None)])
            assert job_attempts.finish(
                connection, number, "test", rows.DONE, now_ms(), result={"repo": "ada/m"}
            )


@pytest.fixture
def pretender(hub: HubProcess) -> Iterator[Pretender]:
    pretender = Pretender(hub.data)
    yield pretender
    pretender.database.close()


def stream_of(http: httpx.Client, number: int, after: int = 0) -> list[Event]:
    headers = {"Last-Event-ID": str(after)}
    with http.stream("GET", f"/api/jobs/{number}/events", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return list(parse_events(answer.iter_lines()))


def steps_of(events: list[Event]) -> list[int]:
    return [data["data"]["step"] for name, _, data in events if name == "metrics"]


def test_a_stream_ends_with_the_job_and_goes_on_after_any_id(
    http: httpx.Client, pretender: Pretender
) -> None:
    number = pretender.begin()
    pretender.say(number, *range(1, 2502))
    pretender.end(number)
    events = stream_of(http, number)
    assert steps_of(events) == list(range(1, 2502))
    assert [name for name, id, _ in events if id is None] == ["state", "end"]
    assert events[-2][2]["text"] == "goodbye"
    assert events[-1][2] == {"state": "done", "result": {"repo": "ada/m"}, "error": None}
    middle = events[1700][1]
    assert middle is not None
    numbered = [event for event in events if event[1] is not None]
    again = [event for event in stream_of(http, number, middle) if event[1] is not None]
    assert again == [event for event in numbered if event[1] is not None and event[1] > middle]


def test_what_is_stored_is_shown_within_seconds(http: httpx.Client, pretender: Pretender) -> None:
    number = pretender.begin()
    with http.stream("GET", f"/api/jobs/{number}/events?after=0") as answer:
        events = parse_events(answer.iter_lines())
        assert next(events)[0] == "state"
        for step in (1, 2):
            began_s = time.monotonic()
            pretender.say(number, step)
            name, _, data = next(events)
            assert (name, data["data"]["step"]) == ("metrics", step)
            assert time.monotonic() - began_s < 15
        pretender.end(number)
        assert [name for name, _, _ in events] == ["log", "state", "end"]


def test_jobs_of_others_do_not_exist(hub: HubProcess, http: httpx.Client, pretender: Pretender) -> None:
    number = pretender.begin()
    bob = {"Authorization": f"Bearer {hub.tokens['bob']}"}
    for path in ("", "/log", "/events"):
        foreign = httpx.get(f"{hub.url}/api/jobs/{number}{path}", headers=bob, trust_env=False)
        unknown = http.get(f"/api/jobs/999999{path}")
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.text.replace(str(number), "N") == unknown.text.replace("999999", "N")
    assert number in [job["id"] for job in http.get("/api/jobs?kind=pretended&state=running").json()]
    theirs = httpx.get(f"{hub.url}/api/jobs", headers=bob, trust_env=False).json()
    assert number not in [job["id"] for job in theirs]
    assert http.get("/api/jobs?all=1").status_code == 403
    assert http.get("/api/jobs?state=late").status_code == 400
    pretender.end(number)


def test_lists_are_paged_and_logs_come_as_text(http: httpx.Client, pretender: Pretender) -> None:
    numbers = [pretender.begin() for _ in range(3)]
    for number in numbers:
        pretender.end(number)
    first = http.get("/api/jobs?kind=pretended&limit=2")
    assert [job["id"] for job in first.json()] == numbers[:0:-1]
    assert numbers[0] == http.get(first.links["next"]["url"]).json()[0]["id"]
    text = http.get(f"/api/jobs/{numbers[0]}/log?format=text")
    assert text.headers["content-type"].startswith("text/plain")
    assert text.text.endswith(" goodbye\n")
    assert http.get(f"/api/jobs/{numbers[0]}/log").json()[0]["text"] == "goodbye"
    assert http.post(f"/api/jobs/{numbers[0]}/retry").status_code == 409


def test_abandoned_streams_leave_nothing_behind(
    hub: HubProcess, http: httpx.Client, pretender: Pretender
) -> None:
    def held() -> int:
        found = 0
        for pid in web_processes(hub):
            found += len(os.listdir(f"/proc/{pid}/fd")) + len(os.listdir(f"/proc/{pid}/task"))
        return found

    number = pretender.begin()
    address = urlsplit(hub.url)
    request = (
        f"GET /api/jobs/{number}/events HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {hub.tokens['ada']}\r\n\r\n"
    ).encode()

    def open_streams(count: int) -> list[tuple[socket.socket, bytes]]:
        opened = []
        for _ in range(count):
            connection = socket.create_connection((address.hostname, address.port))
            connection.sendall(request)
            opened.append((connection, connection.recv(12)))
        return opened

    for connection, _ in open_streams(20):  # as many threads as will ever be needed
        connection.close()
    assert until(lambda: streams_free(http, number), 10)
    before = held()
    for _ in range(10):
        opened: list[tuple[socket.socket, bytes]] = []

        def one_more(opened: list[tuple[socket.socket, bytes]] = opened) -> bool:
            """A stream that was left a moment ago may still count."""
            [(connection, status)] = open_streams(1)
            if status == b"HTTP/1.1 200":
                opened.append((connection, status))
            else:
                connection.close()
            return len(opened) == 20

        assert until(one_more, 20)
        extra = open_streams(1)
        assert extra[0][1] == b"HTTP/1.1 429"
        for connection, _ in [*opened, *extra]:
            connection.close()
        assert until(lambda: streams_free(http, number), 10)
    assert until(lambda: held() <= before + 5, 15), f"{held()} files and threads, {before} before"
    pretender.end(number)


def streams_free(http: httpx.Client, number: int) -> bool:
    """Whether no stream of ada's is open any more: then all twenty may be opened at once."""
    answers = []
    try:
        for _ in range(20):
            answer = http.send(http.build_request("GET", f"/api/jobs/{number}/events"), stream=True)
            answers.append(answer)
        return all(answer.status_code == 200 for answer in answers)
    finally:
        for answer in answers:
            answer.close()


def command(hub: HubProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "SEEDSTOCK_"))}
    environ |= {"PYTHONPATH": str(ROOT / "src"), "HF_ENDPOINT": hub.url, "HF_TOKEN": hub.tokens["ada"]}
    return subprocess.run(
        [sys.executable, "-m", "seedstock", "jobs", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_lists_shows_follows_and_stops(hub: HubProcess, pretender: Pretender) -> None:
    number = pretender.begin()
    pretender.say(number, 1, 2)
    assert f"{number}  running" in command(hub).stdout
    asked = command(hub, "cancel", str(number))
    assert asked.stdout == f"job {number}: asked to stop\n"
    pretender.end(number)
    shown = command(hub, "show", str(number))
    assert "done, attempt 1 of 1" in shown.stdout
    assert "goodbye" in shown.stdout
    followed = command(hub, "follow", str(number))
    assert followed.returncode == 0
    lines = [line.partition(" ")[2] for line in followed.stdout.splitlines()]
    assert lines == ["step 1  loss 1", "step 2  loss 0.5", "goodbye", '{"repo":"ada/m"}']
    as_json = command(hub, "follow", str(number), "--json").stdout.splitlines()
    assert '"kind":"metrics"' in as_json[1] + as_json[0]
    assert as_json[-1].startswith('{"event":"end","state":"done"')
    again = command(hub, "retry", str(number))
    assert again.returncode == 5
    assert "neither failed nor was cancelled" in again.stderr
    assert command(hub, "follow", "999999").returncode == 3


def test_the_exit_code_tells_the_outcome(hub: HubProcess, http: httpx.Client, pretender: Pretender) -> None:
    for state, code in ((rows.DEAD, 1), (rows.CANCELLED, 5)):
        number = pretender.begin()
        with pretender.database.write() as connection:
            job_attempts.finish(connection, number, "test", state, now_ms(), error="no luck")
        done = command(hub, "follow", str(number))
        assert (done.returncode, "Traceback" in done.stderr) == (code, False)


def test_following_goes_on_over_a_restart_of_the_server(tmp_path: Path) -> None:
    """It is told everything once, and a server that is stopped does not wait for those who follow."""
    hub = HubProcess(tmp_path / "data")
    hub.people()
    hub.start()
    pretender = Pretender(hub.data)
    try:
        number = pretender.begin()
        client = HubClient(hub.url, hub.tokens["ada"], "Following")
        told: list[int] = []
        ends: list[dict[str, Any]] = []

        def listen() -> None:
            ends.append(follow(client, number, lambda name, data: told.append(data.get("id", 0))))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        pretender.say(number, *range(1, 6))
        assert until(lambda: len(told) == 6, 20)
        began_s = time.monotonic()
        hub.stop()
        assert time.monotonic() - began_s < 20
        pretender.say(number, *range(6, 11))
        hub.start()
        client.url = hub.url  # a free port, so another one
        assert until(lambda: len([id for id in told if id]) == 10, 30)
        pretender.end(number)
        thread.join(30)
        assert ends
        numbers = [id for id in told if id]
        assert len(numbers) == 11
        assert numbers == sorted(set(numbers))
    finally:
        pretender.database.close()
        hub.stop()
