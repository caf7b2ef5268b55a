"""An evaluation from the form on a model's page to its answers, its card and the leaderboard."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from playwright.sync_api import Page, expect

from tests.browser.conftest import LiveHub
from tests.factories.gguf_model import CHATML, write_tiny_llama

pytestmark = pytest.mark.system("chromium")
_EVALUATION_MS = 120_000


def test_a_model_is_evaluated_and_ranked_in_the_browser(live: LiveHub, ada: Page, tmp_path: Path) -> None:
    pytest.importorskip("inspect_ai")
    path = write_tiny_llama(
        tmp_path / "seven-F32.gguf", context_tokens=2048, chat_template=CHATML, script=("Answer", ":", " 7")
    )
    live.api.create_repo("ada/seven")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the client's own, about its HTTP library
        live.api.upload_file(path_or_fileobj=path, path_in_repo=path.name, repo_id="ada/seven")
    ada.goto("/ada/seven")
    ada.click(".tabs >> text=Evaluation")
    expect(ada.locator("main")).to_contain_text("Nobody has evaluated it here yet")
    ada.fill("#limit", "lots")
    ada.click("button:has-text('Evaluate')")
    expect(ada.locator("[role=alert]")).to_contain_text("limit")
    ada.fill("#limit", "40")
    ada.click("button:has-text('Evaluate')")
    ada.wait_for_url("**/jobs/*")
    expect(ada.locator("main")).to_contain_text("Filed as ada/seven, evaluation", timeout=_EVALUATION_MS)
    ada.click("main >> text=ada/seven, evaluation")
    expect(ada.locator(".answers > li")).to_have_count(20)
    ada.click(".segmented >> text=Right")
    expect(ada.locator(".answers > li >> nth=0")).to_contain_text("right is 7")
    ada.click("button:has-text('Write into the card')")
    expect(ada.locator("main")).to_contain_text("model-index holds this result")
    assert ada.evaluate("document.documentElement.scrollWidth <= innerWidth")
    card = live.api.hf_hub_download("ada/seven", "README.md")
    (read,) = ModelCard.load(card).data.eval_results or []
    assert read.dataset_type == "seedstock-arithmetic"
    ada.goto("/leaderboard")
    expect(ada.locator("tbody tr")).to_contain_text(["ada/seven"])
    ada.set_viewport_size({"width": 390, "height": 844})
    assert ada.evaluate("document.documentElement.scrollWidth <= innerWidth")
