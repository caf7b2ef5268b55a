"""Bad input over raw HTTP: always a clear 4xx, never a 5xx or a stack trace, and nothing changes."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from tests.contract.server import HubProcess


def refused(answer: httpx.Response, *statuses: int, code: str | None = None) -> str:
    """Assert a well-formed refusal and return its text."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:500])
    assert answer.headers["x-request-id"]
    assert answer.headers["content-type"].startswith("application/json")
    text = answer.json()["error"]
    assert text
    assert "Traceback" not in answer.text
    assert answer.headers.get("x-error-code") == code
    return str(text)


def commit(
    http: httpx.Client, repo: str, *lines: Any, header: Any = None, revision: str = "main"
) -> httpx.Response:
    """Send a commit."""
    first = {"key": "header", "value": {"summary": "s", **(header or {})}}
    body = b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in (first, *lines)
    )
    return http.post(f"/api/models/{repo}/commit/{quote(revision, safe='')}", content=body)


def put(path: str, data: bytes = b"x") -> dict[str, Any]:
    """A commit line that writes a file."""
    return {
        "key": "file",
        "value": {"path": path, "content": base64.b64encode(data).decode(), "encoding": "base64"},
    }


def head(http: httpx.Client, repo: str) -> str:
    """The commit that main points at."""
    return str(http.get(f"/api/models/{repo}").json()["sha"])


def batch(http: httpx.Client, repo: str, data: bytes, **options: Any) -> dict[str, Any]:
    """Announce an LFS object; its upload action."""
    body = {
        "operation": "upload",
        "objects": [{"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}],
        **options,
    }
    answer = http.post(f"/{repo}.git/info/lfs/objects/batch", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["objects"][0]
    return found


BAD_PATHS = [
    "../x", "a/../x", "..", ".", "a/./b", "/x", "a//b", "a/", "", "a\x00b", "a\nb", "a\\b", "..\\x", ".git/config",
    "a/.git/hooks/post-commit", ".GIT/x", ".git", "git~1/x", ".git /x", ".git./x", "x" * 300, f"a/{'y' * 256}",
    "\u4e2d" * 100, "a/" * 3000 + "b", "\x7f", "a\tb",
]  # fmt: skip


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_git_or_a_disk_would_misread_is_refused(http: httpx.Client, repo: str, path: str) -> None:
    before = head(http, repo)
    pointer = {"path": path, "oid": "0" * 64}
    for line in (
        put(path),
        {"key": "lfsFile", "value": pointer},
        {"key": "copyFile", "value": {"path": path, "srcPath": ".gitattributes"}},
    ):
        refused(commit(http, repo, line), 422)
    preupload = {"files": [{"path": path, "size": 1, "sample": ""}]}
    refused(http.post(f"/api/models/{repo}/preupload/main", json=preupload), 422)
    deleted = commit(http, repo, {"key": "deletedFile", "value": {"path": path}})
    assert deleted.status_code in {404, 422}, deleted.text
    assert head(http, repo) == before


@pytest.mark.parametrize(
    "path",
    ["%00", "a%00b", "%2e%2e/%2e%2e/etc/passwd", "..%2f..%2fetc%2fpasswd", "%ff%fe", "a%0d%0aSet-Cookie:x"],
)
def test_odd_paths_of_downloads_find_nothing(http: httpx.Client, repo: str, path: str) -> None:
    for route in (
        f"/{repo}/resolve/main/{path}",
        f"/{repo}/raw/main/{path}",
        f"/api/models/{repo}/tree/main/{path}",
    ):
        answer = http.get(route)
        assert answer.status_code in {400, 404}, (route, answer.status_code)
        assert "set-cookie" not in answer.headers
        assert "root:" not in answer.text


def test_path_traversal_without_a_clients_help(hub: HubProcess, repo: str) -> None:
    parts = urlsplit(hub.url)
    for target in (
        f"/{repo}/resolve/main/../../../../etc/passwd",
        "/../../etc/passwd",
        "//etc/passwd",
        "/..%2f..%2f/x",
    ):
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as raw:
            raw.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: raw.recv(65536), b""))
        assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 3")), answer[:100]
        assert b"root:" not in answer


def test_files_may_differ_in_case_alone_but_repos_may_not(http: httpx.Client, repo: str) -> None:
    assert commit(http, repo, put("A.txt", b"1"), put("a.txt", b"2")).status_code == 200
    assert http.get(f"/{repo}/resolve/main/A.txt").content == b"1"
    assert http.get(f"/{repo}/resolve/main/a.txt").content == b"2"
    answer = http.post("/api/repos/create", json={"name": repo.upper().replace("ADA", "Ada")})
    assert answer.status_code == 409
    assert answer.json()["url"].endswith(f"/{repo}")


@pytest.mark.parametrize(
    "name",
    ["a--b", "a..b", "x.git", "-a", ".a", "a" * 97, "\u00e4", "a b", "..", "", "a\x00b", "a/b/c", "x.ipynb"],
)
def test_a_bad_repo_name_is_refused(http: httpx.Client, name: str) -> None:
    refused(http.post("/api/repos/create", json={"name": name, "organization": "ada"}), 400, 403)


def test_a_file_cannot_be_a_folder_too(http: httpx.Client, repo: str) -> None:
    assert commit(http, repo, put("a/b")).status_code == 200
    refused(commit(http, repo, put("a")), 400)
    refused(commit(http, repo, put("a/b/c")), 400)
    refused(commit(http, repo, put("x"), put("x/y")), 400)
    refused(commit(http, repo, put("x/y"), put("x")), 400)
    assert commit(http, repo, {"key": "deletedFolder", "value": {"path": "a/"}}, put("a")).status_code == 200


def test_a_stale_parent_is_refused(http: httpx.Client, repo: str) -> None:
    first = head(http, repo)
    assert commit(http, repo, put("1"), header={"parentCommit": first[:7]}).status_code == 200
    assert "updated since" in refused(commit(http, repo, put("2"), header={"parentCommit": first}), 412)
    refused(commit(http, repo, put("2"), header={"parentCommit": "zzzzzzz"}), 412)
    refused(commit(http, repo, put("2"), header={"parentCommit": ""}), 412)
    assert http.head(f"/{repo}/resolve/main/2").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\n\n", b"{", b"null", b"[]", b'{"key":"header"}', b'{"key":"header","value":{}}', b"\xff\xfe",
        b'{"key":"header","value":{"summary":""}}', b'{"key":"header","value":{"summary":5}}',
        b'{"key":"file","value":{"path":"a","content":""}}', b"[" * 100_000,
        b'{"key":"header","value":{"summary":"s"}}\n{"key":"zap","value":{}}',
        b'{"key":"header","value":{"summary":"s"}}\n{"key":"file","value":{"path":"a","content":"!","encoding":"base64"}}',
        b'{"key":"header","value":{"summary":"s"}}\n{"key":"file","value":{"path":"a","content":"a","encoding":"rot13"}}',
        b'{"key":"header","value":{"summary":"s"}}\n{"key":"lfsFile","value":{"path":"a","oid":"xyz"}}',
        b'{"key":"header","value":{"summary":"s"}}\n{"key":"lfsFile","value":{"path":"a","oid":"%s"}}' % (b"0" * 64),
        b'{"key":"header","value":{"summary":"s"}}\n{"key":"lfsFile","value":{"path":"a","algo":"md5","oid":"%s"}}' % (b"0" * 64),
        b'{"key":"header","value":{"summary":"s"}}\n{"key":"copyFile","value":{"path":"a","srcPath":"absent"}}',
    ],
)  # fmt: skip
def test_a_malformed_commit_changes_nothing(http: httpx.Client, repo: str, body: bytes) -> None:
    before = head(http, repo)
    answer = http.post(f"/api/models/{repo}/commit/main", content=body)
    refused(answer, 400, 404, code="EntryNotFound" if answer.status_code == 404 else None)
    assert head(http, repo) == before


def test_a_commit_names_only_what_its_repo_was_given(http: httpx.Client, repo: str, hub: HubProcess) -> None:
    secret = b"secret weights" * 100
    upload = batch(http, repo, secret)["actions"]["upload"]["href"]
    assert httpx.put(upload, content=secret, trust_env=False).status_code == 200
    digest = hashlib.sha256(secret).hexdigest()
    with httpx.Client(base_url=hub.url, headers={"Authorization": f"Bearer {hub.tokens['bob']}"}) as bob:
        assert bob.post("/api/repos/create", json={"name": "bob/thief"}).status_code in {200, 409}
        line = {"key": "lfsFile", "value": {"path": "stolen", "oid": digest, "size": len(secret)}}
        refused(commit(bob, "bob/thief", line), 400)
        body = {"operation": "download", "objects": [{"oid": digest, "size": len(secret)}]}
        found = bob.post("/bob/thief.git/info/lfs/objects/batch", json=body).json()["objects"][0]
        assert found["error"]["code"] == 404
        # A pointer in a small file is text, not a right.
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(secret)}\n"
        refused(commit(bob, "bob/thief", put("p", pointer.encode())), 400)
        assert bob.get("/bob/thief/resolve/main/p").status_code == 404


def test_an_upload_that_is_not_what_was_announced_is_refused(http: httpx.Client, repo: str) -> None:
    data = b"weights" * 5000
    for wrong in (data[:-1], data + b"x", b"", bytes([data[0] ^ 1]) + data[1:]):
        action = batch(http, repo, data)["actions"]["upload"]
        refused(httpx.put(action["href"], content=wrong, trust_env=False), 400, 413)
    line = {
        "key": "lfsFile",
        "value": {"path": "w.bin", "oid": hashlib.sha256(data).hexdigest(), "size": len(data)},
    }
    refused(commit(http, repo, line), 400)
    verify = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
    refused(http.post(f"/{repo}.git/info/lfs/objects/verify", json=verify), 404)
    assert httpx.put(batch(http, repo, data)["actions"]["upload"]["href"], content=data).status_code == 200
    refused(http.post(f"/{repo}.git/info/lfs/objects/verify", json=verify | {"size": 1}), 400)
    line["value"]["size"] = 3
    refused(commit(http, repo, line), 400)


def test_upload_addresses_hold_only_as_signed(http: httpx.Client, repo: str, hub: HubProcess) -> None:
    data = b"signed" * 50
    href = batch(http, repo, data)["actions"]["upload"]["href"]
    digest = hashlib.sha256(data).hexdigest()
    other = hashlib.sha256(b"other").hexdigest()
    for forged in (
        href.replace(digest, other),
        href[:-3] + "xyz",
        href.split("?")[0],
        href.replace("exp=", "exp=9"),
    ):
        refused(httpx.put(forged, content=data, trust_env=False), 403)
    refused(httpx.put(f"{hub.url}/lfs/{'9' * 30}/{digest}/{'9' * 30}", content=b""), 403)
    for path in (f"/lfs-object/1/{digest}", "/lfs-part/abc/1", "/lfs-complete/abc"):
        method = {"/lfs-o": "GET", "/lfs-p": "PUT", "/lfs-c": "POST"}[path[:6]]
        refused(httpx.request(method, f"{hub.url}{path}", trust_env=False), 403)


@pytest.mark.parametrize(
    "body",
    [
        {}, {"operation": "steal", "objects": []}, {"operation": "upload", "objects": [{"oid": "x", "size": 1}]},
        {"operation": "upload", "objects": [{"oid": "0" * 64, "size": -1}]},
        {"operation": "upload", "objects": [{"oid": "0" * 64, "size": 10**30}]},
        {"operation": "upload", "objects": [{"oid": "A" * 64, "size": 1}]},
        {"operation": "upload", "objects": [{"oid": "0" * 64, "size": 1}], "hash_algo": "md5"},
    ],
)  # fmt: skip
def test_a_malformed_batch_is_refused(http: httpx.Client, repo: str, body: dict[str, Any]) -> None:
    refused(http.post(f"/{repo}.git/info/lfs/objects/batch", json=body), 400)


def test_oversized_bodies_are_refused(http: httpx.Client, repo: str) -> None:
    refused(http.post("/api/repos/create", content=b" " * 20_000_001), 413)
    line = put("big.txt", bytes(10_000_001))
    assert "large file" in refused(commit(http, repo, line), 413)
    assert commit(http, repo, put("fits.txt", bytes(10_000_000))).status_code == 200


CARDS = [
    b"---\n: : :\n\t- x\n---\n", b"---\nlicense: [mit\n---\n", b"---\n- a\n- b\n---\n", b"---\n42\n---\n", b"---\n",
    b"---\n" + b"[" * 5000 + b"\n---\n", b"---\ntags: *a\n---\n", b"---\nlicense: !!python/object/apply:os.system [ls]\n---\n",
    b"---\na: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
    b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\ntags: [*e,*e,*e,*e,*e,*e,*e,*e]\n---\n",
    b"---\ntags: {a: b}\nlicense: {x: 1}\nlanguage: 5\nbase_model: [[1]]\ndatasets: 2024-01-01\n---\n",
    b"---\nlicense: \xff\xfe\n---\n", b"---\nmodel-index: 5\npipeline_tag: [a, b]\nlibrary_name: {}\n---\n",
    b"---\n? [a]\n: b\n---\n", b"---\ntags: [.nan, .inf, 0x10, 1e999, ~, '']\nx: !!binary AAAA\ny: 2024-01-01\n---\n",
    b"---\n1: 2\nnull: 3\ntrue: 4\n2024-01-01: 5\n---\n",
]  # fmt: skip


@pytest.mark.parametrize("card", CARDS)
def test_a_malformed_card_is_kept_and_read_as_far_as_it_goes(
    http: httpx.Client, repo: str, card: bytes
) -> None:
    answer = http.post(
        "/api/validate-yaml", json={"content": card.decode(errors="replace"), "repoType": "model"}
    )
    assert answer.status_code in {200, 400}, answer.text
    assert {"errors", "warnings"} <= answer.json().keys()
    assert commit(http, repo, put("README.md", card)).status_code == 200
    info = http.get(f"/api/models/{repo}")
    assert info.status_code == 200, info.text
    assert isinstance(info.json()["cardData"], dict)
    assert all(isinstance(tag, str) and len(tag) < 1000 for tag in info.json()["tags"])
    assert (
        http.get("/api/models", params={"search": repo, "full": "true", "cardData": "true"}).status_code
        == 200
    )
    assert http.get(f"/{repo}/resolve/main/README.md").content == card


def _safetensors(header: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header


HEADERS = {
    "empty.safetensors": b"\x00",
    "short.safetensors": b"\x08\x00\x00",
    "huge.safetensors": _safetensors(b"{}", 2**63),
    "beyond.safetensors": _safetensors(b"{}", 10**6),
    "text.safetensors": _safetensors(b"not json"),
    "deep.safetensors": _safetensors(b'{"a":' * 20_000),
    "types.safetensors": _safetensors(b'{"a":{"dtype":5,"shape":"x","data_offsets":null}}'),
    "negative.safetensors": _safetensors(
        b'{"a":{"dtype":"F32","shape":[-1,99999999999999999999],"data_offsets":[9,0]}}'
    ),
    "magic.gguf": b"GGUF",
    "counts.gguf": b"GGUF" + struct.pack("<IQQ", 3, 2**63, 2**63),
    "string.gguf": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**62) + b"a",
    "version.gguf": b"GGUF" + struct.pack("<IQQ", 999, 0, 0),
    "array.gguf": b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"k", 9, 9, 2**40),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_malformed_weight_header_is_stored_and_described_as_nothing(
    http: httpx.Client, repo: str, name: str
) -> None:
    data = HEADERS[name] + bytes(64)
    target = f"model.{name.rpartition('.')[2]}"
    upload = batch(http, repo, data)
    if "actions" in upload:
        assert (
            httpx.put(upload["actions"]["upload"]["href"], content=data, trust_env=False).status_code == 200
        )
    line = {"key": "lfsFile", "value": {"path": target, "oid": upload["oid"], "size": len(data)}}
    config = put("config.json", b'{"model_type": 5, "architectures": "x", "auto_map": []}')
    assert commit(http, repo, line, config, put("model.safetensors.index.json", b"[1")).status_code == 200
    for query in ("", "?blobs=true&securityStatus=true", "?expand=safetensors&expand=gguf&expand=config"):
        assert http.get(f"/api/models/{repo}{query}").status_code == 200
    assert http.get(f"/{repo}/resolve/main/{target}").content == data


def test_bad_credentials_are_refused(hub: HubProcess, repo: str) -> None:
    blob = base64.b64encode(b"ada:\xff\xfe").decode()
    for value in (
        b"Bearer hf_wrong", b"Basic !!!!", f"Basic {blob}".encode(),
        b"Digest x", b"x", b"Bearer " + b"a" * 20_000,
    ):  # fmt: skip
        answer = httpx.get(
            f"{hub.url}/api/models/{repo}", headers=[(b"Authorization", value)], trust_env=False
        )
        assert answer.status_code in {400, 401}, value
        refused(answer, 400, 401)


@pytest.mark.parametrize(
    "query",
    [
        "num_parameters=min:" + "9" * 500, "num_parameters=max:999999999999999999999T", "num_parameters=x", "limit=x",
        "limit=-1", "limit=99999999999999999999999", "cursor=99999999999999999999999", "limit=\u0663", "cursor=1e9",
        "sort=;drop", "search=" + "%25" * 20_000, "search=%00", "filter=%00&author=%00", "&".join(["search=a"] * 1500),
        "&".join(["filter=a"] * 1500), "filter=" + ",".join("abc" * 1) + "," * 3000, "expand=colour", "gated=maybe",
        "search=" + "a" * 60_000,
    ],
)  # fmt: skip
def test_odd_list_queries(http: httpx.Client, query: str) -> None:
    answer = http.get(f"/api/models?{query}")
    assert answer.status_code in {200, 400, 414}, (answer.status_code, answer.text[:300])


@pytest.mark.parametrize(
    "header", ["bytes=5-2", "bytes=-0", "bytes=abc", "bytes=0-1,3-4", "bytes=" + "9" * 40 + "-", "bytes=999-"]
)
def test_odd_ranges(http: httpx.Client, repo: str, header: str) -> None:
    assert commit(http, repo, put("f", b"0123456789")).status_code == 200
    answer = http.get(f"/{repo}/resolve/main/f", headers={"Range": header})
    assert answer.status_code in {200, 416}
    if answer.status_code == 200:
        assert answer.content == b"0123456789"
    else:
        assert answer.headers["content-range"] == "bytes */10"


@pytest.mark.parametrize(
    "name",
    ["a..b", "a b", "-x", "x.lock", "@", "a//b", "a~1", "a^", "a:b", "\x01", "x" * 300, "\u00e4" * 130],
)
def test_odd_ref_names_are_refused(http: httpx.Client, repo: str, name: str) -> None:
    refused(http.post(f"/api/models/{repo}/branch/{quote(name, safe='')}", json={}), 400)
    refused(http.post(f"/api/models/{repo}/tag/main", json={"tag": name}), 400)


def test_refs_that_git_could_not_hold_together_are_refused(http: httpx.Client, repo: str) -> None:
    assert http.post(f"/api/models/{repo}/branch/a%2Fb", json={}).status_code == 200
    for name in ("a", "a%2Fb%2Fc"):
        refused(http.post(f"/api/models/{repo}/branch/{name}", json={}), 409)
    refused(http.post(f"/api/models/{repo}/branch/main", json={"overwrite": True}), 409)


ROUTES: list[Callable[[str], tuple[str, str]]] = [
    lambda repo: ("POST", "/api/repos/create"),
    lambda repo: ("DELETE", "/api/repos/delete"),
    lambda repo: ("POST", "/api/repos/move"),
    lambda repo: ("PUT", f"/api/models/{repo}/settings"),
    lambda repo: ("POST", f"/api/models/{repo}/preupload/main"),
    lambda repo: ("POST", f"/api/models/{repo}/paths-info/main"),
    lambda repo: ("POST", f"/api/models/{repo}/branch/x"),
    lambda repo: ("POST", f"/api/models/{repo}/tag/main"),
    lambda repo: ("POST", f"/api/models/{repo}/duplicate"),
    lambda repo: ("POST", f"/api/models/{repo}/super-squash/main"),
    lambda repo: ("POST", f"/{repo}.git/info/lfs/objects/batch"),
    lambda repo: ("POST", f"/{repo}.git/info/lfs/objects/verify"),
    lambda repo: ("POST", "/api/validate-yaml"),
]
BODIES = [b"{", b"[]", b"null", b'"x"', b"\x00", b"\xff", b"[" * 100_000, b'{"name": 5}', b'{"files":[{"path":null}]}',
          b'{"name":"\\ud800","tag":"\\ud800","repository":"\\ud800/x","content":"\\ud800","oid":"\\ud800"}']  # fmt: skip


@pytest.mark.parametrize("number", range(len(ROUTES)))
def test_malformed_json(http: httpx.Client, repo: str, number: int) -> None:
    method, path = ROUTES[number](repo)
    for body in BODIES:
        answer = http.request(method, path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code < 500, (body[:40], answer.text)
        if answer.status_code >= 400 and "validate-yaml" not in path:
            refused(answer, *range(400, 500), code=answer.headers.get("x-error-code"))


def test_messages_and_questions_have_a_size(http: httpx.Client, repo: str) -> None:
    before = head(http, repo)
    refused(commit(http, repo, put("a.txt"), header={"description": "x" * 100_001}), 413)
    files = [{"path": f"{number}.txt", "size": 1, "sample": ""} for number in range(10_001)]
    refused(http.post(f"/api/models/{repo}/preupload/main", json={"files": files}), 413)
    assert head(http, repo) == before


def test_a_refused_upload_is_read_to_its_end(hub: HubProcess) -> None:
    """Otherwise the server closes the connection, and what the client sends next on it is lost."""
    parts = urlsplit(hub.url)
    body = bytes(3 << 20)
    with closing(HTTPConnection(parts.hostname or "", parts.port, timeout=30)) as connection:
        for _ in range(6):
            for method, path in (
                ("PUT", f"/lfs/1/{'0' * 64}/{len(body)}?signature=forged"),
                ("POST", "/cas/1/v1/shards"),
            ):
                connection.request(method, path, body)
                answer = connection.getresponse()
                assert 400 <= answer.status < 500
                assert answer.read()
