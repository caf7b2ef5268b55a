"""The usage page, as a person meets it."""

from __future__ import annotations

import time

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD, LiveHub, _seedstock, sign_in

ASK = {"model": "ada/tiny", "prompt": "a b", "max_tokens": 3}


def _answer(live: LiveHub, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(
        f"{live.url}/v1/completions", json=ASK, headers=headers, timeout=60, trust_env=False
    ).status_code


def test_what_was_used_and_a_limit_of_ones_own(page: Page, live: LiveHub) -> None:
    _seedstock(live.data, "admin", "user", "uma", "--password-stdin", stdin=f"{PASSWORD}\n")
    token = _seedstock(live.data, "admin", "token", "uma", "--name", "lab-box")
    sign_in(page, "uma")
    page.goto("/settings/usage")
    expect(page.get_by_text("Nothing was asked of a model")).to_be_visible()
    assert [_answer(live, token) for _ in range(2)] == [200, 200]
    deadline_s = time.monotonic() + 10
    while (
        page.get_by_role("cell", name="ada/tiny").or_(page.get_by_role("rowheader", name="ada/tiny")).count()
        == 0
    ):
        assert time.monotonic() < deadline_s
        page.reload()
    model = page.get_by_role("row").filter(has_text="ada/tiny")
    assert model.get_by_role("cell").all_inner_texts()[0] == "2"
    assert model.get_by_role("cell").all_inner_texts()[3] == "6"
    assert page.locator("svg rect").count() >= 2, "a bar of prompts and one of answers"
    page.get_by_text("Limits of lab-box").click()
    form = page.locator("form.limit-form")
    form.get_by_label("Requests per minute").fill("many")
    assert form.evaluate("form => form.checkValidity()") is False
    form.get_by_label("Requests per minute").fill("1")
    form.get_by_role("button", name="Set limits of lab-box").click()
    expect(page.get_by_text("The limit is set.")).to_be_visible()
    assert [_answer(live, token) for _ in range(2)] == [200, 429]
    page.reload()
    expect(page.locator("details.token-limits .limit")).to_contain_text("0 of 1 left")
    form.get_by_label("Requests per minute").fill("")
    form.get_by_role("button", name="Set limits of lab-box").click()
    expect(page.get_by_text("The limit is set.")).to_be_visible()
    assert [_answer(live, token) for _ in range(2)] == [200, 200]
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert "lab-box,ada/tiny" in download.value.path().read_text()


def test_strangers_are_sent_to_sign_in_and_others_use_is_not_shown(page: Page, live: LiveHub) -> None:
    page.goto("/settings/usage")
    expect(page).to_have_url(f"{live.url}/login?next=%2Fsettings%2Fusage")
    sign_in(page, "bob")
    answer = page.goto("/settings/usage?account=ada")
    assert answer is not None
    assert answer.status == 403
    page.goto("/settings/usage?days=7")
    expect(page.get_by_role("link", name="Everybody")).to_have_count(0)
