"""The page of a job that runs: it draws what is stored as it is stored, and shows the end by itself."""

from __future__ import annotations

import re
from typing import Any

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


def test_a_running_recipe_is_a_graph_that_follows_its_stages(live: LiveHub, ada: Page) -> None:
    pretender = Pretender(live.data)
    number = pretender.begin()

    def say(kind: str, **data: Any) -> None:
        with pretender.database.write() as connection:
            job_events.add(connection, number, [(now_ms(), kind, "", data)])

    graph = [["sft", "sft", {"base": "base", "data": "rows"}], ["grpo", "grpo", {"base": "sft"}]]
    ada.goto(f"/jobs/{number}")
    say("stage", graph=graph, first=0, of=2)
    say("stage", name="sft", state="running", op="sft", number=1, of=2)
    node, card = ada.locator(".stages-wide [data-node='sft']"), ada.locator("[data-stage='sft']")
    expect(node).to_have_attribute("data-standing", "running")
    expect(card.locator("details").first).to_have_attribute("open", "")
    expect(ada.locator(".stages-wide .stage-edge.is-live")).to_have_count(2)
    for step in range(1, 9):
        say("metrics", stage="sft", step=step, loss=1 / step)
    expect(node.locator(".stage-spark")).to_have_attribute("d", re.compile(r"M[^ML]+(L[^L]+){7}"))
    expect(card.locator(".line-0")).to_have_attribute("d", re.compile(r"M[^ML]+(L[^L]+){7}"))
    pretender.say(number, 1)  # what no stage said is drawn apart
    expect(ada.locator("#plots .line-0")).to_have_count(1)
    with pretender.database.write() as connection:
        job_events.add(connection, number, [(now_ms(), "log", "of the first", None)])
    say("stage", name="sft", state="done", seconds=75.2)
    say("stage", name="grpo", state="running", op="grpo", number=2, of=2)
    with pretender.database.write() as connection:
        job_events.add(connection, number, [(now_ms(), "log", "of the second", None)])
    expect(card).to_contain_text("1 min 15 s")
    expect(node).to_have_attribute("aria-label", "sft, sft, done")
    drawn = node.locator(".stage-spark").get_attribute("d")
    log = card.locator("[data-log]").get_attribute("href") or ""
    assert ada.request.get(f"{live.url}{log}").text().strip().endswith("of the first")
    ada.reload()
    assert node.locator(".stage-spark").get_attribute("d") == drawn
    assert (
        ada.request.get(f"{live.url}{card.locator('[data-log]').get_attribute('href')}").text().count("\n")
        == 1
    )
    ada.set_viewport_size({"width": 390, "height": 844})
    expect(ada.locator(".stages-wide")).to_be_hidden()
    ada.click(".stages-tall [data-node='sft']")
    expect(ada.locator("#stage-sft")).to_be_visible()
    assert ada.evaluate("document.documentElement.scrollWidth <= innerWidth")
    pretender.end(number)
    expect(ada.locator(".job-head .state")).to_have_text("done")
    pretender.database.close()
