"""An evaluation from the form on a model's page to its answers, its card and the leaderboard."""

from __future__ import annotations

import warnings
from pathlib import Path

import httpx
import pytest
from huggingface_hub import ModelCard
from playwright.sync_api import Page, expect

from tests.browser.conftest import LiveHub, _seedstock
from tests.factories.gguf_model import CHATML, write_tiny_llama
from tests.factories.upstream import Exchange, scripted_upstream

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


def answer_seven(asked: Exchange) -> None:
    if asked.method == "GET":
        asked.answer(200, {"data": [{"id": "org/big"}]})
        return
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Answer: 7"}}
    said = {"id": "c", "object": "chat.completion", "created": 1, "model": "big-2026-11-01"}
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    asked.answer(200, said | {"choices": [choice], "usage": usage})


def test_a_model_that_runs_elsewhere_is_evaluated_from_its_page(live: LiveHub, ada: Page) -> None:
    pytest.importorskip("inspect_ai")
    _seedstock(live.data, "admin", "user", "keeper", "--admin")
    keeper = {
        "Authorization": f"Bearer {_seedstock(live.data, 'admin', 'token', 'keeper', '--role', 'write')}"
    }
    with scripted_upstream(answer_seven) as there:
        body = {"name": "rack", "kind": "openai", "url": f"{there.url}/v1", "accounts": ["ada"]}
        with httpx.Client(base_url=live.url, headers=keeper, timeout=60, trust_env=False) as client:
            client.post("/api/remotes", json=body).raise_for_status()
            ada.goto("/leaderboard")
            ada.click("summary:has-text('Models that run elsewhere')")
            ada.click("text=remote/rack/org/big")
            expect(ada.locator("main")).to_contain_text("at most 201 requests, about")
            ada.fill("#limit", "40")
            ada.click("button:has-text('Evaluate')")
            ada.wait_for_url("**/jobs/*")
            ada.click("main >> text=remote/rack/org/big, evaluation", timeout=_EVALUATION_MS)
            expect(ada.locator("main")).to_contain_text("big-2026-11-01")
            expect(ada.locator(".answers > li")).to_have_count(20)
            expect(ada.locator("button:has-text('Write into the card')")).to_have_count(0)
            ada.goto("/leaderboard")
            row = ada.locator("tbody tr", has_text="remote/rack/org/big")
            expect(row).to_contain_text("closed")
            expect(row).to_contain_text("runs elsewhere")
            client.delete("/api/remotes/rack").raise_for_status()
        ada.reload()
        expect(ada.locator("main")).not_to_contain_text("remote/rack/org/big")
