"""Stock huggingface_hub and hf_xet against a live server: uploads, downloads, strangers, damage."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from seedstock.xet.hashing import hash_to_text
from tests.factories.xet_uploads import Upload, make_upload

SRC = Path(__file__).parents[2] / "src"
_PREAMBLE = """
import json, os, sys
from huggingface_hub import HfApi, hf_hub_download
api = HfApi(endpoint=os.environ["HF_ENDPOINT"], token=os.environ["HF_TOKEN"])
"""


class XetHub:
    """A server process, and clients with homes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "hub"
        self.environ = {**os.environ, "PYTHONPATH": str(SRC)}
        self.tokens = {name: self._person(name) for name in ("ada", "bob")}
        command = [sys.executable, "-m", "seedstock", "serve", "--data", str(self.data), "--port", "0"]
        self.log = (folder / "server.log").open("w")
        self.process = subprocess.Popen(
            command, env=self.environ, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().removeprefix("ready on ").strip()

    def _person(self, name: str) -> str:
        for arguments in (["user", name], ["token", name, "--role", "write"]):
            done = subprocess.run(
                [sys.executable, "-m", "seedstock", "admin", *arguments, "--data", str(self.data)],
                env=self.environ,
                check=True,
                capture_output=True,
                text=True,
            )
        return done.stdout.split()[-1]

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(40) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()

    def client(self, script: str, *, home: str, who: str = "ada", xet: bool = True) -> str:
        """Run a client script with `api` at hand; one home is one machine with its caches."""
        environ = {
            **os.environ,
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.tokens[who],
            "HF_HOME": str(self.folder / home),
            "HF_XET_CACHE": str(self.folder / home / "xet"),
            "HF_HUB_DISABLE_XET": "0" if xet else "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _PREAMBLE + script],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stored_bytes(self) -> int:
        """Size of all stored xorbs."""
        return sum(
            path.stat().st_size for path in (self.data / "store" / "xorbs").rglob("*") if path.is_file()
        )

    def whole_files(self) -> int:
        """Number of files stored outside of xorbs."""
        return sum(path.is_file() for path in (self.data / "store" / "files").rglob("*"))

    def xorb_path(self, text: str) -> Path:
        return self.data / "store" / "xorbs" / text[:2] / text[2:4] / text

    def http(self, who: str | None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"} if who else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def create_repo(self, who: str, name: str, *, private: bool = False) -> str:
        with self.http(who) as http:
            answer = http.post("/api/repos/create", json={"name": name, "private": private})
            assert answer.status_code == 200, answer.text
        return f"{who}/{name}"

    def cas(self, who: str, repo: str, access: str = "write") -> httpx.Client:
        """A client of the store with a token for a repo."""
        with self.http(who) as http:
            answer = http.get(f"/api/models/{repo}/xet-{access}-token/main")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert answer.headers["X-Xet-Cas-Url"] == body["casUrl"]
        assert answer.headers["X-Xet-Access-Token"] == body["accessToken"]
        assert int(answer.headers["X-Xet-Token-Expiration"]) == body["exp"]
        headers = {"Authorization": f"Bearer {body['accessToken']}"}
        return httpx.Client(base_url=body["casUrl"], headers=headers, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def xet_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XetHub]:
    hub = XetHub(tmp_path_factory.mktemp("xet"))
    try:
        yield hub
    finally:
        hub.stop()


@pytest.fixture
def send(xet_hub: XetHub):
    """Upload by hand, as ada."""

    def run(repo: str, upload: Upload) -> None:
        with xet_hub.cas("ada", repo) as cas:
            answer = cas.post(f"/v1/xorbs/default/{upload.xorb_text}", content=upload.xorb)
            assert answer.status_code == 200, answer.text
            answer = cas.post("/v1/shards", content=upload.shard())
            assert answer.status_code == 200, answer.text
        line = {"path": "w.bin", "algo": "sha256", "oid": upload.digest, "size": len(upload.plain)}
        lines = [{"key": "header", "value": {"summary": "w"}}, {"key": "lfsFile", "value": line}]
        with xet_hub.http("ada") as http:
            answer = http.post(
                f"/api/models/{repo}/commit/main",
                content="\n".join(map(json.dumps, lines)),
                headers={"Content-Type": "application/x-ndjson"},
            )
            assert answer.status_code == 200, answer.text

    return run


def test_a_mixed_folder_comes_back_by_every_way(xet_hub, tmp_path):
    repo = xet_hub.create_repo("ada", "mixed")
    source = random.Random(1)
    big = source.randbytes(6_000_000)
    files = {
        "big.bin": big,
        "sub/edited.bin": big[:2_000_000] + b"an edit" + big[2_000_000:],
        "sub/zeros.safetensors": bytes(3_000_000),
        "tiny.bin": b"\0\1",
        "again.bin": big,
        "empty.txt": b"",
        "README.md": b"---\nlicense: mit\n---\n",
    }
    for name, data in files.items():
        (tmp_path / "up" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / name).write_bytes(data)
    xet_hub.client(f"api.upload_folder(repo_id={repo!r}, folder_path={str(tmp_path / 'up')!r})", home="a")
    assert xet_hub.whole_files() == 0
    for way, xet in (("xet", True), ("plain", False)):
        down = tmp_path / way
        xet_hub.client(f"api.snapshot_download({repo!r}, local_dir={str(down)!r})", home=f"b-{way}", xet=xet)
        for name, data in files.items():
            assert (down / name).read_bytes() == data, (way, name)
    with xet_hub.http("ada") as http:
        tree = http.get(f"/api/models/{repo}/tree/main", params={"recursive": "true"}).json()
        xet_hashes = {entry["path"]: entry.get("xetHash") for entry in tree}
        assert xet_hashes["README.md"] is None
        head = http.head(f"/{repo}/resolve/main/big.bin")
        assert head.headers["X-Xet-Hash"] == xet_hashes["big.bin"]
        assert 'rel="xet-auth"' in head.headers["Link"]
        for start, stop in [(0, 1), (999_999, 2_000_001), (5_999_990, 6_000_000)]:
            answer = http.get(f"/{repo}/resolve/main/big.bin", headers={"Range": f"bytes={start}-{stop - 1}"})
            assert (answer.status_code, answer.content) == (206, big[start:stop])


def test_another_machine_sends_only_what_is_new(xet_hub, tmp_path):
    repo = xet_hub.create_repo("ada", "dedup")
    data = random.Random(2).randbytes(20_000_000)
    edited = data[:9_000_000] + b"edited here" + data[9_000_100:]
    for name, content in (("v1.bin", data), ("v2.bin", edited)):
        (tmp_path / name).write_bytes(content)
    upload = "api.upload_file(repo_id={!r}, path_or_fileobj={!r}, path_in_repo={!r})"
    xet_hub.client(upload.format(repo, str(tmp_path / "v1.bin"), "w.bin"), home="c")
    before = xet_hub.stored_bytes()
    xet_hub.client(upload.format(repo, str(tmp_path / "v2.bin"), "w.bin"), home="d")
    assert xet_hub.stored_bytes() - before < 400_000
    before = xet_hub.stored_bytes()
    other = xet_hub.create_repo("bob", "copy")
    xet_hub.client(upload.format(other, str(tmp_path / "v1.bin"), "w.bin"), home="e", who="bob")
    assert xet_hub.stored_bytes() == before
    # Both files now consist of pieces of several xorbs.
    path = xet_hub.client(f"print(hf_hub_download({repo!r}, 'w.bin'))", home="f").strip()
    assert hashlib.sha256(Path(path).read_bytes()).digest() == hashlib.sha256(edited).digest()


def test_a_stranger_gets_nothing_of_a_private_repo(xet_hub, send):
    secret = xet_hub.create_repo("ada", "secret", private=True)
    upload = make_upload(100)
    send(secret, upload)
    mine = xet_hub.create_repo("bob", "mine")
    with xet_hub.http("bob") as http:
        assert http.get(f"/api/models/{secret}/xet-read-token/main").status_code == 404
        assert http.get(f"/api/models/{secret}/xet-write-token/main").status_code == 404
        assert http.get(f"/{secret}/resolve/main/w.bin").status_code == 404
    chunk = upload.index.chunk_hash(0)
    with xet_hub.cas("bob", mine) as cas:
        assert cas.post("/v1/shards", content=upload.shard()).status_code == 400
        assert cas.get(f"/v1/chunks/default/{hash_to_text(chunk)}").status_code == 404
        assert cas.get(f"/v2/reconstructions/{upload.file_text}").status_code == 404
        assert cas.head(f"/v1/xorbs/default/{upload.xorb_text}").status_code == 404
        grant = cas.post(f"/v1/xorb-grants/default/{upload.xorb_text}", json={"length": 1})
        assert grant.status_code == 404
    with xet_hub.cas("ada", secret) as cas:
        grant = cas.post(f"/v1/xorb-grants/default/{upload.xorb_text}", json={"length": 1})
        assert grant.status_code == 200
        address = cas.get(f"/v2/reconstructions/{upload.file_text}").json()
        (entry,) = address["xorbs"][upload.xorb_text]
    with xet_hub.http(None) as http:
        assert http.get(entry["url"]).content == upload.xorb
        part = http.get(entry["url"], headers={"Range": "bytes=5-20"})
        assert (part.status_code, part.content) == (206, upload.xorb[5:21])
        assert http.get(entry["url"].replace("bytes=0-", "bytes=1-")).status_code == 403
        assert http.get(entry["url"].replace("expires=1", "expires=2")).status_code == 403
    with xet_hub.cas("ada", secret, "read") as cas:
        assert cas.post(f"/v1/xorbs/default/{upload.xorb_text}", content=upload.xorb).status_code == 403
        assert cas.post("/v1/shards", content=upload.shard()).status_code == 403
        del cas.headers["Authorization"]
        assert cas.get(f"/v1/reconstructions/{upload.file_text}").status_code == 401
        cas.headers["Authorization"] = f"Bearer {xet_hub.tokens['ada']}"
        assert cas.get(f"/v1/reconstructions/{upload.file_text}").status_code == 401


def test_hostile_bodies_are_refused_for_good(xet_hub):
    repo = xet_hub.create_repo("ada", "hostile")
    upload, other = make_upload(101), make_upload(102)
    source = random.Random(3)
    xorbs = [b"", b"garbage", upload.xorb[:-1], upload.xorb[:100], upload.xorb + b"more", other.xorb]
    for _ in range(20):
        at = source.randrange(len(upload.xorb))
        xorbs.append(upload.xorb[:at] + bytes([upload.xorb[at] ^ 0x55]) + upload.xorb[at + 1 :])
    with xet_hub.cas("ada", repo) as cas:
        for body in xorbs:
            answer = cas.post(f"/v1/xorbs/default/{upload.xorb_text}", content=body)
            assert answer.status_code in {400, 413}, (len(body), answer.text)
        assert cas.post("/v1/xorbs/default/nonsense", content=upload.xorb).status_code == 400
        huge = cas.post(f"/v1/xorbs/default/{upload.xorb_text}", content=bytes(70 << 20))
        assert huge.status_code in {400, 413}
        assert cas.post("/v1/shards", content=upload.shard()).status_code == 400  # its xorb is not here
        assert cas.post(f"/v1/xorbs/default/{upload.xorb_text}", content=upload.xorb).json() == {
            "was_inserted": True
        }
        shard = upload.shard()
        shards = [b"", shard[:40], shard[: len(shard) // 2], shard + b"x", upload.shard("00" * 32)]
        # Header, term, proof and claim in turn.
        shards += [shard[:at] + bytes([shard[at] ^ 0x81]) + shard[at + 1 :] for at in range(0, 48 * 5, 7)]
        for body in shards:
            answer = cas.post("/v1/shards", content=body)
            assert answer.status_code in {200, 400, 413}, answer.text
            assert answer.status_code != 200 or body[48:80] == shard[48:80]
        assert cas.post("/v1/shards", content=shard).status_code == 200


def test_damage_is_never_served_and_heals(xet_hub, send, tmp_path):
    repo = xet_hub.create_repo("ada", "damaged")
    upload = make_upload(103)
    send(repo, upload)
    path = xet_hub.xorb_path(upload.xorb_text)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with xet_hub.http("ada") as http, xet_hub.cas("ada", repo) as cas:
        assert http.get(f"/{repo}/resolve/main/w.bin").status_code == 500
        answer = cas.get(f"/v1/reconstructions/{upload.file_text}").json()
        (entry,) = answer["fetch_info"][upload.xorb_text]
        assert http.get(entry["url"]).status_code == 400
        assert cas.post("/v1/shards", content=upload.shard()).status_code == 400
        path.unlink()
        assert http.get(entry["url"]).status_code == 400
        assert cas.post(f"/v1/xorbs/default/{upload.xorb_text}", content=upload.xorb).json() == {
            "was_inserted": False
        }
        assert http.get(entry["url"]).content == upload.xorb
        assert http.get(f"/{repo}/resolve/main/w.bin").content == upload.plain


def test_the_stock_client_heals_what_it_uploads_again(xet_hub, tmp_path):
    repo = xet_hub.create_repo("ada", "healed")
    data = random.Random(4).randbytes(3_000_000)
    (tmp_path / "w.bin").write_bytes(data)
    upload = f"api.upload_file(repo_id={repo!r}, path_or_fileobj={str(tmp_path / 'w.bin')!r}, path_in_repo='w.bin')"
    before = set((xet_hub.data / "store" / "xorbs").rglob("*"))
    xet_hub.client(upload, home="g")
    (path,) = [path for path in set((xet_hub.data / "store" / "xorbs").rglob("*")) - before if path.is_file()]
    damaged = bytearray(path.read_bytes())
    damaged[1_000_000] ^= 1
    path.write_bytes(damaged)
    with xet_hub.http("ada") as http:
        assert http.get(f"/{repo}/resolve/main/w.bin").status_code == 500
        other = xet_hub.create_repo("ada", "healed2")
        xet_hub.client(upload.replace(repr(repo), repr(other)), home="h")
        assert http.get(f"/{repo}/resolve/main/w.bin").content == data
        assert http.get(f"/{other}/resolve/main/w.bin").content == data


def test_old_and_unknown_addresses(xet_hub, send):
    repo = xet_hub.create_repo("ada", "legacy")
    upload = make_upload(104)
    send(repo, upload)
    with xet_hub.cas("ada", repo) as cas:
        assert cas.post(f"/xorbs/default/{upload.xorb_text}", content=upload.xorb).status_code == 200
        assert cas.post("/shards", content=upload.shard()).json() == {"result": 0}
        assert cas.get(f"/reconstructions/{upload.file_text}").status_code == 200
        for prefix in ("default", "default-merkledb"):
            chunk = hash_to_text(upload.index.chunk_hash(0))
            assert cas.get(f"/v1/chunks/{prefix}/{chunk}").status_code == 200
            assert cas.get(f"/chunks/{prefix}/{'0' * 64}").status_code == 404
        told = [json.loads(line) for line in cas.post("/v2/shards", content=upload.shard()).text.splitlines()]
        size = len(upload.plain)
        assert told[-2:] == [
            {"type": "validating", "verified": size, "total": size},
            {"type": "result", "result": 0},
        ]
        refused = json.loads(cas.post("/v2/shards", content=upload.shard("00" * 32)).text.splitlines()[-1])
        assert (refused["type"], refused["retryable"]) == ("error", False)
        assert cas.post("/v1/telemetry", content=b"{}").status_code == 200
        beyond = cas.get(f"/v2/reconstructions/{upload.file_text}", headers={"Range": f"bytes={size}-"})
        assert beyond.status_code == 416
        old = str(cas.base_url).replace("/cas/g1", "/cas/g0")
        assert cas.get(f"{old}v1/reconstructions/{upload.file_text}").status_code == 404
