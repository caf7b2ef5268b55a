"""Use is counted, limits hold and metrics are read on a live hub with two web workers, by the stock clients."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from gguf import PoolingType
from huggingface_hub import HfApi
from prometheus_client.parser import text_string_to_metric_families

from seedstock.accounts.service import Accounts
from seedstock.core.clock import now_ms
from seedstock.core.limits import Limits
from seedstock.core.viewer import TokenRole
from seedstock.places import open_database
from seedstock.settings import load
from seedstock.usage.settings import LimitSettings
from tests.contract.models import Publish, hello, publish
from tests.contract.server import HubProcess
from tests.factories.tiny_transformers import write_gpt2

__all__ = ["hello", "publish"]
MESSAGES: Any = [{"role": "user", "content": "hi"}]
_WRITTEN_S = 5
MakePerson = Callable[..., str]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    process = HubProcess(tmp_path_factory.mktemp("usage") / "data", SEEDSTOCK_WORKERS="2")
    process.people()
    process.start()
    yield process
    process.stop()
    assert not process.failures()


@pytest.fixture(scope="module")
def person(hub: HubProcess) -> Iterator[MakePerson]:
    """Add a user with limits; a token of theirs."""
    database = open_database(load({}, data=hub.data))
    accounts = Accounts(database, now_ms)

    def make(name: str, *, admin: bool = False, **limits: int) -> str:
        accounts.create_user(name, admin=admin)
        LimitSettings(database, accounts, now_ms).set_limits(name, Limits(**limits), actor="test")
        hub.tokens[name] = accounts.create_token(name, role=TokenRole.WRITE, name=f"{name}-laptop")
        return hub.tokens[name]

    yield make
    database.close()


def _http(hub: HubProcess, token: str) -> httpx.Client:
    return httpx.Client(
        base_url=hub.url, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
    )


def _openai(hub: HubProcess, token: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{hub.url}/v1", api_key=token, **{"max_retries": 0} | options)


def _anthropic(hub: HubProcess, token: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=hub.url, api_key=token, max_retries=0)


def _settled(http: httpx.Client, requests: int) -> dict[str, Any]:
    """The usage, once that many requests are in it, which is a matter of seconds."""
    deadline_s = time.monotonic() + _WRITTEN_S
    while True:
        found: dict[str, Any] = http.get("/api/usage").raise_for_status().json()
        if found["totals"]["requests"] >= requests or time.monotonic() > deadline_s:
            return found
        time.sleep(0.1)


def test_every_api_is_counted_as_its_client_is_told(hub: HubProcess, hello: str, person: MakePerson) -> None:
    token = person("counted")
    prompt = completion = cached = 0
    with _openai(hub, token) as client:
        for stream in (False, True):
            options: Any = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
            for made in (
                client.chat.completions.create(model=hello, messages=MESSAGES, max_tokens=9, **options),
                client.completions.create(model=hello, prompt="hi", max_tokens=9, **options),
            ):
                usage = list(made)[-1].usage if stream else made.usage
                prompt += usage.prompt_tokens
                completion += usage.completion_tokens
                cached += usage.prompt_tokens_details.cached_tokens
        silent = client.chat.completions.create(model=hello, messages=MESSAGES, max_tokens=9, stream=True)
        assert all(chunk.usage is None for chunk in silent)
        answer = client.responses.create(model=hello, input="hi", max_output_tokens=9)
        prompt, completion = prompt + answer.usage.input_tokens, completion + answer.usage.output_tokens
        cached += answer.usage.input_tokens_details.cached_tokens
    with _anthropic(hub, token) as other:
        message = other.messages.create(model=hello, messages=MESSAGES, max_tokens=9)
        with other.messages.stream(model=hello, messages=MESSAGES, max_tokens=9) as stream:
            for usage in (message.usage, stream.get_final_message().usage):
                prompt += usage.input_tokens + usage.cache_read_input_tokens
                cached += usage.cache_read_input_tokens
                completion += usage.output_tokens
        other.messages.count_tokens(model=hello, messages=MESSAGES)
    with _http(hub, token) as http:
        found = _settled(http, 8)
    totals = found["totals"]
    assert (totals["requests"], totals["failures"]) == (8, 0)
    assert totals["completion_tokens"] == completion + 6, "and the six that the silent stream did not tell of"
    assert totals["prompt_tokens"] > prompt
    assert totals["cached_tokens"] > cached
    assert [model["model"] for model in found["models"]] == [hello]
    assert [(one["name"], one["requests"]) for one in found["tokens"]] == [("counted-laptop", 8)]
    assert totals["duration_ms"] > 0


def test_embeddings_are_counted_and_questions_about_tokens_are_not(
    hub: HubProcess, publish: Publish, person: MakePerson
) -> None:
    model = publish("vectors", pooling=PoolingType.MEAN)
    token = person("embedder")
    with _openai(hub, token) as client, _http(hub, token) as http:
        told = client.embeddings.create(model=model, input=["one two", "three"]).usage
        http.post("/v1/tokenize", json={"model": model, "prompt": "hi"}).raise_for_status()
        totals = _settled(http, 1)["totals"]
    assert (totals["requests"], totals["prompt_tokens"]) == (1, told.prompt_tokens)
    assert totals["completion_tokens"] == 0


def test_an_abandoned_stream_counts_what_was_made(
    hub: HubProcess, publish: Publish, person: MakePerson
) -> None:
    model, token = publish("endless"), person("leaver")
    with _openai(hub, token) as client:
        stream = client.chat.completions.create(
            model=model, messages=MESSAGES, max_tokens=1900, stream=True, extra_body={"ignore_eos": True}
        )
        for number, chunk in enumerate(stream):
            assert "prompt_progress" not in chunk.model_extra, (
                "which is asked of the engine, and for us alone"
            )
            if number == 20:
                break
        stream.close()
        whole = client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=1).usage
    with _http(hub, token) as http:
        totals = _settled(http, 2)["totals"]
    assert (totals["requests"], totals["failures"]) == (2, 0)
    assert 15 <= totals["completion_tokens"] < 1900
    assert totals["prompt_tokens"] == 2 * whole.prompt_tokens


def test_remote_models_are_counted_likewise(hub: HubProcess, hello: str, person: MakePerson) -> None:
    """This hub is its own remote, in either API."""
    root, token = person("registrar", admin=True), person("traveller")
    key = {"SEEDSTOCK_REMOTE_KEY": hub.tokens["ada"], "HF_ENDPOINT": hub.url, "HF_TOKEN": root}
    for kind, url in (("openai", f"{hub.url}/v1"), ("anthropic", hub.url)):
        command = [sys.executable, "-m", "seedstock", "remote", "add", kind, "--kind", kind, "--url", url]
        done = subprocess.run(command, env=os.environ | key, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    prompt = completion = 0
    with _openai(hub, token) as client, _anthropic(hub, token) as other, _http(hub, token) as http:
        for kind in ("openai", "anthropic"):
            ask: Any = {"model": f"remote/{kind}/{hello}", "messages": MESSAGES, "max_tokens": 9}
            chat = client.chat.completions.create(**ask).usage
            told = list(
                client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
            )[-1].usage
            for usage in (chat, told):
                prompt, completion = prompt + usage.prompt_tokens, completion + usage.completion_tokens
            message = other.messages.create(**ask).usage
            with other.messages.stream(**ask) as stream:
                for usage in (message, stream.get_final_message().usage):
                    prompt += usage.input_tokens + usage.cache_read_input_tokens
                    completion += usage.output_tokens
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(**ask | {"model": f"remote/{kind}/ada/none"})
        found = _settled(http, 8)
        totals = found["totals"]
        assert (totals["requests"], totals["failures"]) == (8, 0)
        assert (totals["prompt_tokens"], totals["completion_tokens"]) == (prompt, completion)
        assert {one["model"] for one in found["models"]} == {
            f"remote/openai/{hello}",
            f"remote/anthropic/{hello}",
        }
        ask = {"model": f"remote/openai/{hello}", "messages": MESSAGES, "max_tokens": 9}
        list(client.chat.completions.create(**ask, stream=True))
        silent = _settled(http, 9)["totals"]
    assert abs(silent["completion_tokens"] - completion - 6) <= 1, "by its pieces: nobody asked for figures"


def test_messages_of_an_engine_that_knows_only_chats_are_counted(
    hub: HubProcess, person: MakePerson, tmp_path: Path
) -> None:
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    api.create_repo("ada/gpt2-messages")
    api.upload_folder(repo_id="ada/gpt2-messages", folder_path=str(write_gpt2(tmp_path / "gpt2")))
    token = person("messenger")
    ask: Any = {"model": "ada/gpt2-messages", "messages": MESSAGES, "max_tokens": 5}
    with _anthropic(hub, token) as client, _http(hub, token) as http:
        whole = client.messages.create(**ask).usage
        with client.messages.stream(**ask) as stream:
            streamed = stream.get_final_message().usage
        totals = _settled(http, 2)["totals"]
    assert (totals["requests"], totals["failures"]) == (2, 0)
    assert totals["prompt_tokens"] == whole.input_tokens + streamed.input_tokens
    assert totals["completion_tokens"] == whole.output_tokens + streamed.output_tokens


def test_a_silent_stream_of_transformers_is_counted_too(
    hub: HubProcess, person: MakePerson, tmp_path: Path
) -> None:
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    api.create_repo("ada/gpt2")
    api.upload_folder(repo_id="ada/gpt2", folder_path=str(write_gpt2(tmp_path / "gpt2")))
    token = person("torchbearer")
    ask: Any = {"model": "ada/gpt2", "messages": MESSAGES, "max_tokens": 5, "temperature": 0, "n": 2}
    with _openai(hub, token) as client, _http(hub, token) as http:
        whole = client.chat.completions.create(**ask).usage
        chunks = list(client.chat.completions.create(**ask, stream=True))
        assert all(chunk.usage is None and "prompt_progress" not in chunk.model_extra for chunk in chunks)
        totals = _settled(http, 2)["totals"]
    assert totals["prompt_tokens"] == 2 * whole.prompt_tokens
    assert totals["completion_tokens"] == 2 * whole.completion_tokens


def test_failures_are_counted_and_models_that_are_not_there_are_not(
    hub: HubProcess, hello: str, person: MakePerson
) -> None:
    token = person("unlucky")
    with _openai(hub, token) as client, _http(hub, token) as http:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(
                model=hello, messages=[{"role": "user", "content": "a " * 20_000}], max_tokens=2
            )
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="ada/none", messages=MESSAGES)
        client.chat.completions.create(model=hello, messages=MESSAGES, max_tokens=2)
        found = _settled(http, 2)
    assert (found["totals"]["requests"], found["totals"]["failures"]) == (2, 1)
    assert [model["model"] for model in found["models"]] == [hello]


def test_openais_client_is_told_and_waits(hub: HubProcess, hello: str, person: MakePerson) -> None:
    token = person("hasty", requests_per_minute=30, tokens_per_minute=10_000, tokens_per_day=50_000)
    ask: Any = {"model": hello, "messages": MESSAGES, "max_tokens": 1}
    with _openai(hub, token) as client, _openai(hub, token, max_retries=2) as patient:
        first = client.chat.completions.with_raw_response.create(**ask)
        assert first.headers["x-ratelimit-limit-requests"] == "30"
        assert first.headers["x-ratelimit-remaining-requests"] == "29"
        assert first.headers["x-ratelimit-reset-requests"] == "2s"
        assert first.headers["x-ratelimit-limit-tokens"] == "10000"
        assert first.headers["x-ratelimit-remaining-tokens"] == "10000"
        with pytest.raises(openai.NotFoundError) as absent:
            client.chat.completions.create(**ask | {"model": "ada/none"})
        assert absent.value.response.headers["x-ratelimit-remaining-requests"] in {"28", "29"}
        with pytest.raises(openai.RateLimitError) as refused:
            for _ in range(400):  # more than 30, as the minute goes on
                stream = client.chat.completions.with_raw_response.create(**ask, stream=True)
                assert int(stream.headers["x-ratelimit-remaining-requests"]) >= 0
                stream.parse().close()
        answer = refused.value.response
        assert 1 <= int(answer.headers["retry-after"]) <= 2
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 10_000
        assert (refused.value.type, refused.value.code) == ("rate_limit_error", "rate_limit_exceeded")
        assert "30 requests per minute" in refused.value.message
        assert patient.chat.completions.create(**ask).usage.completion_tokens == 1, "waited as long as told"


def test_anthropics_client_is_told(hub: HubProcess, hello: str, person: MakePerson) -> None:
    token = person("terse", requests_per_minute=1, tokens_per_day=1000)
    ask: Any = {"model": hello, "messages": MESSAGES, "max_tokens": 1}
    with _anthropic(hub, token) as client:
        first = client.messages.with_raw_response.create(**ask)
        assert first.headers["anthropic-ratelimit-requests-limit"] == "1"
        assert first.headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert first.headers["anthropic-ratelimit-tokens-limit"] == "1000"
        assert first.headers["anthropic-ratelimit-tokens-reset"].endswith("T00:00:00Z")
        with pytest.raises(anthropic.RateLimitError) as refused:
            client.messages.create(**ask)
        assert refused.value.body["error"]["type"] == "rate_limit_error"
        assert 50 <= int(refused.value.response.headers["retry-after"]) <= 60
        assert refused.value.response.headers["anthropic-ratelimit-requests-remaining"] == "0"


def test_tokens_of_a_day_stop_the_next_request(hub: HubProcess, hello: str, person: MakePerson) -> None:
    token = person("spender", tokens_per_day=10)
    with _openai(hub, token) as client:
        client.chat.completions.create(model=hello, messages=MESSAGES, max_tokens=3)
        with pytest.raises(openai.RateLimitError, match="10 tokens per day"):
            client.chat.completions.create(model=hello, messages=MESSAGES, max_tokens=3)
    with _http(hub, token) as http:
        (limit,) = http.get("/api/usage").json()["limits"]
    assert (limit["kind"], limit["limit"], limit["remaining"]) == ("tokens_per_day", 10, 0)


def test_many_at_once_never_pass_the_limit(hub: HubProcess, hello: str, person: MakePerson) -> None:
    """Over two workers, by connections of their own; what a minute's limit gains meanwhile comes on top."""
    token, limit = person("crowd", requests_per_minute=12), 12
    body = {"model": hello, "prompt": "hi", "max_tokens": 1}

    def ask(_: int) -> int:
        with _http(hub, token) as http:
            return http.post("/v1/completions", json=body).status_code

    began_s = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(ask, range(60)))
    took_s = time.monotonic() - began_s
    assert set(statuses) == {200, 429}
    assert limit <= statuses.count(200) <= limit + limit * took_s / 60 + 1


def test_an_owner_limits_a_token_and_an_admin_anybody(
    hub: HubProcess, hello: str, person: MakePerson
) -> None:
    token = person("owner")
    body = {"model": hello, "prompt": "hi", "max_tokens": 1}
    with _http(hub, token) as http:
        (mine,) = http.get("/api/usage").json()["tokens"]
        assert http.put("/api/tokens/999999/limits", json={}).status_code == 404
        assert http.put(f"/api/tokens/{mine['id']}/limits", json={"requests": 1}).status_code == 400
        assert (
            http.put(f"/api/tokens/{mine['id']}/limits", json={"requests_per_minute": -1}).status_code == 400
        )
        http.put(f"/api/tokens/{mine['id']}/limits", json={"requests_per_minute": 1}).raise_for_status()
        assert [http.post("/v1/completions", json=body).status_code for _ in range(2)] == [200, 429]
        http.put(f"/api/tokens/{mine['id']}/limits", json={}).raise_for_status()
        assert http.post("/v1/completions", json=body).status_code == 200
        said = hub.admin("limit", "owner", "--requests-per-minute", "1", "--tokens-per-day", "none")
        assert said.splitlines() == [
            "requests per minute: 1",
            "tokens per minute: default",
            "tokens per day: none",
        ]
        assert [http.post("/v1/completions", json=body).status_code for _ in range(2)] == [200, 429]
        hub.admin("limit", "owner", "--access-token", "owner-laptop", "--requests-per-minute", "none")
        assert [http.post("/v1/completions", json=body).status_code for _ in range(3)] == [200] * 3


def test_others_see_nothing_and_admins_everything(hub: HubProcess, hello: str, person: MakePerson) -> None:
    asker, admin = person("asker"), person("chief", admin=True)
    with _openai(hub, asker) as client:
        client.completions.create(model=hello, prompt="hi", max_tokens=1)
    with _http(hub, asker) as http, _http(hub, admin) as chief:
        _settled(http, 1)
        assert http.get("/api/usage?all=1").status_code == 403
        assert http.get("/api/usage?account=ada").status_code == 403
        assert httpx.get(f"{hub.url}/api/usage").status_code == 401
        assert http.get("/api/usage?from=yesterday").status_code == 400
        assert http.get("/api/usage?from=2000-01-01").status_code == 400
        everyone = chief.get("/api/usage?all=1").json()
        assert {"asker"} <= {one["account"] for one in everyone["accounts"]}
        assert chief.get("/api/usage?account=asker").json()["totals"]["requests"] == 1
        rows = list(csv.DictReader(io.StringIO(http.get("/api/usage?format=csv").text)))
    assert [(row["account"], row["token"], row["model"], row["requests"]) for row in rows] == [
        ("asker", "asker-laptop", hello, "1")
    ]


def test_the_command(hub: HubProcess, hello: str, person: MakePerson) -> None:
    token = person("typist", tokens_per_day=1000)
    with _openai(hub, token) as client, _http(hub, token) as http:
        client.completions.create(model=hello, prompt="hi", max_tokens=1)
        _settled(http, 1)

    def run(*words: str) -> str:
        command = [
            sys.executable,
            "-m",
            "seedstock",
            "usage",
            "--endpoint",
            hub.url,
            "--token",
            token,
            *words,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert json.loads(run("--json"))["totals"]["requests"] == 1
    shown = run("--by", "model").splitlines()
    assert shown[1].split()[:2] == [hello, "1"]
    assert "of 1,000 tokens per day left" in shown[-1]
    assert run("--csv").startswith("day,account,token_id,token,model,requests")


def _scrape(hub: HubProcess, **headers: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = httpx.get(f"{hub.url}/metrics", headers=headers, trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_are_those_of_all_workers(hub: HubProcess, hello: str, person: MakePerson) -> None:
    token, before = person("measured"), _scrape(hub)
    body = {"model": hello, "messages": MESSAGES, "max_tokens": 9}

    def ask(number: int) -> None:
        with _http(hub, token) as http:
            http.post("/v1/chat/completions", json=body | {"stream": number % 2 == 0}).raise_for_status()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(24)))
    time.sleep(0.2)  # the last stream is counted when its connection has been closed
    chat = (("operation", "chat/completions"),)
    for _ in range(6):  # whichever worker answers
        now = _scrape(hub)

        def grown(name: str, *labels: tuple[str, str]) -> float:
            key = (name, tuple(sorted(labels)))
            return now[key] - before.get(key, 0)  # noqa: B023 - called within the turn

        assert grown("seedstock_generations_total", *chat, ("outcome", "ok")) == 24
        assert grown("seedstock_generation_queue_seconds_count", *chat) == 24
        assert grown("seedstock_generation_first_token_seconds_count", *chat) == 12
        assert grown("seedstock_generation_tokens_per_second_count", *chat) == 12
        assert grown("seedstock_tokens_total", ("kind", "completion")) == 24 * 6
        route = (("method", "POST"), ("route", "/v1/chat/completions"), ("status", "200"))
        assert grown("seedstock_http_requests_total", *route) == 24
        assert now["seedstock_engines_up", ()] == 1
        assert now["seedstock_engine_models", (("state", "ready"),)] >= 1
        assert 0 < now["seedstock_engine_memory_bytes", ()] <= now["seedstock_engine_memory_limit_bytes", ()]


def test_metrics_name_nobody_and_are_not_for_everybody(
    hub: HubProcess, hello: str, person: MakePerson
) -> None:
    token = person("nameless")
    with _http(hub, token) as http:
        http.post(
            "/v1/completions", json={"model": hello, "prompt": "hi", "max_tokens": 1}
        ).raise_for_status()
        http.get("/nameless/secret-repo/tree/main")
    text = httpx.get(f"{hub.url}/metrics", trust_env=False).text
    assert "seedstock_tokens_total" in text
    assert not any(word in text for word in ("nameless", "hello", "ada", "secret-repo"))
    proxied = {"X-Forwarded-For": "203.0.113.9"}
    assert httpx.get(f"{hub.url}/metrics", headers=proxied, trust_env=False).status_code == 401
    with _http(hub, token) as http:
        assert http.get("/metrics", headers=proxied).status_code == 403
    with _http(hub, person("watcher", admin=True)) as http:
        assert http.get("/metrics", headers=proxied).status_code == 200
