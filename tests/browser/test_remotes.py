"""The page where an administrator registers models that run elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD, LiveHub, _seedstock, sign_in
from tests.factories.upstream import Exchange, ScriptedUpstream, scripted_upstream

pytestmark = pytest.mark.system("chromium")
KEY = "sk-very-secret-0123456789"


def script(asked: Exchange) -> None:
    right = asked.headers.get("authorization") == f"Bearer {KEY}"
    asked.answer(200 if right else 401, {"data": [{"id": "org/big"}, {"id": "small"}]})


@pytest.fixture
def there() -> Iterator[ScriptedUpstream]:
    with scripted_upstream(script) as upstream:
        yield upstream


@pytest.fixture
def root(live: LiveHub, page: Page) -> Page:
    """A tab of an administrator's."""
    _seedstock(live.data, "admin", "user", "warden", "--admin", "--password-stdin", stdin=f"{PASSWORD}\n")
    sign_in(page, "warden")
    page.wait_for_url("**/")
    return page


def test_a_remote_is_added_tested_changed_and_removed(
    live: LiveHub, root: Page, there: ScriptedUpstream
) -> None:
    root.goto("/")
    root.click("summary[aria-label^='Menu of']")
    root.click("text=Remote models")
    form = root.locator("form[action='/admin/remotes']")
    form.locator("[name=name]").fill("rack")
    form.locator("[name=url]").fill("ftp://nowhere")
    form.locator("[name=key]").fill("wrong-key-of-the-rack")
    form.locator("[type=submit]").click()
    expect(root.locator("[role=alert]")).to_contain_text("starts with http:// or https://")
    expect(form.locator("[name=name]")).to_have_value("rack")
    expect(form.locator("[name=key]")).to_have_value("")
    form.locator("[name=url]").fill(f"{there.url}/v1")
    form.locator("[name=key]").fill("wrong-key-of-the-rack")
    form.locator("[type=submit]").click()
    expect(root.locator(".notice-warn")).to_contain_text("refuses the key")
    panel = root.locator("section[aria-labelledby='remote-rack']")
    panel.locator("summary:has-text('Change')").click()
    panel.locator("[name=key]").fill(KEY)
    panel.locator("[name=accounts]").fill("nobody-at-all")
    panel.locator("text=Save").click()
    expect(root.locator("[role=alert]")).to_contain_text("'nobody-at-all'")
    panel.locator("summary:has-text('Change')").click()
    panel.locator("[name=key]").fill(KEY)
    panel.locator("[name=accounts]").fill("ada")
    panel.locator("text=Save").click()
    panel.locator("button:has-text('Test')").click()
    expect(root.locator(".notice-good")).to_have_text(re.compile(r"rack lists 2 models, in \d+ ms\."))
    panel.locator("summary:has-text('Show the models')").click()
    expect(panel.locator("li")).to_have_text(["remote/rack/org/big", "remote/rack/small"])
    expect(panel.locator(".facts")).to_contain_text("ada")
    assert KEY not in root.content()
    assert root.evaluate("document.documentElement.scrollWidth <= innerWidth")
    panel.locator("summary:has-text('Change')").click()
    panel.locator("text=Remove rack").click()
    expect(root.locator(".notice-good")).to_contain_text("rack and its key are forgotten")
    expect(panel).to_have_count(0)


def test_only_administrators_see_it(live: LiveHub, ada: Page) -> None:
    ada.goto("/")
    ada.click("summary[aria-label^='Menu of']")
    expect(ada.locator("text=Remote models")).to_have_count(0)
    answer = ada.goto("/admin/remotes")
    assert answer is not None
    assert answer.status == 403
