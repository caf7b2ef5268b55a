"""A hub without a server: services over a database of each kind and a store in a folder, at a fixed time."""

import pytest

from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.settings import load
from seedstock.wiring import open_hub


class Clock:
    """Time that tests move."""

    def __init__(self):
        self.now = 1_700_000_000_000

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def hub(database_url, tmp_path, clock):
    hub = open_hub(load({}, data=tmp_path / "data", database_url=database_url), clock)
    yield hub
    hub.close()


@pytest.fixture
def make_repo(hub):
    """Create a repo, and its owner if need be; returns viewer and repo."""

    def build(owner, name, *, private=False):
        try:
            account = hub.accounts.get(owner)
        except Exception:
            account = hub.accounts.create_user(owner)
        viewer = Viewer(account_id=account.id, name=owner)
        return viewer, hub.repos.create(viewer, RepoId(RepoType.MODEL, owner, name), private=private)

    return build
