"""Models compared side by side in the browser, the blind vote, and the arena."""

from __future__ import annotations

import re
import time
import warnings
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import LiveHub, sign_in
from tests.factories.gguf_encoder import write_tiny_bert

pytestmark = [pytest.mark.system("chromium"), pytest.mark.usefixtures("talkers")]
pytest.importorskip("xllamacpp", reason="the `run` extra is not installed")

LOADING_MS = 60_000
NAMES = ("ada/tiny", "ada/long", "ada/hostile")


def begin(page: Page, prompt: str, *models: str) -> None:
    page.goto("/compare?" + "&".join(f"model={model}" for model in models))
    expect(page.locator("#compare-models select")).to_have_count(len(models))
    for number, model in enumerate(models, 1):
        expect(page.get_by_label(f"Model {number}", exact=True)).to_have_value(model)
    page.locator(".compare-options summary").click()
    page.fill("#max-tokens", "10")
    page.fill("#prompt", prompt)


def answered(page: Page) -> None:
    expect(page.locator("#vote")).to_be_visible(timeout=LOADING_MS)


def test_a_blind_vote_reveals_the_names_and_counts_once(ada: Page) -> None:
    begin(ada, "Say <script>window.harm=1</script>", *NAMES)
    ada.get_by_role("button", name="Compare", exact=True).click()
    answered(ada)
    columns = ada.locator("#columns")
    expect(columns.locator("h2")).to_have_text(["Model A", "Model B", "Model C"])
    assert not any(name in ada.locator("#battle").inner_html() for name in NAMES)
    key = re.search(r"battle=([0-9a-f]{24})", ada.url)
    assert key is not None
    hidden = ada.request.get(f"/api/arena/battles/{key[1]}").text()
    assert not any(name in hidden for name in NAMES)
    ada.reload()
    answered(ada)
    ada.get_by_role("button", name="Model B is best").click()
    expect(ada.locator("#battle-status")).to_contain_text(re.compile(r"You preferred B: ada/\w+"))
    headings = columns.locator("h2").all_inner_texts()
    assert sorted(text.partition(": ")[2] for text in headings) == sorted(NAMES)
    expect(columns.locator(".is-best")).to_have_count(1)
    csrf = ada.locator('meta[name="csrf-token"]').get_attribute("content") or ""
    again = ada.request.post(
        f"/api/arena/battles/{key[1]}/vote", data={"best": "0"}, headers={"X-CSRF-Token": csrf}
    )
    assert again.status == 409
    votes = ada.request.get("/api/arena/votes").json()
    assert votes[0]["prompts"] == ["Say <script>window.harm=1</script>"]
    assert votes[0]["best"] == "1"
    assert all(re.fullmatch("[0-9a-f]{40}", each["revision"]) for each in votes[0]["contestants"])
    assert ada.evaluate("window.harm") is None
    ada.goto("/arena")
    expect(ada.locator(".arena-table tbody tr")).to_have_count(3)
    expect(ada.locator(".arena-table")).to_contain_text("too few votes")


def test_a_second_prompt_and_an_open_comparison(ada: Page) -> None:
    begin(ada, "one", "ada/tiny", "ada/long")
    ada.get_by_text("Blind: hide the names").click()
    ada.get_by_role("button", name="Compare", exact=True).click()
    answered(ada)
    expect(ada.locator("#columns h2").first).to_have_text(re.compile(r"ada/(tiny|long)"))
    ada.fill("#follow-prompt", "two")
    ada.keyboard.press("Enter")
    expect(ada.locator("#columns .message-text", has_text="two")).to_have_count(2)
    answered(ada)
    expect(ada.locator("#columns .message-assistant")).to_have_count(4)
    ada.get_by_role("button", name="A tie").click()
    expect(ada.locator("#battle-status")).to_have_text("You called it a tie.")


def test_stop_ends_all_answers_and_what_came_can_be_judged(ada: Page) -> None:
    begin(ada, "on", "ada/tiny", "ada/long")
    ada.fill("#max-tokens", "30000")
    ada.get_by_role("button", name="Compare", exact=True).click()
    for number in range(2):
        expect(ada.locator("#columns .message-body").nth(number)).to_have_text(
            re.compile("[a-z]{3}"), timeout=LOADING_MS
        )
    ada.get_by_role("button", name="Stop").click()
    answered(ada)
    ada.get_by_role("button", name="All are bad").click()
    expect(ada.locator("#battle-status")).to_have_text("You found all answers bad.")


def test_an_answer_that_fails_is_tried_again(ada: Page) -> None:
    begin(ada, "one", "ada/tiny", "ada/long")
    ada.route(
        "**/answers/1",
        lambda route: route.fulfill(
            status=429, json={"error": "Every engine is busy"}, headers={"Retry-After": "5"}
        ),
        times=1,
    )
    ada.get_by_role("button", name="Compare", exact=True).click()
    expect(ada.locator(".message-failed")).to_contain_text(
        "Every engine is busy. Try again in 5 s.", timeout=LOADING_MS
    )
    expect(ada.locator("#battle-status")).to_contain_text("Not every model has answered", timeout=LOADING_MS)
    ada.get_by_role("button", name="Try again").click()
    answered(ada)


def test_strangers_see_the_arena_and_are_asked_to_sign_in(
    page: Page, browser: Browser, live: LiveHub
) -> None:
    page.goto("/compare")
    expect(page.get_by_text("Comparing is not open to you here")).to_be_visible()
    page.get_by_role("link", name="See the arena").click()
    expect(page.get_by_role("heading", name="Arena")).to_be_visible()
    page.goto("/chat?model=ada/tiny")
    expect(page.get_by_text("Chat is not open to you here")).to_be_visible()
    page.locator("main").get_by_role("link", name="Sign in").click()
    page.wait_for_url(re.compile(r"/login\?next=%2Fchat%3Fmodel%3Dada%2Ftiny"))
    context = browser.new_context(base_url=live.url)
    bob = context.new_page()
    sign_in(bob, "bob")
    bob.wait_for_url("**/")
    assert bob.goto("/compare?battle=" + "0" * 24).status == 404  # type: ignore[union-attr]
    context.close()


def test_an_encoder_is_in_no_picker(live: LiveHub, ada: Page, tmp_path: Path) -> None:
    path = write_tiny_bert(tmp_path / "vectors-F32.gguf")
    live.api.create_repo("ada/vectors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the client's own, about its HTTP library
        live.api.upload_file(path_or_fileobj=path, path_in_repo=path.name, repo_id="ada/vectors")
    deadline = time.monotonic() + LOADING_MS / 1000
    while "ada/vectors" not in ada.request.get("/v1/models").text():  # until the hub has read it
        assert time.monotonic() < deadline
        ada.wait_for_timeout(200)
    ada.goto("/chat")
    expect(ada.locator("#model option[value='ada/tiny']")).to_have_count(1)
    expect(ada.locator("#model option[value='ada/vectors']")).to_have_count(0)
    ada.goto("/compare")
    picker = ada.get_by_label("Model 1", exact=True)
    expect(picker.locator("option[value='ada/tiny']")).to_have_count(1)
    expect(picker.locator("option[value='ada/vectors']")).to_have_count(0)
