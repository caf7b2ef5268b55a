"""The recipe of a run, written from what ran: every variant that is made here can be made again."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence

import msgspec

from seedstock.recipes.recipe import (
    Budget,
    DatasetInput,
    Determinism,
    Environment,
    Input,
    ModelInput,
    Recipe,
    RecipeStage,
)
from seedstock.variants.execution import StageRun
from seedstock.variants.plan import Plan

_SLACK = 4
"""A replica may run on a slower machine."""
_LEAST_CPU_S = 600
_LEAST_MEMORY_MB = 2048
_NO_LICENCE = "NOASSERTION"


def recipe_of(plan: Plan, target: str) -> Recipe:
    """A recipe whose last stage makes what is published as `target`; the plan's device is decided."""
    inputs: dict[str, Input] = {
        role: (ModelInput if pinned.kind == "model" else DatasetInput)(
            ref=pinned.repo, revision=pinned.commit, digest=pinned.digest
        )
        for role, pinned in plan.inputs.items()
    }
    stages = {
        stage.name: RecipeStage(op=stage.op, inputs=stage.inputs, args=stage.args) for stage in plan.stages
    }
    cuda = plan.device == "cuda"
    return Recipe(
        schema="hub-recipe/1",
        name=_name(target),
        license=_NO_LICENCE,
        env=Environment(python=platform.python_version()),
        budget=Budget(cpu_s=_LEAST_CPU_S, memory_mb=_LEAST_MEMORY_MB),
        determinism=Determinism(
            seed=plan.seed,
            threads=plan.threads,
            dtype="bfloat16" if cuda else "float32",
            device="cuda" if cuda else "cpu",
            deterministic_algorithms=True,
            cublas_workspace=":4096:8" if cuda else None,
            tf32=False if cuda else None,
        ),
        inputs=inputs,
        stage=stages,
    )


def with_budget(recipe: Recipe, runs: Sequence[StageRun]) -> Recipe:
    """The recipe with several times what its stages took."""
    cpu_s = sum(float(run.result.get("process_cpu_seconds", 0)) for run in runs)
    memory_bytes = max((float(run.result.get("peak_memory_bytes", 0)) for run in runs), default=0.0)
    budget = Budget(
        cpu_s=max(_LEAST_CPU_S, int(_SLACK * cpu_s)),
        memory_mb=max(_LEAST_MEMORY_MB, int(2 * memory_bytes) >> 20),
    )
    return msgspec.structs.replace(recipe, budget=budget)


def _name(target: str) -> str:
    name = re.sub(r"[^a-z0-9_-]+", "-", target.partition("/")[2].lower()).strip("-_")
    return name[:64] or "variant"
