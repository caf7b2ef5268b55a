"""A variant from the form on a model's page to the published repo, and its recipe run again from its page."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import LiveHub
from tests.factories.tiny_llama import write_model
from tests.unit.adapt.stages import conversations

pytestmark = pytest.mark.system("chromium")
_TRAINING_MS = 90_000


def test_a_variant_is_made_and_made_again_in_the_browser(live: LiveHub, ada: Page, tmp_path: Path) -> None:
    write_model(tmp_path / "base")
    live.api.create_repo("ada/stock")
    live.api.create_repo("ada/talk", repo_type="dataset")
    rows = "".join(json.dumps(row) + "\n" for row in conversations(24)).encode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the client's own, about its HTTP library
        live.api.upload_folder(repo_id="ada/stock", folder_path=tmp_path / "base")
        live.api.upload_file(
            path_or_fileobj=rows, path_in_repo="train.jsonl", repo_id="ada/talk", repo_type="dataset"
        )
    ada.goto("/ada/stock")
    ada.click("text=Make it your own")
    ada.fill("#data", "ada/none")
    ada.click("text=See what it makes")
    expect(ada.locator("main")).to_contain_text("There is no dataset ada/none")
    ada.fill("#data", "ada/talk")
    ada.fill("#rank", "4")
    ada.fill("#publish", "ada/graft")
    ada.click("text=See what it makes")
    expect(ada.locator("main")).to_contain_text("24 rows")
    expect(ada.locator(".adapt-sample mark >> nth=0")).to_contain_text("the end")
    assert ada.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ada.click("button:has-text('Make it')")
    ada.wait_for_url("**/jobs/*")
    expect(ada.locator("main")).to_contain_text("Published in ada/graft", timeout=_TRAINING_MS)
    ada.goto("/ada/graft")
    expect(ada.locator("main")).to_contain_text("A low-rank adapter of ada/stock")
    ada.click("text=Make it again by its recipe")
    ada.click("button:has-text('Replicate')")
    ada.wait_for_url("**/jobs/*")
    expect(ada.locator(".job-head .state")).to_have_text("done", timeout=_TRAINING_MS)
    ada.goto("/ada/graft/replicate")
    expect(ada.locator(".replications")).to_contain_text("bit-exact")
