"""Every route with odd methods, bodies, headers and numbers: never a 5xx, always an id, errors as JSON."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import seedstock.http.app  # noqa: F401 - registers the path convertors
from seedstock.http.hf_api import accounts, commit, files, info, lfs, listing, repos, trees

PATHS = sorted(
    {
        route.path
        for group in (accounts, commit, files, info, lfs, listing, repos, trees)
        for route in group.routes.routes
    }
)
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"]

_odd = st.one_of(
    st.sampled_from(
        ["main", "", ".", "..", "%00", "\x00", "\u4e2d", "a/b", "refs/heads/main", "refs/pr/1", "9" * 40, "0" * 64, "HEAD", "-1",
         "' OR 1=1 --", "{{7*7}}", "<script>", "main/config.json", "main/../x", "\ud83d\ude00", "a" * 5000, "main//", "@{-1}"]
    ),
    st.text(max_size=30),
)  # fmt: skip
_bodies = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([
        b"", b"{}", b"[]", b"null", b"1e999", b'{"name":"x","type":"nope"}', b'{"files":[]}', b'{"operation":"upload","objects":[]}',
        b'{"fromRepo":"a","toRepo":"b"}', b'{"tag":"\xc3\xa4","message":null}', b'{"paths":[1,{},null],"expand":7}', b"paths=%00&expand=",
        b'{"repository":"a/b/c"}', b'{"gated":"perhaps"}', b'{"visibility":"odd"}', b'{"content":"---\\n"}', b"a=" * 1000,
    ]),
)  # fmt: skip
_headers = st.dictionaries(
    st.sampled_from(["Range", "If-Range", "Accept", "Content-Type", "X-Request-Id", "Cookie", "X-Forwarded-Host", "Accept-Encoding",
                     "X-Forwarded-Proto", "X-HF-Download-Counter", "Content-Encoding", "Authorization", "Origin", "Expect"]),
    st.sampled_from(["", "x", "bytes=0-", "bytes=-1", "gzip", "application/json", "text/html", "\xe4\xe4", "a" * 3000, "a=b; c", "evil.example",
                     "Bearer", "Basic", "Basic Og==", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "100-continue"]),
    max_size=3,
)  # fmt: skip
_queries = st.dictionaries(
    st.sampled_from(["limit", "cursor", "p", "expand", "recursive", "full", "blobs", "sort", "direction", "exp", "sig", "create_pr", "download",
                     "search", "filter", "author", "gated", "num_parameters", "type", "expand[]"]),
    st.one_of(st.sampled_from(["", "0", "-1", "1e3", "9" * 30, "true", "x", "\u0663", "%", "\x00", "min:1B", "siblings"]), st.text(max_size=8)),
    max_size=3,
)  # fmt: skip


@st.composite
def _targets(draw: st.DrawFn) -> str:
    path = draw(st.sampled_from(PATHS))
    parts = []
    for part in path.split("/"):
        name = part.strip("{}").partition(":")[0]
        if not part.startswith("{"):
            parts.append(part.replace("{name}", "sweep"))
        elif name == "type":
            parts.append(draw(st.sampled_from(["models", "datasets", "spaces"])))
        elif name == "ns":
            parts.append(draw(st.sampled_from(["ada", "ada", "ada", "bob", "\u00e4"])))
        elif name == "name" and draw(st.integers(0, 3)):
            parts.append("sweep")
        else:
            text = draw(_odd)
            parts.append(
                quote(text.encode("utf-8", "surrogatepass"), safe="/%" if draw(st.booleans()) else "")
            )
    return "/".join(parts)


@pytest.fixture(scope="module")
def target(hub: Any) -> Any:
    """A connection, and a repo that the sweep may do anything to."""
    headers = {"Authorization": f"Bearer {hub.tokens['ada']}"}
    with httpx.Client(base_url=hub.url, headers=headers, timeout=30, trust_env=False) as session:
        session.post("/api/repos/create", json={"name": "ada/sweep"})
        yield session


@settings(
    max_examples=900,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(method=st.sampled_from(METHODS), path=_targets(), body=_bodies, headers=_headers, query=_queries)
def test_no_request_breaks_the_server(
    target: httpx.Client, method: str, path: str, body: bytes, headers: dict[str, str], query: dict[str, str]
) -> None:
    try:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        url = httpx.URL(str(target.base_url).rstrip("/") + path, params=query or None)
        request = target.build_request(method, url, content=body, headers=raw)
    except (httpx.InvalidURL, UnicodeEncodeError):
        return
    answer = target.send(request)
    assert answer.status_code < 500, (answer.status_code, answer.text)
    if answer.status_code in {408, 431} or (answer.status_code == 400 and not answer.content):
        return  # the HTTP parser itself refused
    assert answer.headers.get("x-request-id"), (answer.status_code, answer.text)
    if answer.status_code >= 400 and method != "HEAD" and "validate-yaml" not in path:
        assert answer.json()["error"], answer.text
    target.post("/api/repos/create", json={"name": "ada/sweep"}) if method in {"DELETE", "POST"} else None


@pytest.mark.parametrize("path", PATHS)
def test_every_route_refuses_odd_methods_and_bodies(target: httpx.Client, path: str) -> None:
    filled = path
    for name, value in {"type:repotype": "models", "ns": "ada", "name": "sweep", "rest:path": "main", "rev:path": "main",
                        "branch:path": "b", "tag:path": "t", "repo:int": "9" * 25, "size:int": "9" * 25, "digest": "0" * 64,
                        "upload": "x", "number:int": "9" * 25}.items():  # fmt: skip
        filled = filled.replace("{" + name + "}", value)
    assert "{" not in filled, filled
    for method in METHODS:
        for body in (b"", b"\xff\x00", b"{}"):
            if method == "DELETE" and filled == "/api/repos/delete":
                continue
            answer = target.request(method, filled, content=body)
            assert answer.status_code < 500, (method, filled, answer.text)
            assert answer.headers["x-request-id"]
