"""Other tools' YAML: what is taken over, and that nothing is dropped without a word."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from seedstock.adapt.methods import Lora
from seedstock.adapt.yaml_lines import read_yaml
from seedstock.core.errors import Invalid, UnsupportedFormat
from seedstock.recipes.foreign import Imported, import_yaml
from seedstock.recipes.pinning import pin
from seedstock.recipes.reading import read_recipe
from seedstock.recipes.recipe import ModelInput, Recipe
from tests.unit.recipes.samples import resolve

SFT = """\
# Model arguments
model_name_or_path: ada/base
model_revision: v2
torch_dtype: bfloat16
attn_implementation: flash_attention_2
chat_template: "{{ messages }}"
dataset_name: ada/rows
dataset_config: all
dataset_num_proc: 12
bf16: true
eval_strategy: 'no'
gradient_accumulation_steps: 8
hub_model_id: Distill
learning_rate: 4.0e-05
lr_scheduler_type: cosine_with_min_lr
lr_scheduler_kwargs:
  min_lr_rate: 0.1
max_grad_norm: 0.2
max_length: 32768
num_train_epochs: 5
per_device_train_batch_size: 2
report_to:
- wandb
seed: 7
use_peft: true
lora_r: 4
warmup_ratio: 0.03
"""
GRPO = """\
model_name_or_path: ada/base
dataset_name: ada/problems
dataset_prompt_column: problem
per_device_train_batch_size: 16
gradient_accumulation_steps: 4
num_generations: 16
max_prompt_length: 512
max_completion_length: 1024
reward_funcs: [accuracy, format, tag_count]
reward_weights: [1.0, 0.5, 0.5]
max_steps: 200
warmup_steps: 10
loss_type: grpo
scale_rewards: false
"""
AXOLOTL = """\
base_model: ada/base
load_in_4bit: true
datasets:
  - path: ada/rows
    type: alpaca
    split: train[:10]
  - path: ada/more
    type: completion
val_set_size: 0.1
adapter: qlora
lora_r: 16
lora_target_linear: true
sequence_len: 2048
sample_packing: true
micro_batch_size: 2
gradient_accumulation_steps: 4
optimizer: adamw_bnb_8bit
learning_rate: 2e-4
warmup_steps: 10
wandb_project: x
"""
TIES = """\
models:
  - model: ada/base
  - model: ada/one
    parameters: {density: 0.5, weight: 0.3}
  - model: ada/two@v1
    parameters: {density: 0.7, weight: 0.7}
merge_method: ties
base_model: ada/base
parameters: {normalize: true, int8_mask: true}
dtype: float16
"""


def taken(text: str, **options: Any) -> tuple[Imported, Recipe]:
    found = import_yaml(text, "x/My File.yaml", **options)
    return found, read_recipe(pin(found.text, resolve))


def told(found: Imported, kind: str) -> list[str]:
    return [note.key for note in found.notes if note.kind == kind]


def test_sft_of_trl() -> None:
    found, recipe = taken(SFT)
    assert (found.form, recipe.name, list(recipe.stage)) == ("trl", "my-file", ["sft"])
    args = recipe.stage["sft"].args
    assert (args["learning_rate"], args["epochs"], args["batch_size"], args["max_grad_norm"]) == (
        4e-5,
        5,
        16,
        0.2,
    )
    assert (args["schedule"], args["warmup"], args["held_out"], args["packing"]) == ("cosine", 0.03, 0, False)
    assert args["lora"] == msgspec.to_builtins(Lora(r=4, alpha=16))
    assert (recipe.determinism.seed, recipe.determinism.dtype, recipe.determinism.device) == (
        7,
        "bfloat16",
        "cuda",
    )
    base = recipe.inputs["base"]
    assert isinstance(base, ModelInput)
    assert base.ref == "ada/base"
    assert 'revision = "v2"' in found.text
    assert told(found, "not mapped") == [
        *(
            "attn_implementation",
            "chat_template",
            "dataset_config",
            "lr_scheduler_type",
            "lr_scheduler_kwargs",
        )
    ]
    assert told(found, "no effect") == ["dataset_num_proc", "hub_model_id", "report_to"]
    assert "not mapped: line 15: lr_scheduler_type: 'cosine_with_min_lr' became 'cosine'" in map(
        str, found.notes
    )


def test_grpo_of_trl_with_trls_defaults_not_ours() -> None:
    found, recipe = taken(GRPO)
    args = recipe.stage["grpo"].args
    assert (args["group"], args["questions"], args["max_new_tokens"], args["max_length"]) == (
        16,
        4,
        1024,
        1536,
    )
    assert (args["beta"], args["eps"], args["learning_rate"]) == (0.0, 0.2, 1e-6)
    assert (args["loss"], args["scale"], args["warmup"]) == ("sequence_mean", "none", 0.05)
    assert args["rewards"] == [
        {"fn": "number", "weight": 1.0, "args": {}},
        {"fn": "format", "weight": 0.5, "args": {}},
    ]
    assert args["rows"] == [{"input": "prompts", "split": "train", "columns": {"prompt": "problem"}}]
    assert told(found, "not mapped") == ["reward_funcs[2]"]


def test_axolotl() -> None:
    found, recipe = taken(AXOLOTL)
    args = recipe.stage["sft"].args
    assert (args["batch_size"], args["micro_batch_size"], args["max_length"], args["held_out"]) == (
        8,
        2,
        2048,
        0.1,
    )
    assert (args["lora"]["r"], args["lora"]["targets"], args["lora"]["quantised"]) == (16, "all-linear", True)
    assert (args["packing"], args["assistant_only_loss"], args["learning_rate"]) == (True, True, 2e-4)
    assert args["rows"] == [{"input": "data", "split": "train", "columns": {}}]
    assert told(found, "not mapped") == [
        "datasets[0].type",
        "datasets[0].split",
        "datasets[1]",
        "optimizer",
        "warmup_steps",
    ]
    assert told(found, "no effect") == ["wandb_project"]


def test_merges_of_mergekit() -> None:
    found, recipe = taken(TIES)
    args = recipe.stage["merge"].args
    assert (args["method"], args["weights"], args["density"]) == ("ties", [0.3, 0.7], [0.5, 0.7])
    assert (args["normalize"], args["dtype"]) == (True, "float16")
    assert recipe.stage["merge"].inputs == {"base": "base", "model_0": "model_0", "model_1": "model_1"}
    assert 'ref = "ada/two", revision = "v1"' in found.text
    assert told(found, "not mapped") == ["parameters.int8_mask"]


def test_a_stack_of_layers_and_a_walk_between_two_models() -> None:
    stack = (
        "slices:\n- sources: [{model: ada/a, layer_range: [0, 24]}]\n"
        "- sources: [{model: ada/b, layer_range: [8, 32]}]\nmerge_method: passthrough\ndtype: bfloat16\n"
    )
    assert taken(stack)[1].stage["merge"].args["layers"] == [[0, 0, 24], [1, 8, 32]]
    walk = (
        "slices:\n- sources: [{model: ada/a, layer_range: [0, 24]}, {model: ada/b, layer_range: [0, 24]}]\n"
        "merge_method: slerp\nbase_model: ada/b\nparameters: {t: 0.3}\ndtype: bfloat16\n"
    )
    _, recipe = taken(walk)
    first = recipe.inputs["model_0"]
    assert isinstance(first, ModelInput)
    assert (first.ref, recipe.stage["merge"].args["weights"]) == ("ada/b", [0.3]), "t counts from the base"


def test_numbers_that_change_over_the_layers_are_told() -> None:
    found = import_yaml(TIES.replace("weight: 0.3", "weight: [0, 0.3, 1]"), "x.yaml")
    assert "models[1].parameters.weight" in told(found, "not mapped")
    assert "weights" not in found.text


def test_paths_of_somebodys_machine_are_no_inputs() -> None:
    found = import_yaml(SFT.replace("ada/rows", "/home/ada/rows"), "x.yaml")
    assert "dataset_name" in told(found, "not mapped")
    assert 'ref = "FILL/IN"' in found.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SFT.replace("4.0e-05", "fast"), r"x.yaml:14:16: learning_rate: expected `float`, got `str`"),
        (GRPO.replace("[1.0, 0.5, 0.5]", "[1.0]"), r"x.yaml:10:17: 1 weights for 3 rewards"),
        (
            GRPO.replace("num_generations: 16", "num_generations: 1"),
            "x.yaml:6:18: num_generations: a group has",
        ),
        (TIES.replace("ties", "breadcrumbs"), "x.yaml:7:15: merge_method: 'breadcrumbs' cannot be done here"),
        (TIES.replace("model: ada/one", "model: 3"), "x.yaml:3:12: models\\[1\\].model: expected `str`"),
        (TIES.replace("{density: 0.5, weight: 0.3}", "[x]"), r"models\[1\].parameters: expected `object`"),
        ("merge_method: passthrough\nslices:\n- {a: 1}\n", r"x.yaml:3:3: slices\[0\].sources is missing"),
        (
            "merge_method: passthrough\nslices:\n- sources: [{model: ada/a}]\n",
            r"sources\[0\].layer_range is missing",
        ),
        ("base_model: ada/a\ndatasets: [{type: x}]\n", r"datasets\[0\].path is missing"),
        ("base_model: ada/a\ndatasets: [{path: a/b, data_files: [1]}]\n", r"data_files\[0\]: expected `str`"),
        ("- 1", "x.yaml:1:1: not a mapping of settings"),
    ],
)
def test_wrong_values_are_told_with_their_line(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        import_yaml(text, "x.yaml")


def test_other_files_are_refused() -> None:
    with pytest.raises(UnsupportedFormat, match="no YAML of trl, Axolotl or mergekit"):
        import_yaml("a: 1", "x.yaml")


@pytest.mark.parametrize("text", [SFT, GRPO, AXOLOTL, TIES])
def test_every_key_that_nothing_knows_is_told(text: str) -> None:
    with_more = text + "no_such_key: 1\nanother: {a: [1]}\n"
    assert {"no_such_key", "another"} <= set(told(import_yaml(with_more, "x.yaml"), "not mapped"))
    known = {note.key.split(".")[0].split("[")[0] for note in import_yaml(text, "x.yaml").notes}
    assert known - {"args", "determinism", "license", "budget"} <= read_yaml(text, "x").value.keys()
