"""Naming rules of repos, refs and files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import BadName, BadPath, HubError
from seedstock.core.names import (
    RepoId,
    RepoType,
    check_account_name,
    check_file_path,
    check_ref_name,
    check_repo_name,
)


@pytest.mark.parametrize("name", ["a", "SmolLM2-135M", "v1.0_final", "x" * 96, "0"])
def test_good_repo_names(name: str) -> None:
    assert check_repo_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a--b", "a..b", "-a", "a-", ".a", "a.", "a/b", "a b", "é", "x" * 97, "a.git", "a.GIT"]
)
def test_bad_repo_names(name: str) -> None:
    with pytest.raises(BadName):
        check_repo_name(name)


@pytest.mark.parametrize("name", ["api", "Models", "settings", "x" * 43, "_a"])
def test_bad_account_names(name: str) -> None:
    with pytest.raises(BadName):
        check_account_name(name)


@pytest.mark.parametrize(
    "path", ["a", "a/b.txt", "ä/ö", ".gitignore", ".github/x", "a b", "..a", "a..b", "x" * 255]
)
def test_good_paths(path: str) -> None:
    assert check_file_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        ".",
        "a/.",
        ".git/config",
        "x/.GIT/y",
        ".git",
        ".git./x",
        "git~1/x",
        "a\\b",
        "a\0b",
        "a\nb",
        "x" * 256,
        "a/" + "y" * 300,
        "\ud800",
    ],
)
def test_bad_paths(path: str) -> None:
    with pytest.raises(BadPath):
        check_file_path(path)


@given(st.text())
def test_any_path_is_accepted_or_refused_by_name(path: str) -> None:
    try:
        accepted = check_file_path(path)
    except HubError:
        return
    segments = accepted.split("/")
    assert "" not in segments
    assert ".." not in segments
    assert ".git" not in [segment.lower() for segment in segments]


@pytest.mark.parametrize("name", ["main", "a/b", "v1.0", "feature-x", "é"])
def test_good_refs(name: str) -> None:
    assert check_ref_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a b", "a..b", "a.lock", ".a", "a/", "/a", "a//b", "a~", "a^", "a:b", "-x", "@", "a@{b"]
)
def test_bad_refs(name: str) -> None:
    with pytest.raises(BadName):
        check_ref_name(name)


def test_urls_of_repos() -> None:
    assert RepoId(RepoType.MODEL, "ada", "m").url_path == "ada/m"
    assert RepoId(RepoType.DATASET, "ada", "d").url_path == "datasets/ada/d"
