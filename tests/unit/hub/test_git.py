"""Packs from SQL on both databases: complete, strict, and for a bounded number of queries."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from seedstock.core.errors import Invalid, RepoNotFound
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import ANONYMOUS, TokenRole, Viewer
from seedstock.db.refs import RefRow
from seedstock.hub.commits import CommitMessage
from seedstock.hub.git.graph import INFINITE_DEPTH, Graph, find_gap
from seedstock.hub.git.request import parse_request
from seedstock.hub.git.upload_pack import advertisement
from seedstock.hub.operations import Put
from seedstock.wiring import Hub

REPO = RepoId(RepoType.MODEL, "ada", "m")


@pytest.fixture
def ada(hub: Hub) -> Viewer:
    hub.accounts.create_user("ada")
    viewer = hub.accounts.viewer_for_token(hub.accounts.create_token("ada", role=TokenRole.WRITE))
    hub.repos.create(viewer, REPO, private=True)
    return viewer


def commit(hub: Hub, viewer: Viewer, files: dict[str, bytes]) -> str:
    repo, ref = hub.writing.begin(viewer, REPO, "main")
    oids = hub.writing.store_blobs(repo, list(files.values()))
    operations = [Put(path, oid) for path, oid in zip(files, oids, strict=True)]
    return hub.writing.commit(viewer, repo, ref, CommitMessage("t"), operations, None).oid


def packet(text: str) -> bytes:
    return f"{len(text) + 5:04x}{text}\n".encode()


def clone_request(oid: str, *haves: str) -> bytes:
    lines = [packet(f"want {oid} ofs-delta"), b"0000", *(packet(f"have {have}") for have in haves)]
    return b"".join([*lines, packet("done")])


@contextmanager
def counted(hub: Hub) -> Iterator[list[str]]:
    statements: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement)

    sa.event.listen(hub.database.engine, "before_cursor_execute", count)
    yield statements
    sa.event.remove(hub.database.engine, "before_cursor_execute", count)


@pytest.mark.system("git")
def test_a_thousand_files_in_fifty_commits_cost_few_queries(hub: Hub, ada: Viewer, tmp_path: Path) -> None:
    for number in range(50):
        files = {f"d{n % 7}/e{number}/{number}-{n}.txt": f"{number} {n}".encode() for n in range(20)}
        head = commit(hub, ada, files)
    with counted(hub) as statements:
        answer = b"".join(hub.git.upload_pack(ada, REPO, clone_request(head)))
    assert len(statements) <= 20
    assert answer.startswith(b"0008NAK\nPACK")
    git = ["git", "-C", str(tmp_path / "bare")]
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", tmp_path / "bare"], check=True)
    index = [*git, "index-pack", "--stdin", "--strict", "--check-self-contained-and-connected"]
    subprocess.run(index, input=answer[8:], check=True, capture_output=True)
    subprocess.run([*git, "update-ref", "refs/heads/main", head], check=True)
    checked = subprocess.run([*git, "fsck", "--strict", "--full"], capture_output=True, text=True, check=True)
    assert checked.stdout + checked.stderr == ""
    listed = subprocess.run([*git, "ls-tree", "-r", head], capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == 1001


def test_a_fetch_sends_only_what_is_new(hub: Hub, ada: Viewer) -> None:
    old = commit(hub, ada, {"a/one": b"1", "b/two": b"2"})
    new = commit(hub, ada, {"a/three": b"3"})
    answer = b"".join(hub.git.upload_pack(ada, REPO, clone_request(new, old)))
    acknowledged, _, pack = answer.partition(b"PACK")
    assert acknowledged == f"0031ACK {old}\n".encode()
    # The commit, the root folder, the folder `a`, and the file.
    assert int.from_bytes(pack[4:8], "big") == 4


def test_every_kind_of_ref_is_advertised_after_head() -> None:
    names = ["refs/convert/parquet", "refs/heads/dev", "refs/heads/main", "refs/pr/1", "refs/tags/v1"]
    lines = advertisement([RefRow(name, f"{number}" * 40) for number, name in enumerate(names)]).splitlines()
    first, _, capabilities = lines[1].partition(b"\0")
    assert first.startswith(b"0000")
    assert first.endswith(b"2" * 40 + b" HEAD")
    assert b"symref=HEAD:refs/heads/main" in capabilities.split()
    assert [line.split()[1].decode() for line in lines[2:-1]] == names
    assert lines[-1] == b"0000"


def test_strangers_get_nothing_and_unknown_commits_are_refused(hub: Hub, ada: Viewer) -> None:
    with pytest.raises(RepoNotFound):
        hub.git.advertise(ANONYMOUS, REPO)
    with pytest.raises(RepoNotFound):
        hub.git.upload_pack(ANONYMOUS, REPO, clone_request("1" * 40))
    answer = b"".join(hub.git.upload_pack(ada, REPO, clone_request("1" * 40)))
    assert answer[4:] == f"ERR upload-pack: not our ref {'1' * 40}\n".encode()


@pytest.mark.parametrize(
    "body",
    [
        b"0",
        b"zzzz",
        b"00ffwant",
        packet("want xyz"),
        packet("want " + "g" * 40),
        packet("deepen -1"),
        packet("filter blob:none"),
        packet("want " + "1" * 40) + b"0000" + packet("give all"),
        packet("want ünïcode"),
    ],
)
def test_malformed_requests_are_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        parse_request(body)


# a - b - c - d, and m, which merges x (a root) into d.
HISTORY = Graph(dict.fromkeys("abcdxm", "tree"), {"b": ["a"], "c": ["b"], "d": ["c"], "m": ["d", "x"]})


def test_a_clone_gets_everything() -> None:
    gap = find_gap(HISTORY, ["m"], [], frozenset(), None)
    assert (sorted(gap.commits), gap.known, gap.shallow) == (sorted("abcdxm"), [], [])


def test_depth_cuts_where_parents_are_left_out() -> None:
    gap = find_gap(HISTORY, ["m"], [], frozenset(), 2)
    assert (sorted(gap.commits), gap.shallow) == (["d", "m", "x"], ["d"])


def test_deepening_sends_what_was_cut() -> None:
    gap = find_gap(HISTORY, ["m"], ["m"], frozenset({"d"}), INFINITE_DEPTH)
    assert (sorted(gap.commits), gap.known, gap.unshallow) == (["a", "b", "c"], ["d"], ["d"])


def test_a_shallow_client_is_not_believed_to_have_ancestors() -> None:
    gap = find_gap(HISTORY, ["m"], ["c"], frozenset({"c"}), None)
    assert (sorted(gap.commits), gap.known) == (["d", "m", "x"], ["c"])
    gap = find_gap(HISTORY, ["b"], ["c"], frozenset({"c"}), None)
    assert sorted(gap.commits) == ["a", "b"]


def test_ready_only_when_every_want_descends_from_something_common() -> None:
    assert HISTORY.descend_from(["m", "d"], ["b"])
    assert not HISTORY.descend_from(["m", "x"], ["b"])
