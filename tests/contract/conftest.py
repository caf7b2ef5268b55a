"""One live hub per test process, and the clients that talk to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.clients import OWN, Client, ClientMissing, interpreter
from tests.contract.server import HubProcess

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub with people in it. Its log must be clean when the session ends."""
    process = HubProcess(tmp_path_factory.mktemp("hub") / "data")
    process.people()
    process.start()
    try:
        yield process
    finally:
        process.stop()
    failures = process.failures()
    assert not failures, "the server logged failures:\n" + "\n---\n".join(failures[:5])


@pytest.fixture(params=[OWN, "hf-1.28"])
def client_name(request: pytest.FixtureRequest) -> str:
    """The newest client and the oldest that is promised to work."""
    try:
        interpreter(request.param)
    except ClientMissing as error:
        pytest.skip(str(error))
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["lfs", "xet"])
def xet(request: pytest.FixtureRequest) -> bool:
    """Whether the client moves large files by Xet or plain LFS."""
    return bool(request.param)


@pytest.fixture
def make_client(hub: HubProcess, tmp_path: Path) -> Callable[..., Client]:
    """Build clients with homes of their own."""

    def build(name: str = OWN, *, who: str = "ada", xet: bool = False) -> Client:
        token = hub.tokens[who] if who else ""
        return Client(name, hub.url, token, tmp_path / f"home{next(_NUMBERS)}", xet)

    return build


@pytest.fixture
def client(make_client: Callable[..., Client], client_name: str, xet: bool) -> Client:
    """Ada's client, of every age and transport."""
    return make_client(client_name, xet=xet)


@pytest.fixture
def http(hub: HubProcess) -> Iterator[httpx.Client]:
    """Raw HTTP as ada."""
    headers = {"Authorization": f"Bearer {hub.tokens['ada']}"}
    with httpx.Client(base_url=hub.url, headers=headers, timeout=60, trust_env=False) as session:
        yield session


@pytest.fixture
def stranger(hub: HubProcess) -> Iterator[httpx.Client]:
    """Raw HTTP as nobody."""
    with httpx.Client(base_url=hub.url, timeout=60, trust_env=False) as session:
        yield session


@pytest.fixture
def repo(http: httpx.Client, request: pytest.FixtureRequest) -> str:
    """A fresh model repo of ada's: its id."""
    name = f"ada/r{next(_NUMBERS)}"
    answer = http.post("/api/repos/create", json={"name": name})
    assert answer.status_code == 200, answer.text
    return name
