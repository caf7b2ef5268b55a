"""Chats in the browser, against a live server that runs a tiny model."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.browser.conftest import LiveHub, Watch, sign_in

pytestmark = [pytest.mark.system("chromium"), pytest.mark.usefixtures("talkers")]
pytest.importorskip("xllamacpp", reason="the `run` extra is not installed")

ANSWERED = ".message-assistant:not(.is-streaming)"
HARM = "<img src=x onerror='window.harm=1'><script>window.harm=1</script>"
LOADING_MS = 60_000


@pytest.fixture
def chat(ada: Page) -> Iterator[Page]:
    """A new chat of ada's with the tiny model; all her chats are gone afterwards."""
    ada.goto("/chat?model=ada/tiny")
    expect(ada.locator("#model")).to_have_value("ada/tiny")
    ada.fill("#max-tokens", "12")
    ada.fill("#seed", "7")
    yield ada
    ada.unroute_all()
    ada.evaluate(
        """() => fetch('/api/chats', {method: 'DELETE',
            headers: {'X-CSRF-Token': document.querySelector('meta[name="csrf-token"]').content}})"""
    )


def say(page: Page, text: str) -> None:
    """Send a message and wait for the answer to end."""
    page.fill("#prompt", text)
    page.keyboard.press("Enter")
    done(page)


def done(page: Page) -> None:
    expect(page.locator("#send")).to_be_visible(timeout=LOADING_MS)
    expect(page.locator(ANSWERED).last.locator(".message-tools .tnum")).to_contain_text("ada/tiny")


def wait_for_roles(page: Page, roles: list[str]) -> None:
    """Until these messages are kept: an answer is saved when it has ended."""
    end_s = time.monotonic() + 20
    while [message["role"] for message in export(page)["messages"]] != roles:
        assert time.monotonic() < end_s, export(page)["messages"]
        page.wait_for_timeout(100)


def export(page: Page) -> dict:
    found = page.request.get(page.url.replace("/chat/", "/api/chats/") + "/export")
    assert found.ok
    return json.loads(found.text())


def test_a_chat_is_kept_edited_and_written_anew(chat: Page) -> None:
    say(chat, "the first question")
    chat.wait_for_url(re.compile(r"/chat/[0-9a-f]{24}$"))
    expect(chat.locator(ANSWERED).locator(".message-tools")).to_contain_text(
        re.compile(r"\d+ tokens .*first after \d")
    )
    expect(chat.locator(".chat-item.is-current")).to_contain_text("the first question")
    chat.fill("#seed", "8")
    chat.locator("#seed").blur()
    chat.get_by_role("button", name="Write another answer").click()
    done(chat)
    expect(chat.locator(".branches")).to_contain_text("2/2")
    chat.get_by_role("button", name="Edit and send again").click()
    chat.locator(".is-edited textarea").fill("another question")
    chat.keyboard.press("Enter")
    done(chat)
    expect(chat.locator(".message-text")).to_have_text("another question")
    expect(chat.locator(".message-tools-user .branches")).to_contain_text("2/2")
    chat.reload()
    expect(chat.locator(".message-text")).to_have_text("another question")
    expect(chat.locator("#seed")).to_have_value("8")
    chat.get_by_role("button", name="Previous version").click()
    expect(chat.locator(".message-text")).to_have_text("the first question")
    expect(chat.locator(".message-tools .branches")).to_contain_text("2/2")
    chat.wait_for_timeout(0)
    messages = export(chat)["messages"]
    assert [message["role"] for message in messages] == [
        "user",
        "assistant",
        "assistant",
        "user",
        "assistant",
    ]
    assert messages[1]["parent"] == messages[2]["parent"] == messages[0]["id"]
    assert messages[1]["content"] != messages[2]["content"]
    assert "parent" not in messages[3]


def test_stop_keeps_what_was_said(chat: Page) -> None:
    chat.select_option("#model", "ada/long")
    chat.fill("#max-tokens", "30000")
    chat.fill("#prompt", "go on for ever")
    chat.keyboard.press("Enter")
    expect(chat.locator(".message-assistant .message-body")).to_have_text(
        re.compile(r"[a-z]{3}"), timeout=LOADING_MS
    )
    chat.keyboard.press("Escape")
    tools = chat.locator(ANSWERED).locator(".message-tools")
    expect(tools).to_contain_text(re.compile(r"ada/long · Stopped · \d+ tokens"))
    chat.wait_for_url(re.compile(r"/chat/[0-9a-f]{24}$"))
    said = chat.locator(ANSWERED).locator(".message-body").inner_text()
    chat.reload()
    expect(chat.locator(ANSWERED).locator(".message-body")).to_have_text(said, use_inner_text=True)


def test_a_second_question_follows_the_first_answer(chat: Page) -> None:
    sent: list[dict] = []
    chat.on(
        "request",
        lambda request: sent.append(request.post_data_json) if "completions" in request.url else None,
    )
    chat.fill("#system", "Be brief.")
    say(chat, "one")
    say(chat, "two")
    roles = [message["role"] for message in sent[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert sent[1]["messages"][0]["content"] == "Be brief."
    assert sent[1]["max_tokens"] == 12
    assert sent[1]["seed"] == 7


def test_share_opens_for_a_stranger_until_it_is_taken_back(
    chat: Page, browser: Browser, live: LiveHub
) -> None:
    say(chat, f"share this {HARM}")
    chat.wait_for_url(re.compile(r"/chat/[0-9a-f]{24}$"))
    chat.get_by_role("button", name="Share", exact=True).click()
    chat.get_by_role("button", name="Make a link").click()
    link = chat.locator("#share-list input")
    expect(link).to_have_value(re.compile(r"/chat/shared/\d+-[0-9a-f]{32}$"))
    address = link.input_value()
    stranger = browser.new_context(base_url=live.url)
    watch = Watch(stranger, live.url)
    page = stranger.new_page()
    page.goto(address)
    expect(page.locator("#shared-note")).to_contain_text("A shared chat")
    expect(page.locator(".message-user")).to_contain_text("share this <img")
    expect(page.locator(".message-assistant .message-body")).to_have_text(re.compile(r"[a-z]{3}"))
    assert page.evaluate("window.harm") is None
    assert page.goto(f"{address[:-1]}{'0' if address[-1] != '0' else '1'}").status == 404  # type: ignore[union-attr]
    assert page.goto(chat.url).status in {302, 303, 200}  # type: ignore[union-attr]
    assert "/login" in page.url
    chat.get_by_role("button", name="Take the link back").click()
    expect(link).to_have_count(0)
    assert page.goto(address).status == 404  # type: ignore[union-attr]
    stranger.close()
    assert watch.faults == []


def test_files_are_sent_as_text_and_what_is_none_is_refused(chat: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(f"a graft {HARM}")
    (tmp_path / "weights.bin").write_bytes(b"\xff\xfe\0\1")
    (tmp_path / "big.txt").write_text("x" * 300_000)
    names = ["weights.bin", "big.txt", "notes.txt"]
    chat.set_input_files("#attach", [tmp_path / name for name in names])
    expect(chat.locator("#files li")).to_have_count(1)
    expect(chat.locator("#chat-status")).to_contain_text("big.txt is larger than 256 KiB")
    with chat.expect_request("**/v1/chat/completions") as request:
        say(chat, "what does it say?")
    content = request.value.post_data_json["messages"][0]["content"]
    assert content == f"File notes.txt:\n\na graft {HARM}\n\nwhat does it say?"
    chat.wait_for_url(re.compile(r"/chat/[0-9a-f]{24}$"))
    chat.reload()
    chat.locator(".attached summary").click()
    expect(chat.locator(".attached pre")).to_have_text(f"a graft {HARM}")
    assert chat.evaluate("window.harm") is None


def test_rename_search_delete_and_undo(chat: Page) -> None:
    say(chat, f"{HARM} pears")
    chat.wait_for_url(re.compile(r"/chat/[0-9a-f]{24}$"))
    item = chat.locator(".chat-item.is-current")
    item.hover()
    item.get_by_role("button", name=re.compile("^Rename")).click()
    chat.get_by_label("Title").fill(f"Orchard {HARM}")
    chat.keyboard.press("Enter")
    expect(item).to_contain_text("Orchard <img")
    chat.fill("#chat-search", "PEARS")
    expect(chat.locator(".chat-item")).to_have_count(1)
    chat.fill("#chat-search", "plums")
    expect(chat.locator("#chat-list-empty")).to_have_text("No chat matches.")
    chat.fill("#chat-search", "")
    old = chat.url
    item.hover()
    item.get_by_role("button", name=re.compile("^Delete")).click()
    expect(chat.locator("#toast-text")).to_contain_text("Deleted")
    assert chat.url.endswith("/chat")
    expect(chat.locator(".message")).to_have_count(0)
    assert chat.request.get(old.replace("/chat/", "/api/chats/")).status == 404
    chat.get_by_role("button", name="Undo").click()
    chat.wait_for_url(re.compile(r"/chat/[0-9a-f]{24}$"))
    expect(chat.locator(".message-text")).to_contain_text("pears")
    assert chat.evaluate("window.harm") is None


def test_export_in_both_forms(chat: Page) -> None:
    say(chat, "export me")
    chat.wait_for_url(re.compile(r"/chat/[0-9a-f]{24}$"))
    chat.locator("#chat-actions summary").click()
    with chat.expect_download() as markdown:
        chat.locator("#export-markdown").click()
    text = Path(markdown.value.path()).read_text()
    assert text.startswith("# export me\n\n## You\n\nexport me\n\n## ada/tiny\n\n")
    assert export(chat)["model"] == "ada/tiny"


def test_the_chat_goes_on_when_it_cannot_be_saved(chat: Page) -> None:
    def full(route: Route) -> None:
        if route.request.method == "POST":
            route.fulfill(status=429, json={"error": "You have 2000 chats, which is the most"})
        else:
            route.continue_()

    chat.route("**/api/chats", full)
    say(chat, "one")
    expect(chat.locator("#unsaved")).to_contain_text("Not saved: You have 2000 chats")
    chat.unroute("**/api/chats")
    say(chat, "two")
    expect(chat.locator("#unsaved")).to_be_hidden()
    chat.wait_for_url(re.compile(r"/chat/[0-9a-f]{24}$"))
    wait_for_roles(chat, ["user", "assistant"] * 2)


def test_an_error_is_said_in_words_and_tried_again(chat: Page) -> None:
    busy = {"error": {"message": "You have asked enough for now"}}
    chat.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(status=429, json=busy, headers={"Retry-After": "12"}),
        times=1,
    )
    chat.fill("#prompt", "hello")
    chat.keyboard.press("Enter")
    expect(chat.locator(".message-failed")).to_contain_text(
        "You have asked enough for now. Try again in 12 s."
    )
    chat.get_by_role("button", name="Try again").click()
    done(chat)
    expect(chat.locator(".message-failed")).to_have_count(0)


def test_reasoning_is_folded_and_markup_of_a_model_is_text(chat: Page) -> None:
    pieces = [
        {"reasoning_content": f"Let me see {HARM}"},
        {"content": f"**So** {HARM} [x](javascript:alert(1))"},
    ]
    events = "".join(f"data: {json.dumps({'choices': [{'delta': piece}]})}\n\n" for piece in pieces)
    chat.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(body=f"{events}data: [DONE]\n\n", content_type="text/event-stream"),
    )
    say(chat, "think")
    expect(chat.locator(".reasoning")).not_to_have_attribute("open", "")
    chat.locator(".reasoning summary").click()
    expect(chat.locator(".reasoning-text")).to_contain_text("<script>")
    expect(chat.locator(".message-body strong")).to_have_text("So")
    assert chat.locator(".message-body a, .message-body img, .message-body script").count() == 0
    assert chat.evaluate("window.harm") is None


def test_a_model_that_says_markup_harms_nobody(chat: Page) -> None:
    chat.select_option("#model", "ada/hostile")
    chat.locator("#temperature").fill("0")
    chat.fill("#prompt", "hello")
    chat.keyboard.press("Enter")
    expect(chat.locator(".message-body").last).to_contain_text("<script>", timeout=LOADING_MS)
    expect(chat.locator("#send")).to_be_visible(timeout=LOADING_MS)
    assert chat.locator(".message-body").locator("img, script").count() == 0
    assert chat.evaluate("window.harm") is None


def test_chats_of_others_look_like_none(chat: Page, browser: Browser, live: LiveHub) -> None:
    say(chat, "mine")
    chat.wait_for_url(re.compile(r"/chat/[0-9a-f]{24}$"))
    context = browser.new_context(base_url=live.url)
    page = context.new_page()
    sign_in(page, "bob")
    page.wait_for_url("**/")
    texts = []
    for path in (chat.url, "/chat/" + "0" * 24):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 404
        texts.append(re.sub(r"[0-9a-f]{24,}", "", page.locator("main").inner_text()))
    assert texts[0] == texts[1]
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_long_chat_fits_a_phone(browser: Browser, live: LiveHub, scheme: str) -> None:
    context: BrowserContext = browser.new_context(
        base_url=live.url,
        viewport={"width": 360, "height": 740},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    watch = Watch(context, live.url)
    page = context.new_page()
    sign_in(page)
    page.wait_for_url("**/")
    page.goto("/chat?model=ada/tiny")
    page.get_by_role("heading", name="Options").click()
    page.fill("#max-tokens", "30")
    say(page, "x" * 400)
    for path in (page.url, "/chat", "/compare", "/arena"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, path
    context.close()
    assert watch.faults == []
