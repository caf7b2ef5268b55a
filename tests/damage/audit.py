"""Reads everything a hub claims to have, through its API, and compares it with its hashes."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import quote

import httpx

from tests.contract.server import HubProcess


def connect(hub: HubProcess, who: str = "ada") -> httpx.Client:
    """Raw HTTP as somebody."""
    headers = {"Authorization": f"Bearer {hub.tokens[who]}"}
    return httpx.Client(base_url=hub.url, headers=headers, timeout=30, trust_env=False)


def upload_large(http: httpx.Client, repo: str, data: bytes) -> str:
    """Send a large file, if the hub wants it; its SHA-256. Raises HTTPStatusError."""
    digest = hashlib.sha256(data).hexdigest()
    body = {"operation": "upload", "objects": [{"oid": digest, "size": len(data)}]}
    answer = http.post(f"/{repo}.git/info/lfs/objects/batch", json=body).raise_for_status()
    actions = answer.json()["objects"][0].get("actions")
    if actions:
        httpx.put(actions["upload"]["href"], content=data, timeout=30, trust_env=False).raise_for_status()
    return digest


def commit(
    http: httpx.Client, repo: str, small: dict[str, bytes], large: dict[str, bytes] | None = None
) -> str:
    """Upload and commit files; the commit. Raises HTTPStatusError."""
    lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": "files"}}]
    for path, data in (large or {}).items():
        digest = upload_large(http, repo, data)
        lines.append({"key": "lfsFile", "value": {"path": path, "oid": digest, "size": len(data)}})
    for path, data in small.items():
        value = {"path": path, "content": base64.b64encode(data).decode(), "encoding": "base64"}
        lines.append({"key": "file", "value": value})
    answer = http.post(f"/api/models/{repo}/commit/main", content="\n".join(map(_json, lines)))
    return str(answer.raise_for_status().json()["commitOid"])


def _json(line: dict[str, Any]) -> str:
    import json

    return json.dumps(line)


def walk(http: httpx.Client) -> int:
    """Read every file of every commit of every ref of every repo; how many there were."""
    seen: set[tuple[str, str, str]] = set()
    for repo in http.get("/api/models", params={"limit": 1000}).raise_for_status().json():
        refs = http.get(f"/api/models/{repo['id']}/refs").raise_for_status().json()
        for ref in [*refs["branches"], *refs["tags"]]:
            commits = http.get(
                f"/api/models/{repo['id']}/commits/{quote(ref['ref'], safe='')}", params={"limit": 1000}
            )
            oids = [row["id"] for row in commits.raise_for_status().json()]
            assert oids[0] == ref["targetCommit"]
            for oid in oids:
                _walk_tree(http, repo["id"], oid, seen)
    return len(seen)


def _walk_tree(http: httpx.Client, repo: str, commit_oid: str, seen: set[tuple[str, str, str]]) -> None:
    entries = http.get(f"/api/models/{repo}/tree/{commit_oid}", params={"recursive": "true", "limit": 10_000})
    for entry in entries.raise_for_status().json():
        key = (repo, entry["path"], entry["oid"])
        if entry["type"] != "file" or key in seen:
            continue
        seen.add(key)
        content = http.get(f"/{repo}/resolve/{commit_oid}/{quote(entry['path'])}").raise_for_status().content
        assert len(content) == entry["size"], entry
        if "lfs" in entry:
            assert hashlib.sha256(content).hexdigest() == entry["lfs"]["oid"], entry
        else:
            assert hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == entry["oid"], entry
