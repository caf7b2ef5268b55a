"""A live hub and the system's Chromium, driven like a person's browser."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # before the import; large files then go by plain PUT

import pytest
from huggingface_hub import HfApi
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import seedstock
from tests.conftest import need
from tests.factories.gguf_model import write_tiny_llama

PASSWORD = "correct horse battery"
_ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
_READY_S = 90
expect.set_options(timeout=20_000)  # its 5 s are short where two workers of a test run share two cores

CARD = """\
---
license: apache-2.0
base_model: elsewhere/base
pipeline_tag: text-generation
---
# Tiny

Some **bold** text, [the notes](docs/notes.md) and <b onclick="alert(1)">markup</b>.

<script>window.harm = 1</script>
<img src="https://elsewhere.invalid/x.png" alt="far picture" onerror="window.harm = 1">
"""


class LiveHub:
    """A server in a process of its own, with two users and some repos."""

    def __init__(self, url: str, data: Path, token: str) -> None:
        self.url = url
        self.data = data
        self.api = HfApi(endpoint=url, token=token)


def _seedstock(data: Path, *words: str, stdin: str = "") -> str:
    command = [sys.executable, "-m", "seedstock", *words, "--data", str(data)]
    done = subprocess.run(
        command, check=False, input=stdin, capture_output=True, text=True, env=_environment()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(seedstock.__file__).parents[1])}


def _ready_url(process: subprocess.Popen[str]) -> str:
    """The address that the server prints. Its output is read to the end, so that it never blocks on it."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert process.stdout is not None

    def read(out: IO[str]) -> None:
        with out:
            for line in out:
                lines.put(line)

    threading.Thread(target=read, args=(process.stdout,)).start()
    seen = ""
    while "ready on " not in seen:
        seen += lines.get(timeout=_READY_S)
    return seen.partition("ready on ")[2].split()[0]


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHub]:
    """A hub that stands for the session; tests make repos of their own where they change something."""
    need("chromium")
    data = tmp_path_factory.mktemp("hub")
    for name in ("ada", "bob"):
        _seedstock(data, "admin", "user", name, "--password-stdin", stdin=f"{PASSWORD}\n")
    token = _seedstock(data, "admin", "token", "ada", "--role", "write")
    command = [sys.executable, "-m", "seedstock", "serve", "--data", str(data), "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment()
    )
    try:
        live = LiveHub(_ready_url(process), data, token)
        _publish(live, tmp_path_factory.mktemp("files"))
        yield live
    finally:
        process.terminate()
        process.wait(30)


def _publish(live: LiveHub, folder: Path) -> None:
    """What most tests look at: `ada/tiny` and a private `ada/secret`, pushed by the stock client."""
    folder = folder / "tiny"
    (folder / "docs").mkdir(parents=True)
    write_tiny_llama(folder / "tiny-q8_0.gguf")
    (folder / "README.md").write_text(CARD)
    (folder / "docs" / "notes.md").write_text("# Notes\n\nBack to [the card](../README.md).\n")
    (folder / "config.json").write_text('{"model_type": "llama"}\n')
    live.api.create_repo("ada/tiny")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the client's own, about its HTTP library
        live.api.upload_folder(folder_path=folder, repo_id="ada/tiny", commit_message="Publish a tiny model")
    live.api.create_repo("ada/secret", private=True)
    for name in ("apple", "pear"):
        live.api.create_repo(f"ada/{name}")
        text = f"---\nlicense: mit\npipeline_tag: {'fill-mask' if name == 'pear' else 'text-generation'}\n---\n# {name}\n"
        live.api.upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id=f"ada/{name}")
    _seedstock(live.data, "admin", "jobs", "--wait")


@pytest.fixture(scope="session")
def talkers(live: LiveHub, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two more models that run: `ada/long`, which can go on for long, and `ada/hostile`, which says markup."""
    folder = tmp_path_factory.mktemp("talkers")
    pieces = ("<img src=x onerror=window.harm=1>", "<script>window.harm=1</script>", "**done**")
    files = {
        "long": write_tiny_llama(folder / "long.gguf", context_tokens=32768, seed=1),
        "hostile": write_tiny_llama(folder / "hostile.gguf", script=pieces),
    }
    for name, path in files.items():
        live.api.create_repo(f"ada/{name}")
        live.api.upload_file(path_or_fileobj=path, path_in_repo=path.name, repo_id=f"ada/{name}")
    _seedstock(live.data, "admin", "jobs", "--wait")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    need("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_ARGUMENTS)
        yield browser
        browser.close()


class Watch:
    """What a page did that no page of ours may do."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.faults: list[str] = []
        self._url = url
        context.on("console", lambda message: self._say(message.type, message.text))
        context.on("weberror", lambda error: self.faults.append(str(error.error)))
        context.on("request", lambda request: self._check(request.url))

    def _say(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and "the server responded with a status of 4" not in text:
            self.faults.append(text)

    def _check(self, url: str) -> None:
        if not url.startswith((f"{self._url}/", "data:", "blob:")):
            self.faults.append(f"request to {url}")


@pytest.fixture
def context(browser: Browser, live: LiveHub) -> Iterator[BrowserContext]:
    """A browser without cookies; a console error or a request to another host fails the test."""
    context = browser.new_context(base_url=live.url)
    context.set_default_timeout(20_000)
    watch = Watch(context, live.url)
    yield context
    context.close()
    assert watch.faults == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A tab of somebody who is not signed in."""
    return context.new_page()


def sign_in(page: Page, name: str = "ada", password: str = PASSWORD) -> None:
    """Fill the form as a person does."""
    page.goto("/login")
    page.fill("#name", name)
    page.fill("#password", password)
    page.click("main button[type=submit]")


@pytest.fixture
def ada(page: Page) -> Page:
    """A tab of ada's."""
    sign_in(page)
    page.wait_for_url("**/")
    return page
