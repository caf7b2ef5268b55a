"""Models that only transformers runs, through the stock openai client, held to transformers itself."""

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
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from tests.contract.server import HubProcess
from tests.factories.tiny_transformers import write_bert, write_gpt2

ASKED: list[Any] = [{"role": "user", "content": "hello there"}]
THINKING = "{% for m in messages %}{{ m.content }}{% endfor %}<think>"


def published(hub: HubProcess, folder: Path, name: str) -> str:
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    api.create_repo(f"ada/{name}", exist_ok=True)
    api.upload_folder(repo_id=f"ada/{name}", folder_path=str(folder))
    return f"ada/{name}"


@pytest.fixture(scope="module")
def gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gpt2(tmp_path_factory.mktemp("gpt2") / "model")


@pytest.fixture(scope="module")
def gpt2(hub: HubProcess, gpt2_folder: Path) -> str:
    return published(hub, gpt2_folder, "small-gpt2")


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert") / "model")


@pytest.fixture
def client(hub: HubProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.tokens["ada"], max_retries=0) as client:
        yield client


def test_greedy_chat_is_what_transformers_writes(gpt2: str, gpt2_folder: Path, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=gpt2, messages=ASKED, temperature=0, max_tokens=12)
    tokenizer = AutoTokenizer.from_pretrained(str(gpt2_folder))
    text = tokenizer.apply_chat_template(ASKED, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    model: Any = AutoModelForCausalLM.from_pretrained(str(gpt2_folder))
    written = model.generate(**ids, do_sample=False, max_new_tokens=12)[0, ids["input_ids"].shape[1] :]
    # Bytes that make no character yet are not told; these weights write many.
    expected = tokenizer.decode(written, skip_special_tokens=True)
    assert expected.startswith(str(answer.choices[0].message.content))
    assert len(expected) - len(str(answer.choices[0].message.content)) < 4
    assert answer.model == gpt2
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == ids["input_ids"].shape[1]
    assert answer.usage.completion_tokens == len(written)
    assert answer.choices[0].finish_reason == ("stop" if int(written[-1]) == 264 else "length")


def test_a_stream_says_the_same_as_the_whole(gpt2: str, client: openai.OpenAI) -> None:
    more: dict[str, Any] = {"model": gpt2, "messages": ASKED, "seed": 7, "max_tokens": 30, "n": 3}
    whole = client.chat.completions.create(**more)
    texts = ["", "", ""]
    ends = {}
    usage = None
    for chunk in client.chat.completions.create(**more, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            ends[choice.index] = choice.finish_reason or ends.get(choice.index)
    assert texts == [choice.message.content for choice in whole.choices]
    assert [ends[at] for at in range(3)] == [choice.finish_reason for choice in whole.choices]
    assert len(set(texts)) == 3
    assert usage is not None
    assert usage == whole.usage
    other = client.chat.completions.create(**more | {"seed": 8})
    assert [choice.message.content for choice in other.choices] != texts


def test_stops_biases_and_log_probabilities(gpt2: str, gpt2_folder: Path, client: openai.OpenAI) -> None:
    letters = [
        ids[0] for ids in AutoTokenizer.from_pretrained(str(gpt2_folder))(list("abcdefgh"))["input_ids"]
    ]
    bias = {str(token): 60 for token in letters}
    base: dict[str, Any] = {"model": gpt2, "prompt": "ab", "seed": 1, "max_tokens": 8, "logit_bias": bias}
    text = client.completions.create(**base).choices[0].text
    assert len(text) == 8
    assert set(text) <= set("abcdefgh")
    assert len(set(text)) > 2
    cut = client.completions.create(**base, stop=[text[2:4]]).choices[0]
    assert (cut.text, cut.finish_reason) == (text[: text.index(text[2:4])], "stop")
    told = client.completions.create(**base, logprobs=2).choices[0].logprobs
    assert told is not None
    assert "".join(told.tokens or []) == text
    assert told.token_logprobs is not None
    for own, others in zip(told.token_logprobs, told.top_logprobs or [], strict=True):
        assert own <= max(others.values()) <= 0
        assert 1 <= len(others) <= 2  # two tokens may be written alike
    several = client.completions.create(**base | {"prompt": ["ab", "b"]})
    assert [choice.index for choice in several.choices] == [0, 1]
    assert several.choices[0].text == text
    same = client.completions.create(
        **base | {"temperature": 0, "presence_penalty": 2, "frequency_penalty": 2}
    )
    assert len(set(same.choices[0].text)) > 2


def test_thoughts_are_told_apart(hub: HubProcess, tmp_path: Path, client: openai.OpenAI) -> None:
    thinker = published(hub, write_gpt2(tmp_path / "thinker", chat=THINKING), "gpt2-thinker")
    answer = client.chat.completions.create(model=thinker, messages=ASKED, max_tokens=5, temperature=0)
    message = answer.choices[0].message
    assert message.content == ""
    assert message.model_extra is not None
    assert message.model_extra["reasoning_content"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"extra_body": {"grammar": 'root ::= "a"', "ignore_eos": True}}, "ignore_eos"),
        (
            {"extra_body": {"grammar": 'root ::= "a"'}, "response_format": {"type": "json_object"}},
            "'response_format'",
        ),
        ({"n": 9}, "'n'"),
        ({"messages": [{"role": "user", "content": "long " * 300}]}, "context"),
        ({"extra_body": {"chat_template_kwargs": {"tokenize": True}}}, "tokenize"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, "tools"),
    ],
)
def test_what_it_cannot_do_is_named(
    gpt2: str, client: openai.OpenAI, change: dict[str, Any], says: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=says):
        client.chat.completions.create(**{"model": gpt2, "messages": ASKED, "max_tokens": 3} | change)


def test_messages_of_anthropic_s_client(gpt2: str, hub: HubProcess, client: openai.OpenAI) -> None:
    said = client.chat.completions.create(model=gpt2, messages=ASKED, temperature=0, max_tokens=12)
    asked: dict[str, Any] = {
        "model": gpt2,
        "messages": ASKED,
        "extra_body": {"temperature": 0},
        "max_tokens": 12,
    }
    with anthropic.Anthropic(base_url=hub.url, api_key=hub.tokens["ada"], max_retries=0) as claude:
        message = claude.messages.create(**asked)
        assert [block.text for block in message.content] == [said.choices[0].message.content]
        assert (message.model, message.stop_reason) == (gpt2, "max_tokens")
        assert said.usage is not None
        assert message.usage.input_tokens == said.usage.prompt_tokens
        assert message.usage.output_tokens == said.usage.completion_tokens
        with claude.messages.stream(**asked) as stream:
            assert stream.get_final_text() == said.choices[0].message.content
            final = stream.get_final_message()
        assert final.usage.output_tokens == said.usage.completion_tokens
        assert final.model == gpt2
        assert "upstream_model" not in (final.model_extra or {})
        with pytest.raises(anthropic.BadRequestError, match="tools"):
            claude.messages.create(**asked, tools=[{"name": "f", "input_schema": {"type": "object"}}])
        with pytest.raises(anthropic.BadRequestError, match="tokenize"):
            claude.messages.count_tokens(model=gpt2, messages=ASKED)


def test_embeddings_are_what_the_model_pools(
    hub: HubProcess, bert_folder: Path, client: openai.OpenAI
) -> None:
    bert = published(hub, bert_folder, "small-bert")
    texts = ["one", "a longer text", "one"] * 4
    answer = client.embeddings.create(model=bert, input=texts)
    tokenizer = AutoTokenizer.from_pretrained(str(bert_folder))
    model: Any = AutoModel.from_pretrained(str(bert_folder)).eval()
    for text, one in zip(texts, answer.data, strict=True):
        with torch.inference_mode():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
        expected = torch.nn.functional.normalize(hidden, dim=0).tolist()
        assert one.embedding == pytest.approx(expected, abs=1e-4)
    with pytest.raises(openai.BadRequestError, match="no text"):
        client.chat.completions.create(model=bert, messages=ASKED)
    with pytest.raises(openai.BadRequestError, match="too large"):
        client.embeddings.create(model=bert, input="a" * 100)


def test_who_hangs_up_frees_the_model(gpt2: str, client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {
        "model": gpt2,
        "messages": ASKED,
        "max_tokens": 200,
        "extra_body": {"ignore_eos": True},
    }
    for _ in range(10):
        stream = client.chat.completions.create(**asked, stream=True)
        next(iter(stream))
        stream.close()
    began_s = time.monotonic()
    assert client.chat.completions.create(**asked | {"max_tokens": 1}).choices
    assert time.monotonic() - began_s < 10


def test_a_killed_engine_is_an_error_and_the_next_request_works(
    hub: HubProcess, client: openai.OpenAI, tmp_path: Path
) -> None:
    # Long enough that it is still being written when the test has read its beginning, on a loaded machine too.
    endless = published(hub, write_gpt2(tmp_path / "endless", positions=4096), "endless-gpt2")
    asked: dict[str, Any] = {
        "model": endless,
        "messages": ASKED,
        "max_tokens": 4000,
        "extra_body": {"ignore_eos": True},
    }
    # More than connections hold, so that the engine is still at it, however slowly this reads.
    large: dict[str, Any] = {"n": 4, "logprobs": True, "top_logprobs": 20}
    stream = client.chat.completions.create(**asked, **large, stream=True)
    killed: list[int] = []
    with pytest.raises(openai.APIError):
        for number, _ in enumerate(stream):
            if number == 3:
                killed = _engines_of(hub)
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)
    # The supervisor has waited for it, and so knows: a request that comes before is tried again once only.
    deadline_s = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in killed):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert client.chat.completions.create(**asked | {"max_tokens": 2}).choices


def _engines_of(hub: HubProcess) -> list[int]:
    """The engine children of this hub that run transformers."""
    found = [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if "transformers_child" in _command(process) and str(hub.data) in _command(process)
    ]
    assert found
    return found


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def test_unknown_and_foreign_code_models_are_refused_by_name(
    hub: HubProcess, gpt2_folder: Path, tmp_path: Path, client: openai.OpenAI
) -> None:
    for name, change, says in [
        ("strange", {"model_type": "strange-net"}, "strange-net"),
        ("foreign", {"auto_map": {"AutoModelForCausalLM": "code.Model"}}, "no GGUF"),
    ]:
        folder = tmp_path / name
        folder.mkdir()
        for path in gpt2_folder.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | change))
        (folder / "code.py").write_text("raise SystemExit(1)")
        model = published(hub, folder, name)
        with pytest.raises(openai.APIStatusError, match=says) as refused:
            client.chat.completions.create(model=model, messages=ASKED, max_tokens=2)
        assert refused.value.status_code < 500


def test_the_page_and_the_api_say_whether_it_fits(gpt2: str, hub: HubProcess, http: httpx.Client) -> None:
    hub.admin("jobs", "--wait")  # which count the parameters
    told = http.get(f"/v1/models/{gpt2}").json()
    assert told["fits"] is True
    assert told["context_length"] == 256
    assert 150_000 < told["memory_bytes"]["weights"] < 200_000
    assert "Chat" in http.get(f"/{gpt2}", headers={"accept": "text/html"}).text
