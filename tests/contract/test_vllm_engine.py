"""Safetensors models by vLLM, through the stock clients, held to transformers; where SEEDSTOCK_TEST_VLLM names its Python.

A start takes it a minute of a processor, and it is gigabytes to install: these tests are not part of the usual run.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
import torch
from huggingface_hub import HfApi
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.contract.server import HubProcess
from tests.factories.hf_model import safetensors_bytes
from tests.factories.lora import adapter_config, adapter_weights, merged
from tests.factories.tiny_llama import CHAT, state, write_model

PYTHON = os.environ.get("SEEDSTOCK_TEST_VLLM", "")
pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="SEEDSTOCK_TEST_VLLM names no Python that has vLLM"),
    pytest.mark.xdist_group("vllm"),
]
ASKED: list[Any] = [{"role": "user", "content": "hello there"}]
ONE_HEAD = {"num_attention_heads": 1, "num_key_value_heads": 1}  # vLLM on a processor runs no narrower ones

TOOLS = "{% if tools %}{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}{% endif %}"


def tool(name: str, of: str, values: list[Any]) -> dict[str, Any]:
    properties = {of: {"enum": values}}
    schema = {"type": "object", "properties": properties, "required": [of], "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


WEATHER, CLOCK = tool("weather", "city", ["a", "b"]), tool("clock", "utc", [True, False])
WEATHERS: list[Any] = [("weather", {"city": "a"}), ("weather", {"city": "b"})]


@pytest.fixture(scope="module")
def vllm_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(
        tmp_path_factory.mktemp("vllm") / "data", SEEDSTOCK_VLLM=PYTHON, SEEDSTOCK_ENGINE_THREADS="1"
    )
    hub.people()
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()
    assert not hub.failures()
    assert not vllm_processes(hub)


def publish(hub: HubProcess, folder: Path, name: str) -> str:
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    api.create_repo(f"ada/{name}", exist_ok=True)
    api.upload_folder(repo_id=f"ada/{name}", folder_path=str(folder))
    return f"ada/{name}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny") / "model", **ONE_HEAD)


@pytest.fixture(scope="module")
def tiny(vllm_hub: HubProcess, folder: Path) -> str:
    return publish(vllm_hub, folder, "tiny")


@pytest.fixture
def client(vllm_hub: HubProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{vllm_hub.url}/v1", api_key=vllm_hub.tokens["ada"], max_retries=0, timeout=600
    ) as client:
        yield client


def vllm_processes(hub: HubProcess) -> list[int]:
    """All of vLLM's processes that this hub's models are in, and its wardens, by the groups that they share."""
    groups = {
        os.getpgid(int(process.name))
        for process in Path("/proc").glob("[0-9]*")
        if str(hub.data) in (command := _read(process / "cmdline"))
        and "api_server" in command
        and "vllm_child" not in command
    }
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if (fields := _read(process / "stat").rpartition(")")[2].split())
        and int(fields[2]) in groups
        and fields[0] != "Z"
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def children(hub: HubProcess) -> list[int]:
    """This hub's own processes that vLLM's are started by."""
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if (command := _read(process / "cmdline"))
        and "vllm_child" in command
        and str(hub.data) in command
        and os.getpgid(int(process.name)) != int(process.name)  # a warden leads its group
    ]


def _served(pid: int) -> str:
    """The folder of the model that a child serves."""
    words = _read(Path(f"/proc/{pid}/cmdline")).split("\0")
    return next(word for word in words if word.startswith("--model="))


def wait_gone(pids: list[int]) -> None:
    deadline_s = time.monotonic() + 60
    while any(
        _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[:1] not in ([], ["Z"]) for pid in pids
    ):
        assert time.monotonic() < deadline_s, "processes of vLLM are left"
        time.sleep(0.1)


def test_greedy_text_and_log_probabilities_are_transformers(
    tiny: str, folder: Path, client: openai.OpenAI
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    prompt = tokenizer("hello there", return_tensors="pt")["input_ids"]
    answer = client.completions.create(
        model=tiny, prompt="hello there", temperature=0, max_tokens=1, logprobs=5
    )
    assert answer.model == tiny
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.token_logprobs is not None
    with torch.inference_mode():
        expected = torch.log_softmax(model(prompt).logits[0, -1], -1).max()
    assert told.token_logprobs[0] == pytest.approx(float(expected), abs=1e-3)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == prompt.shape[1]
    chat = client.chat.completions.create(
        model=tiny, messages=ASKED, temperature=0, max_tokens=3, logprobs=True, top_logprobs=2
    )
    assert chat.model == tiny
    assert chat.choices[0].logprobs is not None
    for token in chat.choices[0].logprobs.content or []:
        assert token.logprob == pytest.approx(token.top_logprobs[0].logprob)


def test_a_stream_says_the_same_as_the_whole_and_both_are_counted(tiny: str, vllm_hub: HubProcess) -> None:
    vllm_hub.admin("user", "counted")
    token = vllm_hub.admin("token", "counted", "--role", "read", "--name", "counted")
    asked: dict[str, Any] = {"model": tiny, "messages": ASKED, "temperature": 0, "max_tokens": 12}
    with openai.OpenAI(base_url=f"{vllm_hub.url}/v1", api_key=token, max_retries=0, timeout=600) as client:
        whole = client.chat.completions.create(**asked)
        chunks = list(client.chat.completions.create(**asked, stream=True))
        *_, last = client.chat.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}
        )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert {chunk.model for chunk in chunks} == {tiny}
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert whole.usage is not None
    assert last.usage is not None
    assert last.usage.completion_tokens == whole.usage.completion_tokens
    sums = _used(vllm_hub, token, 3)
    assert sums["prompt_tokens"] == 3 * whole.usage.prompt_tokens
    assert sums["completion_tokens"] == 3 * whole.usage.completion_tokens


def _used(hub: HubProcess, token: str, requests: int) -> dict[str, int]:
    """The sums of one account, once so many requests are in them: they are written every two seconds."""
    deadline_s = time.monotonic() + 60
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=hub.url, headers=headers, trust_env=False) as http:
        while True:
            sums: dict[str, int] = http.get("/api/usage").raise_for_status().json()["totals"]
            if sums["requests"] >= requests:
                return sums
            assert time.monotonic() < deadline_s
            time.sleep(0.1)


def test_settings_reach_it_in_its_words(tiny: str, client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": tiny, "prompt": "ab", "seed": 1, "max_tokens": 8}
    bias = {"logit_bias": {"97": 100, "98": 100}}
    again = [client.completions.create(**asked, **bias).choices[0].text for _ in range(2)]
    assert again[0] == again[1]
    assert set(again[0]) <= {"a", "b"}
    told = client.completions.create(**asked, extra_body={"grammar": 'root ::= "yes"'}).choices[0]
    assert (told.text, told.finish_reason) == ("yes", "stop")
    several = client.completions.create(**asked | {"prompt": ["ab", "b"], "n": 3})
    assert [choice.index for choice in several.choices] == list(range(6))
    long = client.completions.create(**asked | {"max_tokens": 100_000, "logit_bias": {"97": 100}})
    assert long.choices[0].finish_reason == "length"
    schema = {
        "type": "object",
        "properties": {"a": {"enum": [1]}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    chat = client.chat.completions.create(
        model=tiny,
        messages=ASKED,
        response_format=form,
        max_tokens=200,
        logit_bias={"32": -100, "9": -100, "10": -100, "13": -100},
    )
    assert json.loads(str(chat.choices[0].message.content)) == {"a": 1}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"extra_body": {"typical_p": 0.5}}, "typical_p"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, "template"),
        ({"reasoning_effort": "low"}, "vLLM"),
        ({"messages": [{"role": "user", "content": "long " * 300}]}, "context"),
        ({"n": 2, "temperature": 0}, "n must be 1"),
    ],
)
def test_what_it_cannot_do_is_named(
    tiny: str, client: openai.OpenAI, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=says):
        client.chat.completions.create(**{"model": tiny, "messages": ASKED, "max_tokens": 3} | change)


@pytest.fixture(scope="module")
def caller(vllm_hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose template has a place for tools."""
    folder = write_model(
        tmp_path_factory.mktemp("caller") / "model",
        chat=TOOLS + CHAT,
        **ONE_HEAD | {"max_position_embeddings": 2048},
    )
    return publish(vllm_hub, folder, "caller")


@pytest.mark.parametrize("forced", ["required", {"type": "function", "function": {"name": "clock"}}])
def test_a_call_can_be_forced(caller: str, client: openai.OpenAI, forced: Any) -> None:
    asked: Any = {"model": caller, "messages": ASKED, "max_tokens": 200, "tools": [WEATHER, CLOCK]}
    asked["logit_bias"] = {
        "32": -100,
        "9": -100,
        "10": -100,
        "13": -100,
    }  # JSON may have any number of spaces
    for stream in (False, True):
        if stream:
            with client.chat.completions.stream(**asked, tool_choice=forced) as events:
                choice: Any = events.get_final_completion().choices[0]
        else:
            choice = client.chat.completions.create(**asked, tool_choice=forced).choices[0]
        (call,) = choice.message.tool_calls
        told = call.function.name, json.loads(call.function.arguments)
        calls: list[Any] = [("clock", {"utc": True}), ("clock", {"utc": False})]
        assert told in calls if forced != "required" else told in [*calls, *WEATHERS]
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)


def test_tools_are_in_the_prompt_and_not_the_model_s_to_choose(
    caller: str, client: openai.OpenAI, vllm_hub: HubProcess
) -> None:
    asked: Any = {"model": caller, "messages": ASKED, "max_tokens": 200, "tools": [WEATHER]}
    with pytest.raises(openai.BadRequestError, match="'tool_choice' must be 'required'"):
        client.chat.completions.create(**asked)
    asked["max_tokens"] = 2
    silent = client.chat.completions.create(**asked, tool_choice="none")
    told = client.chat.completions.create(**asked, tool_choice="required")
    assert silent.usage is not None
    assert told.usage is not None
    assert silent.choices[0].message.tool_calls is None
    assert told.usage.prompt_tokens > silent.usage.prompt_tokens + len("weather")
    given: Any = {"name": "weather", "input_schema": WEATHER["function"]["parameters"]}
    with anthropic.Anthropic(
        base_url=vllm_hub.url, api_key=vllm_hub.tokens["ada"], max_retries=0, timeout=600
    ) as claude:
        message = claude.messages.create(
            model=caller, messages=ASKED, max_tokens=200, tools=[given], tool_choice={"type": "any"}
        )
    assert [block.type for block in message.content] == ["tool_use"]
    assert message.stop_reason == "tool_use"


def test_messages_responses_and_tokens(tiny: str, vllm_hub: HubProcess, client: openai.OpenAI) -> None:
    said = client.chat.completions.create(model=tiny, messages=ASKED, temperature=0, max_tokens=12)
    text = said.choices[0].message.content
    with anthropic.Anthropic(
        base_url=vllm_hub.url, api_key=vllm_hub.tokens["ada"], max_retries=0, timeout=600
    ) as claude:
        asked: dict[str, Any] = {"model": tiny, "messages": ASKED, "max_tokens": 12}
        asked["extra_body"] = {"temperature": 0}
        message = claude.messages.create(**asked)
        assert [block.text for block in message.content] == [text]
        with claude.messages.stream(**asked) as stream:
            assert stream.get_final_text() == text
    response = client.responses.create(model=tiny, input=ASKED, temperature=0, max_output_tokens=12)
    assert response.output_text == text
    headers = {"Authorization": f"Bearer {vllm_hub.tokens['ada']}"}
    with httpx.Client(base_url=vllm_hub.url, headers=headers, trust_env=False, timeout=600) as http:
        tokens = http.post(
            "/v1/tokenize", json={"model": tiny, "prompt": "hi", "return_token_strs": True}
        ).json()
        assert (tokens["count"], tokens["token_strs"]) == (2, ["h", "i"])
        told = http.post("/v1/detokenize", json={"model": tiny, "tokens": tokens["tokens"]}).json()
        assert told["prompt"] == "hi"
        fit = http.get(f"/v1/models/{tiny}").json()
        assert fit["fits"] is True
        assert fit["slots"] == 32


def test_a_killed_engine_is_an_error_and_the_next_request_works(
    tiny: str, vllm_hub: HubProcess, client: openai.OpenAI
) -> None:
    asked: dict[str, Any] = {"model": tiny, "messages": ASKED, "max_tokens": 400}
    asked["extra_body"] = {"ignore_eos": True}
    stream = client.chat.completions.create(**asked, stream=True)
    before = vllm_processes(vllm_hub)
    assert len(before) >= 3
    with pytest.raises(openai.APIError):
        for number, _ in enumerate(stream):
            if number == 3:
                for pid in children(vllm_hub):
                    os.kill(pid, signal.SIGKILL)
    wait_gone(before)
    assert client.chat.completions.create(**asked | {"max_tokens": 2}).choices


def test_adapters_answer_from_one_base(
    tiny: str, vllm_hub: HubProcess, client: openai.OpenAI, tmp_path: Path
) -> None:
    base, names, expected = state(), [], []
    for seed in (1, 2):
        settings = adapter_config(tiny)
        matrices = adapter_weights(base, settings, seed)
        place = tmp_path / f"adapter{seed}"
        place.mkdir()
        (place / "adapter_config.json").write_text(json.dumps(settings))
        (place / "adapter_model.safetensors").write_bytes(safetensors_bytes(matrices, "F32"))
        names.append(publish(vllm_hub, place, f"adapter{seed}"))
        whole = write_model(tmp_path / f"merged{seed}", **ONE_HEAD)
        (whole / "model.safetensors").write_bytes(safetensors_bytes(merged(base, matrices, settings), "F32"))
        expected.append(_first_logprob(whole))
    vllm_hub.admin("jobs", "--wait")
    asked: dict[str, Any] = {"prompt": "hello there", "temperature": 0, "max_tokens": 1, "logprobs": 2}
    for name, logprob in zip(names, expected, strict=True):
        answer = client.completions.create(model=name, **asked)
        assert answer.model == name
        assert answer.choices[0].logprobs is not None
        assert (answer.choices[0].logprobs.token_logprobs or [])[0] == pytest.approx(logprob, abs=1e-2)
        *_, chunk = client.completions.create(model=name, **asked, stream=True)
        assert chunk.model == name
    served = [_served(pid) for pid in children(vllm_hub)]  # another test's model may be there too
    assert len(set(served)) == len(served)


def _first_logprob(folder: Path) -> float:
    ids = AutoTokenizer.from_pretrained(str(folder))("hello there", return_tensors="pt")["input_ids"]
    model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    with torch.inference_mode():
        return float(torch.log_softmax(model(ids).logits[0, -1], -1).max())


def test_a_named_type_runs_as_gguf(tiny: str, vllm_hub: HubProcess, client: openai.OpenAI) -> None:
    vllm_hub.admin("jobs", "--wait")
    answer = client.completions.create(
        model=f"{tiny}:F16", prompt="ab", max_tokens=2, extra_body={"typical_p": 0.9}
    )
    assert answer.choices


def test_nothing_is_left_of_a_hub_that_is_killed(
    tiny: str, vllm_hub: HubProcess, client: openai.OpenAI
) -> None:
    client.completions.create(model=tiny, prompt="ab", max_tokens=2)
    before = vllm_processes(vllm_hub)
    assert len(before) >= 3
    vllm_hub.kill()
    wait_gone(before)
    vllm_hub.start()
