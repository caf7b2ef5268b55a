"""Recipes for tests: a short one as people write it, and the same pinned."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from seedstock.recipes.pinning import Kind, Pinned, pin

SHORT = """\
# How tiny is made.
schema = "hub-recipe/1"
name = "tiny"
license = "Apache-2.0"                       # of the recipe
env = { python = "3.11", lock = "requirements.lock" }
budget = { cpu_s = 900, memory_mb = 2048 }

[determinism]
seed = 0
threads = 1
dtype = "float32"
device = "cpu"
deterministic_algorithms = true

[inputs]
base = { kind = "model", ref = "ada/base", revision = "main" }   # the foundation
small = { kind = "model", ref = "ada/small" }
prompts = { kind = "file", file = "prompts.jsonl" }

[inputs.cold]
kind = "dataset"
ref = "ada/cold"
revision = "v1"  # a tag
  [inputs.test]
  kind = "dataset"
  ref = "ada/test"
  revision = "main"

[stage.sft]
op = "sft"
inputs = { base = "base", data = "cold" }
args = { learning_rate = 5e-4, steps = 80, batch_size = 64, lora = "none" }

[stage.grpo]
op = "grpo"
inputs = { base = "sft", prompts = "prompts" }
[stage.grpo.args]
learning_rate = 2e-4     # chosen on dev
rewards = [{ fn = "countdown" }]
group = 16
steps = 200

[stage.traces]
op = "sample"
inputs = { base = "grpo", prompts = "prompts" }
args.per_prompt = 4
args.rewards = [{ fn = "countdown", weight = 1.0, args = {} }]

[stage.student]
op = "sft"
inputs = { base = "small", data = "traces" }
args = {}
publish = "ada/tiny-distil"

[[claim]]
stage = "student"
metric = "pass@1"
value = 0.30
seeds = 3
seed_sd = 0.02
margin = 0.05
[claim.eval]
data = "test"
fn = "countdown"
n = 313
samples = 8
temperature = 1.0
top_p = 1.0
max_new_tokens = 48
seed = 0
"""


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def commit(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


def resolve(kind: Kind, reference: str, revision: str | None, _files: Sequence[str] = ()) -> Pinned:
    """Everything exists; what it is follows from its name."""
    is_repo = kind in {"model", "dataset"}
    return Pinned(digest(f"{kind} {reference}"), commit(f"{reference}@{revision}") if is_repo else None)


def pinned(short: str = SHORT) -> str:
    return pin(short, resolve)
