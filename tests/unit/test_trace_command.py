"""`seedstock trace` before hubs that refuse, and servers that are no hub: one line and an exit code."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from seedstock.cli.main import cli


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, object]]]:
    """A server that answers as it is told."""
    answer: dict[str, object] = {"status": 200, "body": b""}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            body = answer["body"]
            assert isinstance(body, bytes)
            self.send_response(int(str(answer["status"])))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_address[1]}", answer
        finally:
            running.shutdown()
            thread.join()


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["trace", "--token", "t", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr.strip()


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (401, b'{"error": "Invalid token"}', 4, "Invalid token"),
        (403, b'{"error": "Restricted"}', 4, "Restricted"),
        (404, b'{"error": "Repository not found"}', 3, "Repository not found"),
        (400, b'{"error": "No weights"}', 1, "No weights"),
        (503, b'{"error": "Other weights are being traced"}', 7, "being traced"),
        (502, b"<h1>Bad gateway</h1>", 7, "status 502"),
        (200, b"<h1>Welcome</h1>", 7, "no answer of a hub"),
        (200, b"[]", 7, "no answer of a hub"),
        (200, b'{"related": 5}', 7, "no answer of a hub"),
    ],
)
def test_what_a_server_answers(
    server: tuple[str, dict[str, object]], status: int, body: bytes, code: int, words: str
) -> None:
    url, answer = server
    answer |= {"status": status, "body": body}
    found, said = run("ada/m", "--endpoint", url)
    assert (found, words in said, len(said.splitlines())) == (code, True, 1), said


@pytest.mark.parametrize("subject", ["x" * 400, "x" * 400 + "/y", "a\0b"])
def test_a_subject_that_no_file_can_be_called(subject: str) -> None:
    code, said = run(subject, "--endpoint", "http://127.0.0.1:1")
    assert (code, len(said.splitlines())) in {(1, 1), (7, 1)}, said


def test_an_address_that_is_none() -> None:
    code, said = run("ada/m", "--endpoint", "http://host:port")
    assert (code, len(said.splitlines())) == (7, 1), said
