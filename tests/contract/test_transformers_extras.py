"""What the stock clients ask of models that run with transformers beyond text: schemas, grammars, tools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pydantic
import pytest
from huggingface_hub import HfApi

from tests.contract.models import CALL
from tests.contract.server import HubProcess
from tests.factories.gguf_model import TOOLS
from tests.factories.tiny_transformers import write_gpt2

ASK: Any = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 200}


@pytest.fixture(scope="module")
def caller(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Says `sure`, and calls the tool `weather` for the city `a`; whatever else it has to say is chance."""
    folder = write_gpt2(tmp_path_factory.mktemp("caller"), chat=TOOLS, positions=2048, script=CALL)
    api = HfApi(endpoint=hub.url, token=hub.tokens["ada"])
    api.create_repo("ada/gpt2-caller")
    api.upload_folder(repo_id="ada/gpt2-caller", folder_path=str(folder))
    return "ada/gpt2-caller"


@pytest.fixture
def client(hub: HubProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{hub.url}/v1", api_key=hub.tokens["ada"], max_retries=0) as client:
        yield client


class Animal(pydantic.BaseModel):
    kind: Literal["cat", "dog"]
    legs: Literal[2, 4]
    good: bool


def test_answers_keep_to_a_schema(caller: str, client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model=caller, response_format=Animal, **ASK, n=3).choices
    assert [choice.finish_reason for choice in parsed] == ["stop"] * 3
    assert all(choice.message.parsed for choice in parsed)
    asked = ASK | {"max_tokens": 400, "temperature": 0, "n": 2}
    greedy = client.chat.completions.parse(model=caller, response_format=Animal, **asked)
    assert greedy.choices[0].message.parsed == greedy.choices[1].message.parsed
    schema: Any = {
        "type": "json_schema",
        "json_schema": {
            "name": "animal",
            "schema": Animal.model_json_schema() | {"additionalProperties": False},
        },
    }
    chunks = client.chat.completions.create(
        model=caller, response_format=schema, **ASK, seed=3, stream=True, logprobs=True
    )
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert Animal.model_validate_json(said)
    whole = client.chat.completions.create(model=caller, response_format=schema, **ASK, seed=3).choices[0]
    assert whole.message.content == said


def test_any_object_and_any_grammar(caller: str, client: openai.OpenAI) -> None:
    closing = {"125": 90}  # the brace
    some = client.chat.completions.create(
        model=caller, response_format={"type": "json_object"}, logit_bias=closing, **ASK
    )
    assert json.loads(some.choices[0].message.content or "") == {}
    grammar = 'root ::= word (", " word){2}\nword ::= "yes" | [a-c]+ "!"'
    for asked in (ASK, ASK | {"temperature": 0}):
        held = client.chat.completions.create(model=caller, **asked, extra_body={"grammar": grammar})
        words = str(held.choices[0].message.content).split(", ")
        assert len(words) == 3, words
        assert all(word == "yes" or set(word[:-1]) <= set("abc") for word in words)
    text = client.completions.create(
        model=caller, prompt=["a", "b"], extra_body={"grammar": 'root ::= "x"{4}'}, max_tokens=9
    )
    assert [choice.text for choice in text.choices] == ["xxxx", "xxxx"]


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"$ref": "#"}, "NoExtension"),
        ({"not": {}}, "not"),
        (
            {"allOf": [{"anyOf": [{"required": [f"{n}{side}"]} for side in "ab"]} for n in range(60)]},
            "too large",
        ),
        ({"enum": ["x" * 1000] * 100}, "longer than"),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "does not fetch"),
        ({"type": "object", "properties": {f"p{n}": {} for n in range(1500)}}, "items"),
        ({"type": "string", "pattern": "(?=a)(a+)+"}, "regex"),
    ],
)
def test_schemas_that_cannot_be_followed_are_refused(
    caller: str, client: openai.OpenAI, schema: dict[str, Any], says: str
) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    with pytest.raises(openai.BadRequestError, match=says):
        client.chat.completions.create(model=caller, response_format=wanted, **ASK)
