"""A recipe: how a model is made, with every input pinned and every argument written out (docs/formats/recipe.md)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from seedstock.adapt.methods import Count, Metric, Seed
from seedstock.adapt.rewards.registry import admins_rewards

SCHEMA = "hub-recipe/1"
MAX_STAGES = 256
REWARD_FILES = "rewards"
"""Role of an input that holds reward functions as Python files."""

Commit = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}$")]
ContentDigest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
RepoRef = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,96}/[A-Za-z0-9._-]{1,96}$")]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Line = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
FilePath = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
Positive = Annotated[float, msgspec.Meta(gt=0)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Defaults are left out when it is written, so that a key that is added later changes no digest."""


class Environment(_Part, frozen=True, kw_only=True):
    """What the stages run in; a lock file is named with its SHA-256."""

    python: Line
    lock: Line | None = None
    sha256: Sha256 | None = None


class Verifier(_Part, frozen=True, kw_only=True):
    """What checks answers: a version of the registry's, or a file of the recipe's repo."""

    name: Line | None = None
    version: Count | None = None
    file: Line | None = None
    sha256: Sha256 | None = None


class Budget(_Part, frozen=True, kw_only=True):
    """What a run may use; beyond it, it has failed."""

    cpu_s: Count
    memory_mb: Count


class Determinism(_Part, frozen=True, kw_only=True):
    """What must be equal for outputs to be equal on one platform class."""

    seed: Seed
    threads: Count
    dtype: Literal["float32", "bfloat16"]
    """Of the arithmetic; a stage's own `dtype = "auto"` means this."""
    device: Literal["cpu", "cuda"]
    deterministic_algorithms: bool
    cublas_workspace: Line | None = None
    tf32: bool | None = None


class RepoInput(_Part, frozen=True, kw_only=True):
    """Content of a repo at a commit; `digest` is that of its content (`outputs.content_digest`)."""

    ref: RepoRef
    revision: Commit
    digest: ContentDigest


class ModelInput(RepoInput, frozen=True, kw_only=True, tag_field="kind", tag="model"):
    """A model, an adapter or a tokenizer."""

    files: list[FilePath] = []
    """Only these, and `digest` is then theirs; empty: what is trained on or merged, and the digest is of all content."""


class DatasetInput(RepoInput, frozen=True, kw_only=True, tag_field="kind", tag="dataset"):
    """Rows of a dataset repo."""

    files: list[FilePath] = []
    """Only these, or those of these patterns; empty: all. What is read of them is said where it is read: `Rows` of a stage, `Evaluation`."""


class FileInput(_Part, frozen=True, kw_only=True, tag_field="kind", tag="file"):
    """A file or folder beside the recipe, in its repo."""

    file: Line
    digest: ContentDigest
    holds: Literal["model", "dataset"] = "dataset"


class GeneratorInput(_Part, frozen=True, kw_only=True, tag_field="kind", tag="generator"):
    """A dataset that a Python file of the recipe's repo writes; runs in the sandbox, as `script` does."""

    file: Line
    sha256: Sha256
    args: dict[str, Any]
    digest: ContentDigest
    """Of what it writes."""


Input = ModelInput | DatasetInput | FileInput | GeneratorInput


class RecipeStage(_Part, frozen=True, kw_only=True):
    """One operation; `inputs` are role to the name of an input or of a stage."""

    op: str
    inputs: dict[Name, str]
    args: dict[str, Any]
    seed: Seed | None = None
    """Instead of the recipe's."""
    publish: RepoRef | None = None
    """Where its output is a repo of its own."""


class Evaluation(_Part, frozen=True, kw_only=True):
    """How a claim is measured: by the hub, for the original and the replica alike."""

    data: str
    """Name of an input."""
    fn: Line
    """What scores an answer: a reward of the registry."""
    n: Count
    samples: Count
    temperature: Annotated[float, msgspec.Meta(ge=0)]
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)]
    max_new_tokens: Count
    seed: Seed
    fn_args: dict[str, Any] = {}
    split: Line = "train"
    columns: dict[str, str] = {}
    """As in `adapt.methods.Rows`."""


class Claim(_Part, frozen=True, kw_only=True):
    """What the author says that the model does."""

    stage: str
    metric: Metric
    eval: Evaluation
    value: Annotated[float, msgspec.Meta(ge=0, le=1)]
    """A share: the mean score of the items."""
    seeds: Count
    margin: Positive
    """Difference from `value` that is still the same result; what counts is decided by `verdict.allowed_margin`."""
    seed_sd: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Standard deviation of the metric over the author's seeds."""


class Recipe(_Part, frozen=True, kw_only=True):
    """A recipe that was read and checked (`reading.read_recipe`)."""

    schema: Literal["hub-recipe/1"]
    name: Name
    license: Line
    """SPDX, of the recipe and its code."""
    env: Environment
    budget: Budget
    determinism: Determinism
    inputs: dict[Name, Input] = {}
    stage: Annotated[dict[Name, RecipeStage], msgspec.Meta(min_length=1, max_length=MAX_STAGES)]
    claim: list[Claim] = []
    verifier: Verifier | None = None

    @property
    def foreign_code(self) -> tuple[str, ...]:
        """Stages and inputs that run code of the recipe's author: they lower what a run of it proves."""
        stages = (
            f"stage {name}"
            for name, stage in self.stage.items()
            if stage.op == "script" or REWARD_FILES in stage.inputs
        )
        inputs = (f"input {name}" for name, item in self.inputs.items() if isinstance(item, GeneratorInput))
        rewards = (
            f"stage {name} {reason}"
            for name, stage in self.stage.items()
            for reason in admins_rewards(stage.args)
        )
        verifier = ("verifier",) if self.verifier is not None and self.verifier.file else ()
        return (*stages, *inputs, *rewards, *verifier)

    def seed_of(self, stage: str) -> int:
        """The seed that a stage runs with."""
        own = self.stage[stage].seed
        return self.determinism.seed if own is None else own
