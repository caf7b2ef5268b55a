"""`kill -9` of a server that counts: what was counted two seconds before is there, and limits stand where they stood."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
from huggingface_hub import HfApi

from seedstock.usage.recorder import FLUSH_S
from tests.contract.models import publish_file
from tests.contract.server import HubProcess
from tests.damage.audit import connect
from tests.factories.gguf_model import write_tiny_llama

_SLACK_S = 1.0  # of a busy machine


def _ask(http: httpx.Client, times: int) -> None:
    for _ in range(times):
        body = {"model": "ada/tiny", "prompt": "hi", "max_tokens": 2}
        http.post("/v1/completions", json=body).raise_for_status()


def test_a_kill_loses_at_most_what_is_promised(victim: HubProcess, tmp_path: Path) -> None:
    victim.admin("limit", "ada", "--requests-per-minute", "30")
    victim.start()
    publish_file(
        HfApi(endpoint=victim.url, token=victim.tokens["ada"]),
        "ada/tiny",
        write_tiny_llama(tmp_path / "tiny-F32.gguf"),
    )
    with connect(victim) as http:
        _ask(http, 5)
        time.sleep(FLUSH_S + _SLACK_S)  # the promise is about this span
        _ask(http, 4)
        before = http.get("/api/usage").json()["limits"][0]["remaining"]
    victim.kill()
    victim.start()
    with connect(victim) as http:
        found = http.get("/api/usage").json()
        assert 5 <= found["totals"]["requests"] <= 9
        assert found["totals"]["completion_tokens"] == 2 * found["totals"]["requests"]
        assert before <= found["limits"][0]["remaining"] < 30, "some came back with time, not by the kill"
        _ask(http, 1)
    victim.stop()
    victim.start()
    with connect(victim) as http:
        assert http.get("/api/usage").json()["totals"]["requests"] == found["totals"]["requests"] + 1, (
            "a server that is told to stop loses nothing"
        )
    assert not victim.failures()
    assert len(list((victim.data / "run" / "metrics").iterdir())) == 1, "folders of killed servers are swept"
