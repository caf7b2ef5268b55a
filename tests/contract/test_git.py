"""Stock git and git-lfs against a live server."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from seedstock import __file__ as package
from tests.unit.hub.test_git import packet

pytestmark = pytest.mark.system("git")

UPLOAD = """
from huggingface_hub import CommitOperationAdd, HfApi
api = HfApi()
def put(repo, files, **options):
    operations = [CommitOperationAdd(path, data) for path, data in files.items()]
    return api.create_commit(repo, operations, commit_message="put", **options)
"""
LARGE = bytes(range(256)) * 5000


@dataclass
class GitHub:
    """A live server with one user, and a home for git without anyone's configuration."""

    url: str
    token: str
    home: Path

    def environ(self, **extra: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "GIT_"))}
        return {
            **kept,
            "HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.token,
            "HF_HOME": str(self.home / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            **extra,
        }

    def upload(self, script: str) -> None:
        """Run a script over the stock client."""
        done = subprocess.run(
            [sys.executable, "-c", UPLOAD + script],
            env=self.environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def git(self, *arguments: object, fails: bool = False, **extra: str) -> str:
        command = ["git", *map(str, arguments)]
        environ = self.environ(**extra)
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    def clone(self, repo: str, folder: Path, *options: str, **extra: str) -> Path:
        self.git("clone", "-q", *options, f"{self.secret_url}/{repo}", folder, **extra)
        self.check(folder)
        return folder

    def check(self, folder: Path) -> None:
        command = ["git", "-C", str(folder), "fsck", "--strict", "--full"]
        done = subprocess.run(command, env=self.environ(), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")

    @property
    def secret_url(self) -> str:
        return self.url.replace("http://", f"http://ada:{self.token}@")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    folder = tmp_path_factory.mktemp("git")
    data, home = folder / "data", folder / "home"
    home.mkdir()
    environ = {**os.environ, "PYTHONPATH": str(Path(package).parents[1])}
    seedstock = [sys.executable, "-m", "seedstock"]

    def admin(*arguments: str) -> str:
        command = [*seedstock, "admin", *arguments, "--data", str(data)]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()

    admin("user", "ada")
    token = admin("token", "ada", "--role", "write", "--name", "git")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*seedstock, "serve", "--data", str(data), "--port", "0"],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready on "), (folder / "log").read_text()
        hub = GitHub(line.split()[-1], token, home)
        hub.upload(f"""
api.create_repo("ada/open")
api.create_repo("ada/shut", private=True)
api.create_repo("ada/data", repo_type="dataset")
put("ada/shut", {{"secret.txt": b"s"}})
put("ada/data", {{"rows.csv": b"a,b"}}, repo_type="dataset")
put("ada/open", {{"config.json": b"{{}}", "sub/deep/ünï cöde.txt": b"text", "empty": b""}})
api.create_tag("ada/open", tag="v1")
put("ada/open", {{"model.bin": {LARGE[:256]!r} * 5000}})
api.create_branch("ada/open", branch="dev")
put("ada/open", {{"dev.txt": b"dev"}}, revision="dev")
put("ada/open", {{"config.json": b"{{1}}"}})
""")
        yield hub
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
    assert "Traceback" not in (folder / "log").read_text()


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_a_public_clone_holds_what_was_uploaded(server: GitHub, tmp_path: Path, version: str) -> None:
    server.git("-c", f"protocol.version={version}", "clone", "-q", f"{server.url}/ada/open", tmp_path / "c")
    server.check(tmp_path / "c")
    assert (tmp_path / "c/config.json").read_bytes() == b"{1}"
    assert (tmp_path / "c/sub/deep/ünï cöde.txt").read_bytes() == b"text"
    assert (tmp_path / "c/empty").read_bytes() == b""
    assert (tmp_path / "c/model.bin").read_bytes().startswith(b"version https://git-lfs.github.com/spec/v1\n")
    assert server.git("-C", tmp_path / "c", "symbolic-ref", "HEAD").strip() == "refs/heads/main"
    assert server.git("-C", tmp_path / "c", "tag").split() == ["v1"]
    assert "origin/dev" in server.git("-C", tmp_path / "c", "branch", "-r")


def test_git_and_the_api_name_the_same_commit(server: GitHub, tmp_path: Path) -> None:
    folder = server.clone("ada/open.git", tmp_path / "c")
    head = server.git("-C", folder, "rev-parse", "HEAD").strip()
    assert httpx.get(f"{server.url}/api/models/ada/open", trust_env=False).json()["sha"] == head


def test_a_dataset_is_cloned_below_its_prefix(server: GitHub, tmp_path: Path) -> None:
    assert (server.clone("datasets/ada/data", tmp_path / "c") / "rows.csv").read_bytes() == b"a,b"


def test_a_private_repo_needs_the_token(server: GitHub, tmp_path: Path) -> None:
    assert (server.clone("ada/shut", tmp_path / "a") / "secret.txt").read_bytes() == b"s"
    store = tmp_path / "credentials"
    store.write_text(server.secret_url + "\n")
    helper = f"credential.helper=store --file={store}"
    server.git("-c", helper, "clone", "-q", f"{server.url}/ada/shut", tmp_path / "b")
    assert (tmp_path / "b/secret.txt").read_bytes() == b"s"
    for name in ("shut", "absent"):
        said = server.git("clone", f"{server.url}/ada/{name}", tmp_path / name, fails=True)
        assert "could not read Username" in said
    wrong = server.url.replace("http://", "http://ada:hf_wrong@")
    said = server.git("clone", f"{wrong}/ada/shut", tmp_path / "wrong", fails=True)
    assert "Authentication failed" in said


def test_a_missing_repo_is_not_found_with_a_token(server: GitHub, tmp_path: Path) -> None:
    said = server.git("clone", f"{server.secret_url}/ada/absent", tmp_path / "c", fails=True)
    assert "remote: Repository not found" in said


def test_anonymous_answers_do_not_tell_private_from_absent(server: GitHub) -> None:
    answers = [
        httpx.get(f"{server.url}/ada/{name}/info/refs?service=git-upload-pack", trust_env=False)
        for name in ("shut", "absent")
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].text == answers[1].text
    assert answers[0].headers["www-authenticate"].startswith("Basic ")


def test_a_push_is_refused_in_words(server: GitHub, tmp_path: Path) -> None:
    folder = server.clone("ada/open", tmp_path / "c")
    said = server.git("-C", folder, "push", "origin", "main:other", fails=True)
    assert "does not take git pushes yet" in said
    assert "hf upload ada/open ." in said


def test_single_branches_and_tags(server: GitHub, tmp_path: Path) -> None:
    folder = server.clone("ada/open", tmp_path / "dev", "--single-branch", "--branch", "dev")
    assert (folder / "dev.txt").read_bytes() == b"dev"
    assert server.git("-C", folder, "branch", "-r").split() == ["origin/dev"]
    tagged = server.clone("ada/open", tmp_path / "v1", "--branch", "v1", "-c", "advice.detachedHead=false")
    assert not (tagged / "model.bin").exists()


def test_shallow_clones_deepen(server: GitHub, tmp_path: Path) -> None:
    folder = server.clone("ada/open", tmp_path / "c", "--depth", "1")
    whole = server.clone("ada/open", tmp_path / "whole")
    count = ("rev-list", "--count", "HEAD")
    assert server.git("-C", folder, *count).strip() == "1"
    server.git("-C", folder, "fetch", "-q", "--depth", "2")
    assert server.git("-C", folder, *count).strip() == "2"
    server.git("-C", folder, "fetch", "-q", "--unshallow")
    server.check(folder)
    assert server.git("-C", folder, *count) == server.git("-C", whole, *count)


def test_a_commit_is_fetched_by_name(server: GitHub, tmp_path: Path) -> None:
    whole = server.clone("ada/open", tmp_path / "whole")
    first = server.git("-C", whole, "rev-list", "--max-parents=0", "HEAD").strip()
    server.git("init", "-q", tmp_path / "c")
    server.git("-C", tmp_path / "c", "fetch", "-q", "--depth", "1", f"{server.url}/ada/open", first)
    assert server.git("-C", tmp_path / "c", "rev-parse", "FETCH_HEAD").strip() == first
    said = server.git("-C", tmp_path / "c", "fetch", f"{server.url}/ada/open", "1" * 40, fails=True)
    assert "not our ref" in said


def test_an_orphan_branch_without_files(server: GitHub, tmp_path: Path) -> None:
    server.upload('api.create_repo("ada/orphan")')
    made = httpx.post(
        f"{server.url}/api/models/ada/orphan/branch/bare",
        json={"emptyBranch": True},
        headers={"Authorization": f"Bearer {server.token}"},
        trust_env=False,
    )
    assert made.is_success, made.text
    folder = server.clone("ada/orphan", tmp_path / "c", "--branch", "bare")
    assert [path.name for path in folder.iterdir()] == [".git"]


def test_a_moved_repo_is_found_under_its_old_name(server: GitHub, tmp_path: Path) -> None:
    server.upload("""
api.create_repo("ada/before")
put("ada/before", {"a": b"1"})
api.move_repo("ada/before", "ada/after")
""")
    assert (server.clone("ada/before", tmp_path / "a") / "a").exists()
    assert (server.clone("ada/before.git", tmp_path / "b") / "a").exists()


def test_many_commits_and_files_with_incremental_fetches(server: GitHub, tmp_path: Path) -> None:
    server.upload("""
api.create_repo("ada/many")
for n in range(5):
    put("ada/many", {f"d{k % 9}/{n}-{k}.txt": b"%d %d" % (n, k) for k in range(200)})
for n in range(20):
    put("ada/many", {f"d0/{n}.log": b"%d" % n})
""")
    started = time.monotonic()
    folder = server.clone("ada/many", tmp_path / "c")
    assert time.monotonic() - started < 60
    server.upload("""
for n in range(25):
    put("ada/many", {f"d1/{n}.log": b"%d" % n, "d2/same.log": b"%d" % n})
""")
    # Commits of the client's own, which the hub has never seen, make the negotiation take rounds.
    who = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")
    for number in range(40):
        server.git("-C", folder, *who, "commit", "-q", "--allow-empty", "-m", number)
    trace = tmp_path / "trace"
    server.git("-C", folder, "fetch", "-q", GIT_TRACE_PACKET=str(trace))
    said = trace.read_text()
    assert "NAK" in said
    assert " ready" in said
    server.check(folder)
    server.git("-C", folder, "checkout", "-q", "--detach", "origin/main")
    assert sum(1 for path in folder.rglob("*") if path.is_file() and ".git/" not in str(path)) == 1047
    assert server.git("-C", folder, "rev-list", "--count", "HEAD").strip() == "51"


def test_gzip_bodies_are_unpacked_within_limits(server: GitHub) -> None:
    def post(body: bytes) -> httpx.Response:
        return httpx.post(
            f"{server.url}/ada/open/git-upload-pack",
            content=body,
            headers={"Content-Encoding": "gzip"},
            trust_env=False,
        )

    wanted = packet("want " + "1" * 40) + b"0000" + packet("done")
    assert b"not our ref" in post(gzip.compress(wanted)).content
    assert post(b"not gzip").status_code == 400
    assert post(gzip.compress(wanted)[:-9]).status_code == 400
    assert post(gzip.compress(bytes(40 << 20))).status_code == 413


def test_dumb_clients_are_told(server: GitHub) -> None:
    answer = httpx.get(f"{server.url}/ada/open/info/refs", trust_env=False)
    assert answer.status_code == 403
    assert "smart HTTP" in answer.text


@pytest.mark.system("git-lfs")
@pytest.mark.parametrize("suffix", ["", ".git"])
def test_git_lfs_brings_the_real_bytes(server: GitHub, tmp_path: Path, suffix: str) -> None:
    filters = [
        *("-c", "filter.lfs.smudge=git-lfs smudge -- %f"),
        *("-c", "filter.lfs.process=git-lfs filter-process"),
        *("-c", "filter.lfs.required=true"),
    ]
    folder = tmp_path / "c"
    for name in ("open", "shut"):
        if name == "shut":
            server.upload(f'put("ada/shut", {{"model.bin": {LARGE[:256]!r} * 5000}})')
        folder = tmp_path / name
        url = f"{server.secret_url}/ada/{name}{suffix}"
        server.git(*filters, "clone", "-q", url, folder, GIT_LFS_SKIP_SMUDGE="0")
        assert (folder / "model.bin").read_bytes() == LARGE
