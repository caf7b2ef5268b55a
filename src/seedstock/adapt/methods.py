"""The methods and their arguments, with defaults that work on two cores. Light: the server checks forms with it.

A recipe holds every argument, so a default that changes here changes no recipe that was written.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Rate = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=4_000_000_000)]
"""NumPy takes 32 bits, and replications count up from it."""
Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Metric = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,200}\Z")]
"""A name on one line: it is printed and stands in headings."""


class Lora(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Low-rank adaptation (arXiv 2106.09685)."""

    r: Count = 16
    alpha: Count = 32
    dropout: Share = 0.0
    targets: str | list[str] = "all-linear"
    merged: bool = False
    """Whether the output is the whole model with what was learnt added to its weights."""
    quantised: bool = False
    """QLoRA: the base in 4 bits; needs a GPU."""


class Rows(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is read of one input of rows; several are read one after another."""

    input: str = "data"
    """Its role."""
    split: str = "train"
    columns: dict[str, str] = {}
    """Role that the method wants to the column that plays it; empty: by the columns' names."""


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all methods that train share."""

    learning_rate: Rate
    rows: list[Rows] = msgspec.field(default_factory=lambda: [Rows()])
    steps: Size = 0
    """Optimiser steps; 0: as many as `epochs` take."""
    epochs: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] = 1.0
    batch_size: Count = 8
    """Sequences an optimiser step sees, over all accumulation."""
    micro_batch_size: Size = 0
    """Sequences in memory at a time; 0: `batch_size`."""
    max_length: Count = 512
    """Tokens; longer sequences are cut, and counted in a warning."""
    warmup: Share = 0.05
    """Share of the steps."""
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    max_grad_norm: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    lora: Lora | None = None
    """None: all weights are trained."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the arithmetic; auto: bfloat16 where the device has it, else float32."""
    gradient_checkpointing: bool = False
    held_out: Share = 0.05
    """Share of the rows (at most 200) that is kept for `eval_loss`."""
    eval_every: Size = 0
    """Steps; 0: before, after, and ten times in between."""
    save_every: Size = 0
    """Steps between checkpoints; 0: about every two minutes."""
    sample_every: Size = 0
    """Steps between generated samples; 0: four times a run."""
    sample_prompts: list[str] = []
    """What they start from; empty: taken from the held-out rows."""
    patience: Size = 0
    """Evaluations without improvement after which training stops early; 0: never."""


class Sft(Training, frozen=True, kw_only=True):
    """Supervised fine-tuning. Rows: `messages`, or `prompt` and `completion`, or `text`."""

    learning_rate: Rate = 2e-4
    lora: Lora | None = Lora()
    packing: bool = False
    assistant_only_loss: bool = True
    """Learn only what the assistant says (or the completion); ignored for `text`."""


class Pretrain(Training, frozen=True, kw_only=True):
    """Next-token prediction on `text`: continued from a base, or from scratch where `architecture` is given."""

    learning_rate: Rate = 5e-4
    packing: bool = True
    architecture: dict[str, Any] | None = None
    """For a model from scratch: a `config.json` in short; the tokenizer comes from the input `tokenizer`."""


class Dpo(Training, frozen=True, kw_only=True):
    """Direct preference optimisation (arXiv 2305.18290). Rows: `prompt`, `chosen`, `rejected`."""

    learning_rate: Rate = 5e-5
    lora: Lora | None = Lora()
    beta: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    loss: Literal["sigmoid", "ipo", "hinge"] = "sigmoid"


class Reward(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A verifiable reward of the registry; the rewards of a run are added up with their weights."""

    fn: str
    weight: float = 1.0
    args: dict[str, Any] = {}


class Grpo(Training, frozen=True, kw_only=True):
    """Group-relative policy optimisation (arXiv 2402.03300, 2501.12948). Rows: `prompt` and what the rewards look at."""

    learning_rate: Rate = 1e-5
    rewards: Annotated[list[Reward], msgspec.Meta(min_length=1)]
    group: Annotated[int, msgspec.Meta(ge=2)] = 8
    """Completions per question."""
    questions: Count = 4
    """Questions per step; `batch_size` follows from the two."""
    minibatches: Count = 1
    """Optimiser steps per batch of completions."""
    beta: Annotated[float, msgspec.Meta(ge=0)] = 0.001
    eps: Annotated[float, msgspec.Meta(gt=0)] = 0.2
    temperature: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    max_new_tokens: Count = 256
    loss: Literal["token_mean", "sequence_mean", "dr_grpo"] = "token_mean"
    scale: Literal["group_std", "batch_std", "none"] = "group_std"


class Distil(Training, frozen=True, kw_only=True):
    """On-policy distillation (arXiv 2306.13649): the student writes, the teacher (input `teacher`) grades each token."""

    learning_rate: Rate = 1e-4
    lora: Lora | None = Lora()
    beta: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """0: forward KL, 1: reverse KL, between: generalised Jensen-Shannon."""
    on_policy: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    """Share of batches that the student writes; the rest are the rows' own completions."""
    temperature: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    max_new_tokens: Count = 128


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers of a model to prompts, kept where the rewards say so: a dataset. Rows: `prompt` or `messages`."""

    rows: list[Rows] = msgspec.field(default_factory=lambda: [Rows()])
    per_prompt: Count = 4
    temperature: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    max_new_tokens: Count = 256
    batch_size: Count = 64
    rewards: list[Reward] = []
    keep_at_least: float = 1.0
    """Least sum of rewards of an answer that is kept; without rewards all are."""
    keep_per_prompt: Size = 0
    """Most kept answers per prompt; 0: all."""


class Eval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers of a model to the items of a dataset, each scored. Rows: `prompt` or `messages`, and what the rewards look at."""

    metric: Metric
    """What the score is called, such as `pass@1`."""
    rewards: Annotated[list[Reward], msgspec.Meta(min_length=1)]
    n: Count
    """Items, from the first."""
    samples: Count
    """Answers to each item; its score is their mean."""
    temperature: Annotated[float, msgspec.Meta(ge=0)]
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)]
    max_new_tokens: Count
    batch_size: Count = 64
    """Answers written at a time."""
    rows: list[Rows] = msgspec.field(default_factory=lambda: [Rows()])


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number for the tensors whose name contains `filter`: one, or several that are interpolated over the layers."""

    values: Annotated[list[float], msgspec.Meta(min_length=1)]
    filter: str = ""


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number that differs between tensors: the first rule that fits counts. Tensors outside the layers take first values."""

    rules: Annotated[list[Rule], msgspec.Meta(min_length=1)]


class Merge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights put together. Inputs: `base` (where the method has one) and `model_0`, `model_1`, ...; `lora`: `adapter`."""

    method: Literal[
        "linear", "slerp", "ties", "dare_linear", "dare_ties", "task_arithmetic", "passthrough", "lora"
    ]
    weights: list[float | Schedule] = []
    """One per model; empty: equal. For `slerp`: one number, the fraction of the way to the second model."""
    density: list[float | Schedule] = []
    """One per model, `ties` and `dare_*`: share of the changes that is kept; empty: 0.5."""
    normalize: bool | None = None
    """Divide by the sum of the weights; null: as the method is usually meant (`linear` and `ties` do)."""
    rescale: Literal["norm", "density", "none"] = "norm"
    """`dare_*`: what remains is scaled up to the sum of magnitudes there was (mergekit), by 1/density (the paper), or not."""
    scale: float = 1.0
    """Factor of the merged change before it is added to the base; mergekit's `lambda`."""
    layers: list[list[int]] = []
    """`passthrough`: for each slice the model's index, the first layer and one past the last."""
    arithmetic: Literal["float32", "source", "float16", "bfloat16"] = "float32"
    """Every step is rounded to it; `source`: what the inputs are stored as, which loses accuracy (mergekit's default)."""
    dtype: Literal["source", "float32", "float16", "bfloat16"] = "source"
    max_shard_bytes: Count = 5_000_000_000


Floats = Literal["F16", "BF16"]
Quantisation = Literal["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"]
ModelName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$")]


class Gguf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What both ways to a GGUF share. Input: `base`, of safetensors or GGUF files."""

    name: ModelName = "model"
    """What the model is called in the file, and the file with it."""
    file: str | None = None
    """One of the input's weight files; null: the safetensors in its top folder, else its largest GGUF."""
    source: Annotated[str, msgspec.Meta(max_length=300)] | None = None
    """What the file says that it was made from, such as `ada/base@<commit>`."""


class Quantize(Gguf, frozen=True, kw_only=True):
    """A GGUF with fewer bits."""

    to: Quantisation


class Convert(Gguf, frozen=True, kw_only=True):
    """A GGUF of plain floats."""

    to: Floats


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Any Python file of the recipe's repo, in the sandbox. What it makes is trusted less."""

    file: str
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    args: dict[str, Any] = {}


Method = Sft | Pretrain | Dpo | Grpo | Distil | Sample | Merge


METHODS: dict[str, type[msgspec.Struct]] = {
    "sft": Sft,
    "pretrain": Pretrain,
    "dpo": Dpo,
    "grpo": Grpo,
    "distil": Distil,
    "sample": Sample,
    "eval": Eval,
    "merge": Merge,
    "quantize": Quantize,
    "convert": Convert,
    "script": Script,
}
"""The closed set of what a stage may do; `run_stage.OPERATIONS` says by what code."""
GIVES_DATA = frozenset({"sample", "eval"})
"""Operations whose output is a dataset; that of `script` may be either, and of the others is a model."""
