"""Every sample page on a phone: states that a live hub is seldom in (long names, failures, full tables) fit there too."""

from __future__ import annotations

import functools

import pytest
from httpx import Response
from playwright.sync_api import Browser, Route
from starlette.testclient import TestClient

from tests.web_preview.sample_pages import SAMPLES
from tests.web_preview.serve import app

pytestmark = pytest.mark.system("chromium")
_ORIGIN = "http://samples.test"


def test_every_sample_fits_a_phone(browser: Browser) -> None:
    faults: list[str] = []
    with TestClient(app, base_url=_ORIGIN) as client:

        @functools.cache
        def asset(path: str) -> Response:
            return client.get(path)

        def answer(route: Route) -> None:
            request, path = route.request, route.request.url.removeprefix(_ORIGIN)
            if path.startswith("/static/"):
                found = asset(path)
            else:
                found = client.request(request.method, path, content=request.post_data_buffer)
            headers = {name: value for name, value in found.headers.items() if name != "content-length"}
            route.fulfill(status=found.status_code, headers=headers, body=found.content)

        context = browser.new_context(viewport={"width": 360, "height": 740})
        context.route(f"{_ORIGIN}/**", answer)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
        for name, (path, _, _) in SAMPLES.items():
            page.goto(_ORIGIN + path, wait_until="load")
            wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wider > 0:
                faults.append(f"{name} scrolls sideways by {wider} px")
        context.close()
    assert faults == []
