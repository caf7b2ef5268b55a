"""Serve the sample pages: `python -m tests.web_preview.serve [port]`, with the product's own CSP."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import zlib
from collections.abc import AsyncIterator

import msgspec
from granian import Granian
from granian.constants import Interfaces
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from seedstock.web.assets import STATIC_DIR, static_version
from seedstock.web.family_query import query_of
from seedstock.web.render import CONTENT_SECURITY_POLICY, render
from tests.web_preview.sample_family import COMMIT, FAMILY
from tests.web_preview.sample_lineage import CONTRADICTED_PAGE, EVIDENCE_PAGE, big_graph, family
from tests.web_preview.sample_pages import SAMPLES
from tests.web_preview.sample_repos import NOW, SITE

PORT = 8765
REPLY = (
    "<think>The user asks about grafting. Scion on top, rootstock below; keep it short.</think>Grafting joins two plants "
    "so that they grow as **one**:\n\n1. The *rootstock* brings the roots.\n2. The *scion* brings fruit or flowers.\n\n"
    "| Part | Brings |\n|---|---|\n| Rootstock | vigour |\n| Scion | variety |\n\n"
    "```python\ngraft = join(rootstock, scion)\n```\n<img src=x onerror=alert(1)> is shown as text; see https://example.org."
)


async def chat(_: Request) -> Response:
    async def pieces() -> AsyncIterator[str]:
        for start in range(0, len(REPLY), 6):
            yield f"data: {json.dumps({'choices': [{'delta': {'content': REPLY[start : start + 6]}}]})}\n\n"
            await asyncio.sleep(0.01)
        yield f"data: {json.dumps({'choices': [], 'usage': {'completion_tokens': 104}})}\n\ndata: [DONE]\n\n"

    return StreamingResponse(pieces(), media_type="text/event-stream")


async def models(_: Request) -> Response:
    names = ("demo/SmolLM2-135M-Instruct", "lab/tiny")
    return JSONResponse({"data": [{"id": name, "owned_by": name.split("/")[0]} for name in names]})


async def chats(_: Request) -> Response:
    titles = (
        "What is grafting?",
        "A haiku about an orchard in November, in the manner of Bashō, with a crow in it",
    )
    return JSONResponse([{"id": f"{number:024x}", "title": title} for number, title in enumerate(titles)])


async def put_file(request: Request) -> Response:
    size_bytes = len(await request.body())
    return JSONResponse({"staged": f"{'0' * 64}:{request.path_params['path']}", "size": size_bytes})


async def trace(request: Request) -> Response:
    await request.body()
    await asyncio.sleep(0.2)
    if request.headers.get("x-file-name", "").startswith("strange"):
        return JSONResponse({"status": "done", "related": []})
    hit = {"repo": "demo/SmolLM2-135M-Instruct", "commit": COMMIT, "verdict": "derived", "kind": "finetune"}
    return JSONResponse(
        {"status": "done", "related": [{**hit, "distance": 7, "reason": "All 30 layers match."}]}
    )


async def job_events(_: Request) -> Response:
    """Nothing: the page is shown as its view model says."""
    return Response(status_code=204)


def family_graph(request: Request) -> Response:
    graph = big_graph() if request.path_params["name"] == "big-family" else FAMILY
    return Response(msgspec.json.encode(graph), media_type="application/json")


def evidence(request: Request) -> Response:
    page = CONTRADICTED_PAGE if request.path_params["id"].startswith("ev0107") else EVIDENCE_PAGE
    html = render(page, viewer=SAMPLES["family"][2], site=SITE, now=NOW)
    return HTMLResponse(html, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


def family_table(request: Request) -> Response:
    view = family(query_of(request.query_params.get), big=request.path_params["name"] == "big-family")
    html = render(view, viewer=SAMPLES["family"][2], site=SITE, now=NOW)
    return HTMLResponse(html, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


def image(_: Request) -> Response:
    rows = b"".join(b"\0" + bytes((y, 110, 80)) * 320 for y in range(200))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 320, 200, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks
    )
    return Response(b"\x89PNG\r\n\x1a\n" + body, media_type="image/png")


def page_route(name: str, path: str) -> Route:
    def show(_: Request) -> HTMLResponse:
        _, page, viewer = SAMPLES[name]
        html = render(page, viewer=viewer, site=SITE, now=NOW)
        return HTMLResponse(html, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})

    return Route(path, show)


app = Starlette(
    routes=[
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/models", models),
        Route("/api/chats", chats),
        Route("/{repo:path}/upload/main/{path:path}", put_file, methods=["PUT"]),
        Route("/api/jobs/{id}/events", job_events),
        Route("/api/trace", trace, methods=["POST"]),
        Route("/api/models/{owner}/{name}/family", family_graph),
        Route("/demo/{name}/family", family_table),
        Route("/demo/{name}/evidence/{id}", evidence),
        Route("/_/image.png", image),
        *(page_route(name, path) for name, (path, _, _) in SAMPLES.items()),
        Mount(f"/static/{static_version()}", StaticFiles(directory=STATIC_DIR)),
    ]
)

if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else PORT
    Granian("tests.web_preview.serve:app", port=port, interface=Interfaces.ASGI).serve()
