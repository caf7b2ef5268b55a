"""Wrong usage of the commands: one line that says what and what to do, and an exit code; never a traceback."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from seedstock.accounts.service import Accounts
from seedstock.cli import companions
from seedstock.cli.main import cli
from seedstock.core.clock import now_ms
from seedstock.jobs.queue import Queue
from seedstock.places import open_database
from seedstock.settings import load


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr.strip()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("serve", "--port", "99999"), 2, "65535"),
        (("serve", "--workers", "0"), 2, "--workers"),
        (("serve", "--data", "FILE"), 7, "Cannot use the data folder"),
        (("serve", "--data", "FILE/x"), 7, "Cannot use the data folder"),
        (("serve", "--data", "DIR", "--port", "0", "--store-url", "nonsense"), 1, "store URL"),
        (("serve", "--data", "DIR", "--port", "0", "--store-url", "ftp://x"), 1, "store URL"),
        (("serve", "--data", "DIR", "--port", "0", "--public-url", "x"), 1, "public_url"),
        (("serve", "--data", "DIR", "--port", "0", "--host", "192.0.2.7"), 7, "Cannot listen on 192.0.2.7"),
        (
            (
                *("admin", "publisher", "ada", "--organisation", "A", "--source", "https://example.org"),
                *("--data", "DIR", "--signing-key", "BINARY"),
            ),
            1,
            "public key in PEM",
        ),
        (("worker", "--data", "FILE"), 7, "Cannot use the data folder"),
        (("admin", "user", "ada", "--data", "FILE"), 7, "Cannot use the data folder"),
        (("admin", "user", "ada", "--database-url", "nonsense"), 1, "database URL"),
        (("admin", "user", "ada", "--database-url", "oracle://x/y"), 7, "not installed"),
        (("admin", "user", "ada", "--database-url", "postgresql://a@127.0.0.1:1/x"), 7, "does not answer"),
        (("admin", "jobs", "--database-url", "sqlite:///FILE"), 7, "not a database"),
        (("tour", "--cache", "FILE"), 7, "--cache"),
        (("remote", "add", "x", "--url", "http://x/v1", "--token", "t"), 1, "No key was given"),
        (
            ("remote", "add", "x", "--url", "http://x/v1", "--token", "t", "--key-stdin"),
            1,
            "The key is empty",
        ),
        (("remote", "add", "x", "--token", "t"), 2, "--url"),
        (("remote", "change", "x", "--token", "t"), 1, "Nothing is to be changed"),
        (("remote", "change", "x", "--token", "t", "--model", "m", "--all-models"), 1, "contradicts a list"),
        (("remote", "list", "--endpoint", "http://127.0.0.1:1", "--token", "t"), 7, "does not answer"),
        (("serve", "--data", "DIR", "--remotes", "perhaps"), 2, "'on', 'off'"),
    ],
)
def test_one_line(arguments: tuple[str, ...], code: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no database " * 100)
    (tmp_path / "binary").write_bytes(b"\x7fELF\xff\xfe" * 100)
    places = {
        "BINARY": str(tmp_path / "binary"),
        "FILE": str(tmp_path / "file"),
        "DIR": str(tmp_path / "hub"),
    }
    for name, place in places.items():
        arguments = tuple(argument.replace(name, place) for argument in arguments)
    status, said = run(*arguments)
    assert (status, words in said) == (code, True), said
    assert code == 2 or len(said.splitlines()) == 1


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, said = run("serve", "--data", str(tmp_path), "--port", port)
    assert status == 7
    assert f"port {port}: Address already in use (stop what uses it" in said


def test_organisations_are_no_members(tmp_path: Path) -> None:
    accounts = Accounts(open_database(load({}, data=tmp_path)), now_ms)
    accounts.create_org("lab")
    status, said = run("admin", "org", "lab2", "--member", "lab:admin", "--data", str(tmp_path))
    assert (status, said) == (1, "seedstock: lab is an organisation; members are users")


def test_waiting_for_jobs_that_nobody_runs_says_so(tmp_path: Path) -> None:
    queue = Queue(open_database(load({}, data=tmp_path)), now_ms)
    said: list[int] = []
    job = queue.enqueue("rank", {})

    def sleep(seconds: float) -> None:
        assert seconds < 1
        if said:
            queue.cancel(job)

    queue.wait(lambda _: None, said.append, sleep, patience_s=0.0)
    assert said == [1]


def test_the_data_folder_is_its_owners_alone(tmp_path: Path) -> None:
    run("admin", "user", "ada", "--data", str(tmp_path / "hub"))
    assert (tmp_path / "hub").stat().st_mode & 0o777 == 0o700


def test_passwords_in_urls_are_not_arguments(tmp_path: Path) -> None:
    settings = load({}, data=tmp_path, database_url=f"sqlite:///{tmp_path / 'x.db'}?password=secret")
    worker = companions.start_worker(settings)
    try:
        end_s = time.monotonic() + 10
        while "secret" not in Path(f"/proc/{worker.pid}/environ").read_text():  # empty while it starts
            assert time.monotonic() < end_s
            time.sleep(0.01)
        assert "secret" not in Path(f"/proc/{worker.pid}/cmdline").read_text()
    finally:
        worker.terminate()
        worker.wait(20)
        assert worker.stdin is not None
        worker.stdin.close()
