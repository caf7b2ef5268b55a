import json

import msgspec
import pytest
from tests.factories.tensors import safetensors_bytes, write_llama_gguf

from seedstock.core.errors import CorruptBlock, StoreUnreachable
from seedstock.core.names import RepoType
from seedstock.metadata.source import BytesReader, FileEntry
from seedstock.metadata.summary import RepoMetadata, summarise

TENSORS = safetensors_bytes({"a": ("BF16", (2, 3))})
OTHER = safetensors_bytes({"b": ("F32", (5,))})


def summary_of(contents: dict[str, bytes], repo_type: RepoType = RepoType.MODEL) -> RepoMetadata:
    files = [FileEntry(path, len(content)) for path, content in contents.items()]
    return summarise(files, lambda path: BytesReader(contents[path]), repo_type=repo_type)


def test_a_transformers_model():
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 2048}
    result = summary_of(
        {
            "README.md": b"---\nlicense: mit\nlanguage: [en, no]\nbase_model: a/b\nmodel-index: [{name: m}]\n---\nhi",
            "config.json": json.dumps(config).encode(),
            "tokenizer_config.json": b'{"bos_token":"<s>","chat_template":"T","added_tokens_decoder":{"0":{}}}',
            "model.safetensors": TENSORS,
        }
    )
    assert (result.licenses, result.languages, result.problems) == (("mit",), ("en", "no"), ())
    assert result.config == {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "tokenizer_config": {"bos_token": "<s>", "chat_template": "T"},
    }
    assert result.safetensors is not None
    assert (result.safetensors.parameters, result.safetensors.total) == ({"BF16": 6}, 6)
    assert result.context_length == 2048
    assert {"conversational", "base_model:finetune:a/b", "model-index"} <= set(result.tags)
    assert result.panels[0].tensor_count == 1
    assert msgspec.json.decode(msgspec.json.encode(result), type=RepoMetadata) == result


def test_sharded_model_sums_what_the_index_names():
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    contents = {
        "model.safetensors.index.json": json.dumps(index).encode(),
        "model-1.safetensors": TENSORS,
        "model-2.safetensors": OTHER,
        "consolidated.safetensors": TENSORS,
    }
    result = summary_of(contents)
    assert result.safetensors is not None
    assert (result.safetensors.parameters, result.safetensors.total) == ({"BF16": 6, "F32": 5}, 11)
    del contents["model-2.safetensors"]
    partial = summary_of(contents)
    assert partial.safetensors is None
    assert "1 shards" in partial.problems[0].message


def test_gguf_fields(tmp_path):
    content = write_llama_gguf(tmp_path / "tiny.gguf").read_bytes()
    result = summary_of({"tiny-F16.gguf": content})
    assert result.gguf is not None
    assert (result.gguf.architecture, result.gguf.context_length, result.gguf.quantisation) == (
        "llama",
        128,
        "F16",
    )
    assert (result.gguf.bos_token, result.gguf.eos_token, result.gguf.block_count) == ("<s>", "</s>", 1)
    assert result.pipeline_tag == "text-generation"
    assert {"gguf", "conversational"} <= set(result.tags)


def test_bad_files_are_problems_not_failures():
    result = summary_of(
        {
            "README.md": b"---\na: [\n---\n",
            "config.json": b"[1]",
            "tokenizer_config.json": b"{",
            "model.safetensors": b"junk",
            "x.gguf": b"junk",
        }
    )
    assert sorted(problem.path for problem in result.problems) == [
        "README.md", "config.json", "model.safetensors", "tokenizer_config.json", "x.gguf",
    ]  # fmt: skip
    assert result.card_data == {}


def test_corrupt_bytes_are_a_problem_and_a_silent_store_an_error():
    files = [FileEntry("model.safetensors", 100)]

    def corrupt(path):
        raise CorruptBlock(f"block 0 of {path}")

    def silent(path):
        raise StoreUnreachable("no answer")

    assert "block 0" in summarise(files, corrupt).problems[0].message
    with pytest.raises(StoreUnreachable):
        summarise(files, silent)


def test_dataset_reads_only_its_card():
    result = summary_of({"README.md": b"---\nlicense: mit\n---\n", "a.csv": b"x"}, RepoType.DATASET)
    assert result.tags == ("license:mit", "format:csv", "library:datasets", "region:us")
