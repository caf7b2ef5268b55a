import pytest

from seedstock.core.names import RepoType
from seedstock.metadata.card import parse_card
from seedstock.metadata.tags import FileFacts, derive_tags


def tagging(front="", paths=(), repo_type=RepoType.MODEL, body="", **facts):
    return derive_tags(repo_type, parse_card(f"---\n{front}\n---\n{body}"), FileFacts(paths=paths, **facts))


MODEL = RepoType.MODEL
DATASET = RepoType.DATASET


@pytest.mark.parametrize(
    ("repo_type", "front", "expected"),
    [
        (MODEL, "license: MIT", {"license:mit"}),
        (MODEL, "language: [en, no]", {"en", "no"}),
        (MODEL, "tags: a", {"a"}),
        (MODEL, "library_name: x", {"x"}),
        (MODEL, "pipeline_tag: t", {"t"}),
        (MODEL, "datasets: [d, u/e]", {"dataset:d", "dataset:u/e"}),
        (MODEL, "base_model: b", {"base_model:b", "base_model:finetune:b"}),
        (MODEL, "model-index: [{name: a}]", {"model-index"}),
        (MODEL, "size_categories: 1K", set()),
        (DATASET, "license: mit", {"license:mit"}),
        (DATASET, "language: no", {"language:no"}),
        (DATASET, "tags: [a, 1]", {"a", "1"}),
        (DATASET, "library_name: x\npipeline_tag: t", set()),
        (
            DATASET,
            "task_categories: a\ntask_ids: [b]\nsize_categories: c\nannotations_creators: d\nlanguage_creators: e\n\
multilinguality: f\nsource_datasets: g",
            {"task_categories:a", "task_ids:b", "size_categories:c", "annotations_creators:d",
             "language_creators:e", "multilinguality:f", "source_datasets:g"},
        ),
    ],
)  # fmt: skip
def test_card_fields(repo_type, front, expected):
    assert set(tagging(front, repo_type=repo_type).tags) == expected | {"region:us"}


@pytest.mark.parametrize(
    ("paths", "facts", "expected"),
    [
        (["model.safetensors"], {}, {"safetensors"}),
        (["pytorch_model-00001-of-00002.bin"], {}, {"pytorch"}),
        (["a.GGUF"], {}, {"gguf"}),
        (["onnx/model.onnx"], {}, {"onnx"}),
        (["runs/events.out.tfevents.1"], {}, {"tensorboard"}),
        (["config.json"], {"config": {"model_type": "llama"}}, {"transformers", "llama"}),
        (["model_index.json"], {"diffusers_class": "FluxPipeline"}, {"diffusers", "diffusers:FluxPipeline"}),
        (["adapter_config.json"], {}, {"peft"}),
        (["modules.json"], {"config": {"model_type": "bert"}}, {"sentence-transformers", "bert", "sentence-similarity"}),
        ([], {"config": {"auto_map": {"AutoModel": "m.M"}}}, {"custom_code"}),
        ([], {"has_chat_template": True}, {"conversational"}),
    ],
)  # fmt: skip
def test_files(paths, facts, expected):
    assert set(tagging(paths=paths, **facts).tags) == expected | {"region:us"}


@pytest.mark.parametrize(
    ("front", "paths", "config", "relation"),
    [
        ("base_model: [a, b]", [], {}, "merge"),
        ("base_model: a", ["adapter_config.json"], {}, "adapter"),
        ("base_model: a", ["q.gguf"], {}, "quantized"),
        ("base_model: a", [], {"quantization_config": {"bits": 4}}, "quantized"),
        ("base_model: a", [], {}, "finetune"),
        ("base_model: [a, b]\nbase_model_relation: finetune", ["q.gguf"], {}, "finetune"),
    ],
)
def test_relation_to_the_base(front, paths, config, relation):
    bases = tagging(front, paths, config=config).base_models
    assert bases is not None
    assert bases.relation == relation


def test_fields_and_order():
    result = tagging(
        "license: apache-2.0\nlanguage: en\ntags: [x, en]",
        ["config.json", "model.safetensors"],
        body="See https://arxiv.org/abs/2401.00001v2",
        config={"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
    )
    assert (result.library_name, result.pipeline_tag) == ("transformers", "text-generation")
    assert result.tags == (
        "transformers", "safetensors", "llama", "text-generation", "x", "en", "license:apache-2.0",
        "arxiv:2401.00001", "region:us",
    )  # fmt: skip


def test_dataset_files():
    tags = tagging(paths=["data/a.parquet", "b.jpg"], repo_type=DATASET).tags
    assert tags == ("format:imagefolder", "format:parquet", "modality:image", "library:datasets", "region:us")
