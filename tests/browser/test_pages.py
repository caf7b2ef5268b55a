"""What people do in the browser, against a live server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import LiveHub, Watch, sign_in

pytestmark = pytest.mark.system("chromium")

_PAGES = [
    "/",
    "/models",
    "/models?task=text-generation",
    "/models?search=zzz",
    "/datasets",
    "/ada",
    "/ada?tab=likes",
    "/ada/tiny",
    "/ada/tiny/tree/main",
    "/ada/tiny/tree/main/docs",
    "/ada/tiny/blob/main/config.json",
    "/ada/tiny/blob/main/docs/notes.md",
    "/ada/tiny/blob/main/tiny-q8_0.gguf",
    "/ada/tiny/commits/main",
    "/ada/tiny/chat",
    "/chat",
    "/compare",
    "/arena",
    "/ada/tiny/upload/main",
    "/ada/tiny/settings",
    "/settings/tokens",
    "/new",
    "/ada/absent",
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_and_breaks_no_policy(browser: Browser, live: LiveHub, scheme: str) -> None:
    context = browser.new_context(
        base_url=live.url,
        viewport={"width": 360, "height": 740},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    watch = Watch(context, live.url)
    page = context.new_page()
    sign_in(page)
    page.wait_for_url("**/")
    for path in _PAGES:
        page.goto(path, wait_until="load")
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, f"{path} scrolls sideways by {wider} px"
    context.close()
    assert watch.faults == []


def test_sign_in_wrong_then_right_then_out(page: Page) -> None:
    sign_in(page, password="wrong")
    expect(page.get_by_role("alert")).to_contain_text("Wrong user name or password")
    expect(page.locator("#name")).to_have_value("ada")
    page.goto("/login?next=/ada/tiny")
    page.fill("#name", "ada")
    page.fill("#password", "correct horse battery")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ada/tiny")
    page.locator(".user-menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/")
    expect(page.get_by_role("link", name="Sign in").first).to_be_visible()


def test_a_private_repo_looks_like_a_missing_one(page: Page) -> None:
    texts = []
    for name in ("secret", "absent"):
        answer = page.goto(f"/ada/{name}")
        assert answer is not None
        assert answer.status == 404
        texts.append(page.content().replace(name, "x"))
    assert texts[0] == texts[1]


def test_create_and_upload_with_progress(ada: Page, tmp_path: Path) -> None:
    ada.goto("/new")
    ada.fill("#name", "from-browser")
    ada.get_by_role("button", name="Create repository").click()
    ada.wait_for_url("**/ada/from-browser?done=created")
    expect(ada.get_by_role("status").first).to_contain_text("ready")
    ada.goto("/ada/from-browser/upload/main")
    (tmp_path / "README.md").write_text("# Sent by hand\n")
    (tmp_path / "weights.bin").write_bytes(bytes(range(256)) * 8000)
    ada.set_input_files("#files", [tmp_path / "README.md", tmp_path / "weights.bin"])
    expect(ada.locator("#upload-list .upload-row")).to_have_count(2)
    ada.fill("#summary", "Two files by hand")
    ada.click("#upload-submit")
    ada.wait_for_url("**/ada/from-browser?done=uploaded")
    expect(ada.get_by_role("heading", name="Sent by hand")).to_be_visible()
    ada.goto("/ada/from-browser/tree/main")
    expect(ada.locator(".file-table")).to_contain_text("weights.bin")
    expect(ada.locator(".file-table")).to_contain_text("Two files by hand")


def test_a_dropped_folder_keeps_its_paths(ada: Page, live: LiveHub, tmp_path: Path) -> None:
    live.api.create_repo("ada/dropped")
    ada.goto("/ada/dropped/upload/main?folder=data")
    (tmp_path / "run 1").mkdir()
    (tmp_path / "run 1" / "a b.csv").write_text("1,2\n")
    box = ada.locator("#dropzone").bounding_box()
    assert box is not None
    point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    dragged = {"items": [], "files": [str(tmp_path / "run 1")], "dragOperationsMask": 1}
    devtools = ada.context.new_cdp_session(ada)
    for step in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": step, **point, "data": dragged})
    expect(ada.locator("#upload-list .upload-row")).to_have_count(1)
    ada.click("#upload-submit")
    ada.wait_for_url("**/ada/dropped/commit/*")
    assert live.api.list_repo_files("ada/dropped") == [".gitattributes", "data/run 1/a b.csv"]


def test_the_card_is_rendered_and_harmless(page: Page) -> None:
    page.goto("/ada/tiny")
    expect(page.locator(".readme strong")).to_have_text("bold")
    expect(page.get_by_role("link", name="the notes")).to_have_attribute(
        "href", "/ada/tiny/blob/main/docs/notes.md"
    )
    expect(page.get_by_role("link", name="Image: far picture")).to_be_visible()
    assert page.evaluate("window.harm") is None
    assert page.locator(".readme script, .readme [onclick], .readme img").count() == 0
    expect(page.locator(".card-aside")).to_contain_text("parameters")


def test_like_and_unlike_in_place(ada: Page) -> None:
    ada.goto("/ada/pear")
    button = ada.locator("#like button")
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(button).to_contain_text("1")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")


def test_browse_folders_files_and_history(page: Page) -> None:
    page.goto("/ada/tiny")
    page.get_by_role("link", name="Files", exact=True).click()
    page.get_by_role("link", name="docs", exact=True).click()
    page.get_by_role("link", name="notes.md", exact=True).click()
    expect(page.get_by_role("heading", name="Notes")).to_be_visible()
    page.get_by_role("link", name="the card").click()
    page.wait_for_url("**/blob/main/README.md")
    page.goto("/ada/tiny/blob/main/config.json")
    expect(page.locator("#L1")).to_contain_text("model_type")
    page.goto("/ada/tiny/blob/main/tiny-q8_0.gguf")
    expect(page.locator(".weight-header")).to_contain_text("token_embd.weight")
    page.get_by_role("link", name="History").first.click()
    page.get_by_role("link", name="Publish a tiny model").first.click()
    expect(page.locator(".change-table")).to_contain_text("tiny-q8_0.gguf")


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
def test_search_and_facets(browser: Browser, live: LiveHub, script: bool) -> None:
    context = browser.new_context(base_url=live.url, java_script_enabled=script)
    watch = Watch(context, live.url)
    page = context.new_page()
    page.goto("/models")
    page.fill("#listing-search", "pea")
    if not script:
        page.locator(".listing-search button").click()
    results = page.locator(".repo-rows .repo-row")
    expect(results).to_have_count(1)
    assert "search=pea" in page.url
    page.goto("/models")
    page.locator(".facets a", has_text="fill-mask").click()
    expect(results).to_have_count(1)
    expect(results).to_contain_text("pear")
    page.locator(".chips a", has_text="fill-mask").click()
    expect(page.locator(".chips")).to_have_count(0)
    context.close()
    assert watch.faults == []


def test_tokens_are_made_and_revoked(ada: Page) -> None:
    ada.goto("/settings/tokens")
    ada.fill("#name", "training box")
    ada.get_by_text("Also push, create and delete.").click()
    ada.get_by_role("button", name="Create token").click()
    expect(ada.locator("#secret")).to_have_text(re.compile(r"^hf_\w{20,}$"))
    ada.get_by_role("button", name="Revoke training box").click()
    expect(ada.get_by_role("status").first).to_contain_text("revoked")
    expect(ada.get_by_role("button", name="Revoke training box")).to_have_count(0)


def test_hide_and_delete_a_repo(ada: Page, live: LiveHub) -> None:
    live.api.create_repo("ada/short-lived")
    ada.goto("/ada/short-lived/settings")
    ada.get_by_text("To others it does not exist").click()
    ada.get_by_role("button", name="Save visibility").click()
    expect(ada.get_by_role("status").first).to_contain_text("saved")
    assert live.api.model_info("ada/short-lived").private
    button = ada.get_by_role("button", name="Delete this model")
    expect(button).to_be_disabled()
    ada.fill("#confirm", "ada/short-lived")
    button.click()
    ada.wait_for_url("**/ada")
    assert not live.api.repo_exists("ada/short-lived")


def test_chat_streams_an_answer(ada: Page) -> None:
    pytest.importorskip("xllamacpp", reason="the `run` extra is not installed")
    ada.goto("/ada/tiny/chat")
    ada.wait_for_url("**/chat?model=ada/tiny")
    expect(ada.locator("#model")).to_have_value("ada/tiny")
    ada.fill("#max-tokens", "12")
    ada.fill("#prompt", "hello")
    ada.keyboard.press("Enter")
    reply = ada.locator(".message-assistant:not(.is-streaming) .message-body")
    expect(reply).to_have_text(re.compile(r"[a-z]{3}"), timeout=60_000)


def test_chat_asks_strangers_to_sign_in(page: Page) -> None:
    page.goto("/ada/tiny/chat")
    expect(page.get_by_text("Chat is not open to you here")).to_be_visible()
    page.locator("main").get_by_role("link", name="Sign in").click()
    page.wait_for_url("**/login?next=/ada/tiny/chat")


def test_the_keyboard_reaches_the_content_first(page: Page) -> None:
    page.goto("/ada/tiny")
    page.keyboard.press("Tab")
    expect(page.locator(".skip-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
