"""Object ids and object bytes equal those of stock git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.digests import Digest, LfsPointer, Oid, git_oid, parse_pointer
from seedstock.core.errors import HubError, UnsupportedFormat
from seedstock.core.git_format import (
    MODE_FILE,
    MODE_TREE,
    TreeItem,
    encode_commit,
    encode_tree,
    identity,
    parse_tree,
)

ZEROS = Oid("0" * 39 + "1")


@pytest.mark.system("git")
@pytest.mark.parametrize("content", [b"", b"hello\n", b"\0\xff" * 1000])
def test_blob_ids_are_gits(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    out = subprocess.run(
        ["git", "hash-object", "--no-filters", "f"], cwd=tmp_path, capture_output=True, check=True
    )
    assert git_oid("blob", content) == out.stdout.decode().strip()


@pytest.mark.system("git")
def test_trees_and_commits_are_gits(tmp_path: Path) -> None:
    def git(*arguments: str, stdin: bytes = b"") -> bytes:
        return subprocess.run(
            ["git", *arguments], cwd=tmp_path, input=stdin, capture_output=True, check=True
        ).stdout

    git("init", "-q")
    blob = Oid(git("hash-object", "-w", "--stdin", stdin=b"x").decode().strip())
    inner = encode_tree([TreeItem("f", MODE_FILE, blob)])
    # "a.txt" sorts before the folder "a", which git sorts as "a/".
    items = [TreeItem("a", MODE_TREE, git_oid("tree", inner)), TreeItem("a.txt", MODE_FILE, blob)]
    outer = encode_tree(items)
    for data in (inner, outer):
        written = git("hash-object", "-w", "-t", "tree", "--stdin", stdin=data).decode().strip()
        assert written == git_oid("tree", data)
    assert [item.name for item in parse_tree(outer)] == ["a.txt", "a"]
    commit = encode_commit(
        git_oid("tree", outer), [], identity("A <b>\n", "a@b"), 1_700_000_000, "hello\n\nworld"
    )
    oid = git("hash-object", "-w", "-t", "commit", "--stdin", stdin=commit).decode().strip()
    assert oid == git_oid("commit", commit)
    assert git("fsck", "--strict") == f"dangling commit {oid}\n".encode()


@given(st.binary(max_size=200))
def test_malformed_trees_are_refused(data: bytes) -> None:
    try:
        items = parse_tree(data)
    except HubError:
        return
    assert all(len(item.oid) == 40 for item in items)


def test_truncated_tree() -> None:
    with pytest.raises(UnsupportedFormat):
        parse_tree(encode_tree([TreeItem("a", MODE_FILE, ZEROS)])[:-1])


def test_pointers_round_trip() -> None:
    pointer = LfsPointer(Digest("ab" * 32), 12345)
    assert parse_pointer(pointer.encode()) == pointer
    assert parse_pointer(pointer.encode() + b"x\n") is None
    assert parse_pointer(b"version https://git-lfs.github.com/spec/v1\n") is None
