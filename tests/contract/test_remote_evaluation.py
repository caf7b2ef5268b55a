"""`seedstock eval` on models that run elsewhere: what is asked, what is filed, who sees it, and where the key is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.server import ROOT, HubProcess
from tests.factories.upstream import Exchange, ScriptedUpstream, scripted_upstream

KEY = "sk-elsewhere-0123456789abcdef"
MODEL = "org/big"
CALLED = "big-2026-11-01"


@pytest.fixture(scope="module", autouse=True)
def library() -> None:
    pytest.importorskip("inspect_ai")


def script(asked: Exchange) -> None:
    """Says its key to whoever asks; the model `picky` takes no temperature, as those do that think first."""
    if asked.method == "GET":
        asked.answer(200, {"data": [{"id": MODEL}, {"id": "picky"}]})
        return
    said = f"You came with {asked.headers.get('authorization')}. Answer: 7"
    if asked.path.endswith("/messages"):
        body: Any = {"id": "m", "type": "message", "role": "assistant", "model": CALLED, "stop_reason": "end_turn",
                     "content": [{"type": "text", "text": "Answer: 7"}],
                     "usage": {"input_tokens": 9, "output_tokens": 4}}  # fmt: skip
        asked.answer(200, body)
    elif asked.json["model"] == "picky" and {"temperature", "max_tokens"} & asked.json.keys():
        asked.answer(400, {"error": {"message": "'temperature' does not support 0 with this model"}})
    else:
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
        asked.answer(200, {"id": "c", "object": "chat.completion", "created": 1, "model": CALLED,
                           "choices": [choice], "usage": usage})  # fmt: skip


@pytest.fixture(scope="module")
def there() -> Iterator[ScriptedUpstream]:
    with scripted_upstream(script) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, there: ScriptedUpstream) -> Iterator[HubProcess]:
    """A hub with the remotes `rack` and `claude`, which eve may use and bob may not."""
    process = HubProcess(tmp_path_factory.mktemp("evaluating") / "data")
    process.admin("user", "root", "--admin")
    for name in ("eve", "bob"):
        process.admin("user", name)
    for name in ("root", "eve", "bob"):
        process.tokens[name] = process.admin("token", name, "--role", "write")
    process.start()
    try:
        with http(process, "root") as root:
            for name, kind in (("rack", "openai"), ("claude", "anthropic")):
                url = f"{there.url}/v1" if kind == "openai" else there.url
                body = {"name": name, "kind": kind, "url": url, "key": KEY, "accounts": ["eve"]}
                root.post("/api/remotes", json=body).raise_for_status()
        yield process
    finally:
        process.stop()
    assert not process.failures()
    written = [path for path in process.data.rglob("*") if path.is_file()]
    for path in [*written, process.log]:
        assert KEY.encode() not in path.read_bytes(), path


def http(hub: HubProcess, who: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {hub.tokens[who]}"} if who else {}
    return httpx.Client(base_url=hub.url, headers=headers, timeout=60, trust_env=False)


def run(hub: HubProcess, *words: str, who: str = "eve", code: int = 0) -> tuple[str, str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_TOKEN": hub.tokens[who]}
    command = [sys.executable, "-m", "seedstock", "eval", *words, "--endpoint", hub.url]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert KEY not in done.stdout + done.stderr
    return done.stdout, done.stderr


def asked_of(upstream: ScriptedUpstream) -> list[dict[str, Any]]:
    """All that was asked of its models: the list of them is looked at whenever the hub likes."""
    return [exchange.json for exchange in upstream.asked if exchange.method == "POST"]


def questions(upstream: ScriptedUpstream, model: str, since: int) -> list[dict[str, Any]]:
    """What was asked of a model, without the greeting."""
    asked = asked_of(upstream)[since:]
    return [body for body in asked if body["model"] == model and "Hello" not in str(body["messages"])]


def test_a_result_says_what_can_be_known_and_only_those_who_may_ask_see_it(
    front: HubProcess, there: ScriptedUpstream
) -> None:
    since, name = len(asked_of(there)), f"remote/rack/{MODEL}"
    out, said = run(front, name, "--suite", "arithmetic", "--limit", "40")
    assert f"{name} on arithmetic\nat most 41 requests, about " in said
    assert "(closed) on arithmetic:" in out
    asked = questions(there, MODEL, since)
    assert len(asked) == 40
    for body in asked:
        assert {key: body[key] for key in ("temperature", "top_p", "seed", "max_tokens")} == {
            "temperature": 0, "top_p": 1, "seed": 0, "max_tokens": 384,
        }  # fmt: skip
    with http(front, "eve") as eve:
        (found,) = eve.get(f"/api/models/{name}/evaluations").json()
        assert (found["model"], found["repo"], found["commit"], found["closed"]) == (name, None, None, True)
        (revision,) = found["remote"].pop("revisions")
        assert revision > 0
        assert found["remote"] == {"name": "rack", "kind": "openai", "model": MODEL, "answeredAs": [CALLED]}
        address = f"/api/models/{name}/evaluations/{found['id']}"
        samples = [json.loads(line) for line in eve.get(f"{address}/samples").text.splitlines()]
        assert {sample["answer"] for sample in samples} == {"You came with Bearer [key]. Answer: 7"}
        assert {sample["answered_as"] for sample in samples} == {CALLED}
        assert sum(sample["score"] for sample in samples) == 40 * found["score"] > 0
        board = eve.get("/api/leaderboard?suite=arithmetic").json()["boards"][0]
        assert [(line["model"], line["closed"]) for line in board["models"]] == [(name, True)]
        page = eve.get(f"/{name}?result={found['id']}", headers={"accept": "text/html"}).text
        assert f"It called itself</dt><dd>{CALLED}" in page
    for who in ("bob", ""):
        with http(front, who) as other:
            assert other.get(f"/{name}", headers={"accept": "text/html"}).status_code in {303, 401, 404}
            assert other.get("/api/leaderboard?suite=arithmetic").json()["boards"] == []
            assert other.get(address).status_code in {401, 404}
            assert other.get(f"{address}/samples").status_code in {401, 404}
            assert name not in other.get("/leaderboard", headers={"accept": "text/html"}).text
    hidden = run(front, name, "--suite", "arithmetic", who="bob", code=3)[1]
    absent = run(front, f"remote/rock/{MODEL}", "--suite", "arithmetic", who="bob", code=3)[1]
    assert hidden.replace("rack", "rock") == absent


def test_one_that_speaks_messages_is_asked_without_what_has_no_counterpart(
    front: HubProcess, there: ScriptedUpstream
) -> None:
    since = len(asked_of(there))
    words = (f"remote/claude/{MODEL}", "--suite", "arithmetic", "--limit", "5", "--seed", "3", "--json")
    found = json.loads(run(front, *words)[0])["result"]
    asked = questions(there, MODEL, since)
    assert len(asked) == 5
    assert all(body["temperature"] == 0 and not {"top_p", "seed"} & body.keys() for body in asked)
    assert (found["remote"]["kind"], found["settings"]["top_p"]) == ("anthropic", 1.0)


def test_one_that_refuses_the_settings_is_asked_once_and_then_by_its_own(
    front: HubProcess, there: ScriptedUpstream
) -> None:
    since = len(asked_of(there))
    words = ("remote/rack/picky", "--suite", "arithmetic", "--limit", "5")
    _, error = run(front, *words, code=1)
    assert "'temperature' does not support 0" in error
    assert "--sampling own" in error
    assert len(asked_of(there)) == since + 1, "only the greeting"
    own = ("--sampling", "own", "--max-tokens", "900", "--json")
    found = json.loads(run(front, *words, *own)[0])["result"]
    assert all(body["max_completion_tokens"] == 900 for body in questions(there, "picky", since + 1))
    assert (found["n"], found["settings"]["temperature"], found["settings"]["max_tokens"]) == (5, None, 900)


def test_nothing_is_asked_for_an_estimate_or_for_a_card(front: HubProcess, there: ScriptedUpstream) -> None:
    since, name = len(asked_of(there)), f"remote/rack/{MODEL}"
    planned = json.loads(run(front, name, "--suite", "instructions", "--dry-run", "--json")[0])
    assert planned["estimate"]["requests"] == 151
    assert planned["estimate"]["answer_tokens"] == 151 * 512
    assert 1000 < planned["estimate"]["prompt_tokens"] < 20_000
    _, error = run(front, name, "--suite", "arithmetic", "--write-card", code=1)
    assert error == (
        "seedstock: A model that runs elsewhere has no card on this hub."
        " leave write_card out: the result is filed all the same\n"
    )
    assert len(asked_of(there)) == since
