"""What a repo's files name as its base: whatever they hold, at most some clean names come out."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.lineage.declared import MAX_DECLARED, Declared, _declared, _models_in
from tests.unit.lineage.conftest import Family

COMMIT = "a" * 40


def declared(family: Family, name: str) -> dict[str, tuple[str, str, str | None]]:
    return {
        edge.name: (edge.tie.edge.declared or "", edge.tie.edge.source or "", edge.commit)
        for edge in family.lineage(name).edges
    }


def test_card_adapter_and_merge_recipe_are_read(family: Family) -> None:
    adapter = json.dumps({"base_model_name_or_path": "org/base", "peft_type": "LORA"}).encode()
    family.publish("ada/adapter", None, files={"adapter_config.json": adapter})
    recipe = (
        b"merge_method: ties\nbase_model: org/root\nmodels:\n- model: org/one@main\n- model: ./local/path\n- 7\n"
        b"slices:\n- sources:\n  - model: org/two\n    layer_range: [0, 3]\n"
    )
    family.publish("ada/merge", None, files={"mergekit_config.yml": recipe})
    family.publish(
        "ada/card", None, "---\nbase_model:\n- org/base\n- https://hub.example/org/other\n- C:\\x\n---\n"
    )
    family.settle()
    assert declared(family, "ada/adapter") == {"org/base": ("adapter", "adapter_config.json", None)}
    assert declared(family, "ada/merge") == dict.fromkeys(
        ("org/one", "org/root", "org/two"), ("merge", "mergekit_config.yml", None)
    )
    assert declared(family, "ada/card") == dict.fromkeys(
        ("org/base", "org/other"), ("merge", "README.md", None)
    )


def test_two_files_that_name_one_base_are_one_declaration(family: Family) -> None:
    adapter = json.dumps({"base_model_name_or_path": "Org/Base"}).encode()
    family.publish("ada/a", None, "---\nbase_model: org/base\n---\n", files={"adapter_config.json": adapter})
    family.settle()
    assert declared(family, "ada/a") == {"org/base": ("adapter", "README.md, adapter_config.json", None)}


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"\xff\xfe", b'{"base_model_name_or_path": 7}', b'{"base_model_name_or_path": "' + b"x/y" * 9000 + b'"}',
     b"[" * 100_000, b'{"base_model_name_or_path": "a\\u0000b/c"}'],
)  # fmt: skip
def test_malformed_configs_declare_nothing(family: Family, content: bytes) -> None:
    family.publish(
        "ada/bad",
        None,
        files={"adapter_config.json": content, "mergekit_config.yml": b"- &a [*a]\n" + content},
    )
    family.settle()
    assert family.lineage("ada/bad").status == "done"
    assert declared(family, "ada/bad") == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/base", "org/base"),
        (" https://hub.example/org/base/tree/main ", "org/base"),
        ("http://hub.example/models/org/base", "org/base"),
        (f"org/base@{COMMIT}", "org/base"),
        ("/home/me/base", None),
        ("../base", None),
        ("gpt2", None),
        ("a/b/c", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_what_counts_as_a_name(text: object, expected: str | None) -> None:
    found = [item.name for item in _declared(text, "finetune", "README.md")]
    assert found == ([expected] if expected else [])


def test_a_pin_is_a_whole_commit() -> None:
    assert list(_declared("o/b", "adapter", "f", COMMIT)) == [Declared("o/b", "adapter", "f", COMMIT)]
    assert list(_declared("o/b", "adapter", "f", "main")) == [Declared("o/b", "adapter", "f")]


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["models", "slices", "sources", "model", "base_model"]), inner)
        ),
    )
)
def test_any_recipe_gives_a_list(value: object) -> None:
    if isinstance(value, dict):
        names = [item for found in _models_in(value) for item in _declared(found, "merge", "f")]
        assert all(item.name.count("/") == 1 for item in names)


def test_there_is_an_end_to_bases(family: Family) -> None:
    names = "".join(f"\n- org/b{number}" for number in range(100))
    family.publish("ada/many", None, f"---\nbase_model:{names}\n---\n")
    family.settle()
    assert len(family.lineage("ada/many").edges) == MAX_DECLARED


def test_a_gguf_names_its_source(family: Family, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_uint32("general.base_model.count", 1)
    writer.add_string("general.base_model.0.repo_url", "https://hub.example/org/base")
    writer.add_string("general.source.repo_url", "https://hub.example/org/float")
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    family.publish("ada/gguf", (tmp_path / "m.gguf").read_bytes(), path="m.gguf")
    family.settle()
    assert declared(family, "ada/gguf") == {
        "org/base": ("finetune", "GGUF header", None),
        "org/float": ("quantized", "GGUF header", None),
    }
