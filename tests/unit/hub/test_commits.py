"""Commits on both databases: what they hold, how they collide, what they refuse."""

from __future__ import annotations

import hashlib
import threading

import pytest

from seedstock.core.digests import EMPTY_TREE_OID
from seedstock.core.errors import (
    BadCommit,
    BadPath,
    Conflict,
    EntryNotFound,
    Forbidden,
    RefMoved,
    RepoNotFound,
    RevisionNotFound,
)
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import ANONYMOUS, TokenRole, Viewer
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Copy, Delete, DeleteFolder, Operation, Put, PutLarge
from seedstock.hub.writing import Candidate
from seedstock.wiring import Hub

REPO = RepoId(RepoType.MODEL, "ada", "m")


@pytest.fixture
def ada(hub: Hub) -> Viewer:
    hub.accounts.create_user("ada")
    viewer = hub.accounts.viewer_for_token(hub.accounts.create_token("ada", role=TokenRole.WRITE))
    hub.repos.create(viewer, REPO)
    return viewer


def put(hub: Hub, viewer: Viewer, files: dict[str, bytes]) -> list[Operation]:
    repo, _ = hub.writing.begin(viewer, REPO, "main")
    return [
        Put(path, oid)
        for path, oid in zip(files, hub.writing.store_blobs(repo, list(files.values())), strict=True)
    ]


def commit(
    hub: Hub, viewer: Viewer, operations: list[Operation], parent: str | None = None, title: str = "t"
) -> str:
    repo, ref = hub.writing.begin(viewer, REPO, "main")
    return hub.writing.commit(viewer, repo, ref, CommitMessage(title), operations, parent).oid


def paths(hub: Hub, viewer: Viewer, revision: str = "main") -> list[str]:
    page = hub.reading.tree(viewer, REPO, revision, recursive=True, expand=False, limit=1000, offset=0)
    return [entry.path for entry in page.entries]


def test_a_new_repo_has_one_commit(hub: Hub, ada: Viewer) -> None:
    history, total = hub.reading.history(ada, REPO, "main", limit=10, offset=0)
    assert total == 1
    assert history[0].title == "initial commit"
    assert paths(hub, ada) == [".gitattributes"]


def test_files_come_back_and_folders_sort_as_in_git(hub: Hub, ada: Viewer) -> None:
    commit(hub, ada, put(hub, ada, {"a/x": b"1", "a.txt": b"2", "a/b/c": b"3", "z": b""}))
    assert paths(hub, ada) == [".gitattributes", "a.txt", "a", "a/b", "a/b/c", "a/x", "z"]
    assert hub.reading.file(ada, REPO, "main/a/b/c").data == b"3"
    with pytest.raises(EntryNotFound):
        hub.reading.file(ada, REPO, "main/a/b")


def test_delete_folder_then_add_in_it_works_in_any_order(hub: Hub, ada: Viewer) -> None:
    commit(hub, ada, put(hub, ada, {"a/old": b"1", "a/b/old": b"2"}))
    commit(hub, ada, [*put(hub, ada, {"a/new": b"3"}), DeleteFolder("a/")])
    assert paths(hub, ada) == [".gitattributes", "a", "a/new"]


def test_folders_left_empty_vanish(hub: Hub, ada: Viewer) -> None:
    commit(hub, ada, put(hub, ada, {"a/b/c": b"1"}))
    commit(hub, ada, [Delete("a/b/c"), Delete(".gitattributes")])
    assert paths(hub, ada) == []
    at = hub.reading.repo_at(ada, REPO)
    assert at.commit.tree_oid == EMPTY_TREE_OID


def test_last_commits_are_found_for_files_and_folders(hub: Hub, ada: Viewer) -> None:
    first = commit(hub, ada, put(hub, ada, {"a/x": b"1", "b": b"1"}))
    second = commit(hub, ada, put(hub, ada, {"a/y": b"2"}))
    page = hub.reading.tree(ada, REPO, "main", recursive=True, expand=True, limit=100, offset=0)
    last = {path: row.oid for path, row in page.last_commits.items()}
    assert last["a"] == second
    assert last["a/x"] == first
    assert last["b"] == first


def test_the_same_content_again_is_no_new_commit(hub: Hub, ada: Viewer) -> None:
    first = commit(hub, ada, put(hub, ada, {"a": b"1"}))
    assert commit(hub, ada, put(hub, ada, {"a": b"1"})) == first


def test_a_stale_parent_is_refused_and_a_short_one_accepted(hub: Hub, ada: Viewer) -> None:
    old = hub.reading.repo_at(ada, REPO).commit.oid
    new = commit(hub, ada, put(hub, ada, {"a": b"1"}), parent=old[:7])
    with pytest.raises(RefMoved):
        commit(hub, ada, put(hub, ada, {"a": b"2"}), parent=old)
    assert hub.reading.repo_at(ada, REPO).commit.oid == new


def test_concurrent_commits_all_land_in_one_line(hub: Hub, ada: Viewer) -> None:
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for step in range(5):
                commit(hub, ada, put(hub, ada, {f"{number}/{step}": b"x"}))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len([path for path in paths(hub, ada) if "/" in path]) == 20
    history, total = hub.reading.history(ada, REPO, "main", limit=100, offset=0)
    assert total == len(history) == 21
    assert [row.generation for row in history] == list(range(21, 0, -1))


def test_a_large_file_must_have_been_given_to_this_repo(hub: Hub, ada: Viewer) -> None:
    content = b"weights" * 1000
    digest = hashlib.sha256(content).hexdigest()
    with pytest.raises(BadCommit, match="was uploaded"):
        commit(hub, ada, [PutLarge("w.bin", digest, len(content))])
    repo = hub.repos.get(ada, REPO)
    with hub.content.staging.open() as staged:
        staged.write(content)
        hub.content.add_whole(repo.id, digest, len(content), staged)
    with pytest.raises(BadCommit, match="bytes, not"):
        commit(hub, ada, [PutLarge("w.bin", digest, 1)])
    commit(hub, ada, [PutLarge("w.bin", digest)])
    file = hub.reading.file(ada, REPO, "main/w.bin")
    assert file.file is not None
    assert b"".join(hub.content.open_range(file.file, 7, 21)) == content[7:21]
    assert hub.reading.pointer(file).startswith(b"version https://git-lfs")


def test_copies_keep_what_they_copied(hub: Hub, ada: Viewer) -> None:
    first = commit(hub, ada, put(hub, ada, {"a": b"1"}))
    commit(hub, ada, put(hub, ada, {"a": b"2"}))
    commit(hub, ada, [Copy("b", "a"), Copy("c", "a", first)])
    assert hub.reading.file(ada, REPO, "main/b").data == b"2"
    assert hub.reading.file(ada, REPO, "main/c").data == b"1"


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        ([Delete("none")], EntryNotFound),
        ([DeleteFolder("none/")], EntryNotFound),
        ([Copy("b", "none")], EntryNotFound),
        ([PutLarge("x", "zz")], BadCommit),
        ([Delete("../x")], BadPath),
        ([PutLarge(".git/x", "0" * 64)], BadPath),
    ],
)
def test_operations_that_cannot_be_applied(
    hub: Hub, ada: Viewer, operations: list[Operation], error: type[Exception]
) -> None:
    before = hub.reading.repo_at(ada, REPO).commit.oid
    with pytest.raises(error):
        commit(hub, ada, operations)
    assert hub.reading.repo_at(ada, REPO).commit.oid == before


def test_a_file_is_not_a_folder(hub: Hub, ada: Viewer) -> None:
    commit(hub, ada, put(hub, ada, {"a": b"1", "d/x": b"1"}))
    with pytest.raises(BadCommit, match="is a file"):
        commit(hub, ada, put(hub, ada, {"a/b": b"1"}))
    with pytest.raises(BadCommit, match="is a folder"):
        commit(hub, ada, put(hub, ada, {"d": b"1"}))


def test_branches_and_tags(hub: Hub, ada: Viewer) -> None:
    first = hub.reading.repo_at(ada, REPO).commit.oid
    commit(hub, ada, put(hub, ada, {"a": b"1"}))
    hub.refs.create_branch(ada, REPO, "dev/x", start=first)
    hub.refs.create_tag(ada, REPO, "v1", revision="main")
    assert paths(hub, ada, "dev/x") == [".gitattributes"]
    assert hub.reading.file(ada, REPO, "v1/a").data == b"1"
    assert hub.reading.file(ada, REPO, "refs/heads/dev/x/.gitattributes").data is not None
    assert hub.reading.repo_at(ada, REPO, first[:8]).commit.oid == first
    with pytest.raises(Conflict):
        hub.refs.create_branch(ada, REPO, "dev")
    with pytest.raises(Conflict):
        hub.refs.create_branch(ada, REPO, "dev/x/y")
    with pytest.raises(Forbidden):
        hub.refs.delete_branch(ada, REPO, "main")
    hub.refs.delete_branch(ada, REPO, "dev/x")
    with pytest.raises(RevisionNotFound):
        hub.reading.repo_at(ada, REPO, "dev/x")


def test_strangers_see_nothing_of_private_repos(hub: Hub, ada: Viewer) -> None:
    from seedstock.hub.repos import RepoSettings

    hub.repos.change(ada, REPO, RepoSettings(private=True))
    hub.accounts.create_user("bob")
    bob = hub.accounts.viewer_for_token(hub.accounts.create_token("bob", role=TokenRole.WRITE))
    for viewer in (ANONYMOUS, bob):
        with pytest.raises(RepoNotFound) as private:
            hub.reading.repo_at(viewer, REPO)
        with pytest.raises(RepoNotFound) as missing:
            hub.reading.repo_at(viewer, RepoId(RepoType.MODEL, "ada", "none"))
        assert str(private.value) == str(missing.value)
        with pytest.raises(RepoNotFound):
            hub.writing.begin(viewer, REPO, "main")


def test_a_deleted_repo_leaves_no_rows(hub: Hub, ada: Viewer) -> None:
    commit(hub, ada, put(hub, ada, {"a": b"1"}))
    hub.repos.delete(ada, REPO)
    with pytest.raises(RepoNotFound):
        hub.repos.get(ada, REPO)
    hub.repos.create(ada, REPO)
    assert paths(hub, ada) == [".gitattributes"]


def test_a_damaged_file_is_asked_for_again(hub: Hub, ada: Viewer) -> None:
    content = b"weights" * 1000
    digest = hashlib.sha256(content).hexdigest()
    repo = hub.repos.get(ada, REPO)

    def upload() -> None:
        with hub.content.staging.open() as staged:
            staged.write(content)
            hub.content.add_whole(repo.id, digest, len(content), staged)

    upload()
    commit(hub, ada, [PutLarge("w.bin", digest)])
    candidate = Candidate("w.bin", len(content), content[:512])
    assert hub.writing.plan(ada, REPO, "main", [candidate])[0].present == digest
    path = hub.content.local_file(hub.content.get(digest))
    assert path is not None
    path.write_bytes(content[:-1] + b"X")
    assert hub.writing.plan(ada, REPO, "main", [candidate])[0].present is None
    upload()
    assert hub.writing.plan(ada, REPO, "main", [candidate])[0].present == digest
    assert b"".join(hub.content.open_range(hub.content.get(digest), 0, len(content))) == content
