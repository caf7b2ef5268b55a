"""Specs as people write them: what is filled in, and how a wrong one is told where it is wrong."""

from __future__ import annotations

import msgspec
import pytest

from seedstock.adapt.methods import Grpo, Lora, Sft
from seedstock.adapt.spec import (
    is_adapter,
    method_settings,
    published_settings,
    read_spec,
    read_spec_file,
    relation,
)
from seedstock.core.errors import Invalid

SFT = """\
method: sft
base: ada/base@v1
data:
  - ada/poems
  - repo: ada/songs
    columns: {completion: answer}
settings:
  learning_rate: 3e-4
  lora: {r: 8}
publish: ada/poet
"""


def test_a_spec_is_filled_with_what_works() -> None:
    spec = read_spec_file(SFT, "poet.yaml")
    assert spec.base is not None
    assert (spec.base.repo, spec.base.revision) == ("ada/base", "v1")
    assert [item.repo for item in spec.data] == ["ada/poems", "ada/songs"]
    assert spec.data[1].columns == {"completion": "answer"}
    settings = published_settings(spec)
    assert isinstance(settings, Sft)
    assert settings.learning_rate == 3e-4
    assert settings.lora == Lora(r=8)
    assert settings.batch_size == Sft().batch_size
    assert is_adapter(settings)
    assert relation(spec, settings) == "adapter"
    merged = msgspec.structs.replace(spec, publish_as="merged")
    assert relation(merged, published_settings(merged)) == "finetune"


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("  lora: {r: 8}", "  lora: {r: 0}", ":9:13:", ">= 1"),
        ("learning_rate", "lerning_rate", ":8:3:", "did you mean learning_rate"),
        ("method: sft", "method: stf", ":1:9:", "'stf'"),
        ("base: ada/base@v1", "base: nobody", ":2:7:", "namespace/name"),
        ("base: ada/base@v1\n", "", ":1:1:", "needs a base model"),
        ("publish:", "models: ada/other\npublish:", ":10:9:", "only a merge takes models"),
        ("publish:", "teacher: ada/other\npublish:", ":10:10:", "takes no teacher"),
    ],
)
def test_a_fault_names_its_line(old: str, new: str, place: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_spec_file(SFT.replace(old, new), "poet.yaml")
    text = f"{caught.value.message} {caught.value.hint or ''}"
    assert text.startswith("poet.yaml" + place), text
    assert words in text


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "mapping"),
        (
            {"method": "sft", "base": "a/b", "data": "a/c", "settings": {"lora": {"r": "x"}}},
            "$.settings.lora.r",
        ),
        ({"method": "grpo", "base": "a/b", "data": "a/c"}, "rewards"),
        ({"method": "merge"}, "1 to 16 models"),
        ({"method": "pretrain", "data": "a/c", "settings": {"architecture": {}}}, "tokenizer of another"),
        ({"method": "distil", "base": "a/b", "data": "a/c"}, "needs a teacher"),
        ({"method": "sft", "base": "a/b", "data": "a/c", "sampling": {"per_prompt": 2}}, "no sampling"),
    ],
)
def test_a_document_of_the_api_is_told_its_fault(document: object, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        method_settings(read_spec(document))
    assert words in caught.value.message


def test_rewards_are_read() -> None:
    document = {"method": "grpo", "base": "a/b", "data": "a/c", "settings": {"rewards": [{"fn": "exact"}]}}
    settings = method_settings(read_spec(document))
    assert isinstance(settings, Grpo)
    assert settings.rewards[0].fn == "exact"
