"""Stock clients against a live hub: every function of the scenario files, per client and transport."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest

from tests.contract.clients import SCENARIOS, Client
from tests.contract.server import HubProcess

# Scenarios that touch no large file need not run once per transport.
SMALL = {"repos", "listing", "accounts"}


def _functions(group: str) -> list[str]:
    tree = ast.parse((SCENARIOS / f"{group}.py").read_text())
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[0] != "_"]


def _check(client: Client, hub: HubProcess, group: str, name: str) -> None:
    done = client.scenario(
        group,
        name,
        STRANGER_TOKEN=hub.tokens["bob"],
        CONTRIBUTOR_TOKEN=hub.tokens["tim"],
        READ_TOKEN=hub.tokens["ada-read"],
    )
    assert done.returncode == 0, done.text


@pytest.mark.parametrize("name", _functions("files"))
def test_files(client: Client, hub: HubProcess, name: str) -> None:
    _check(client, hub, "files", name)


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group in sorted(SMALL) for name in _functions(group)]
)
def test_without_large_files(
    make_client: Callable[..., Client], client_name: str, hub: HubProcess, group: str, name: str
) -> None:
    _check(make_client(client_name), hub, group, name)
