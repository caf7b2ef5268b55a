"""The page of a job that runs: it draws what is stored as it is stored, and shows the end by itself."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from seedstock.core.clock import now_ms
from seedstock.db import job_events
from tests.browser.conftest import LiveHub
from tests.contract.test_jobs import Pretender

pytestmark = pytest.mark.system("chromium")


def test_a_running_job_is_drawn_live_and_may_be_stopped(live: LiveHub, ada: Page) -> None:
    pretender = Pretender(live.data)
    number = pretender.begin()
    pretender.say(number, 1, 2)
    ada.goto("/jobs")
    ada.click(f"a[href='/jobs/{number}'] >> nth=0")
    line = ada.locator("#plots .line-0")
    expect(line).to_have_count(1)
    assert (line.get_attribute("d") or "").count("L") == 1
    pretender.say(number, *range(3, 11))
    expect(line).to_have_attribute("d", re.compile(r"M[^ML]+(L[^L]+){9}"))
    with pretender.database.write() as connection:
        said = {"step": 10, "prompt": "<b>1 + 1", "text": "2"}
        job_events.add(
            connection, number, [(now_ms(), "log", "<i>hello", None), (now_ms(), "sample", "", said)]
        )
    expect(ada.locator("#log")).to_contain_text("<i>hello")
    expect(ada.locator("#samples")).to_contain_text("<b>1 + 1")
    ada.click("summary:has-text('Cancel')")
    ada.click("text=Yes, stop it")
    expect(ada.locator(".job-actions")).to_contain_text("asked to stop")
    assert ada.evaluate("document.documentElement.scrollWidth <= innerWidth")
    pretender.end(number)
    expect(ada.locator(".job-head .state")).to_have_text("done")
    expect(ada.locator("main")).to_contain_text("Published in ada/m")
    pretender.database.close()
