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
            ref=pinned.repo,
            revision=pinned.commit,
            digest=pinned.digest,
            files=sorted(pinned.files) if pinned.named else [],
        )
        for role, pinned in plan.inputs.items()
    }
    stages = {
        stage.name: RecipeStage(op=stage.op, inputs=stage.inputs, args=stage.args) for stage in plan.stages
    }
    cuda = plan.device == "cuda"
    how = Determinism(
        seed=plan.seed,
        threads=plan.threads,
        dtype="bfloat16" if cuda else "float32",
        device="cuda" if cuda else "cpu",
        deterministic_algorithms=True,
        cublas_workspace=":4096:8" if cuda else None,
        tf32=False if cuda else None,
    )
    return msgspec.structs.replace(bare_recipe(target), determinism=how, inputs=inputs, stage=stages)


def bare_recipe(target: str) -> Recipe:
    """A recipe of what is published as `target`, without a stage yet, for one processor core."""
    return Recipe(
        schema="hub-recipe/1",
        name=name_of(target),
        license=_NO_LICENCE,
        env=Environment(python=platform.python_version()),
        budget=Budget(cpu_s=_LEAST_CPU_S, memory_mb=_LEAST_MEMORY_MB),
        determinism=Determinism(
            seed=0, threads=1, dtype="float32", device="cpu", deterministic_algorithms=True
        ),
        stage={},
    )


def with_budget(recipe: Recipe, runs: Sequence[StageRun]) -> Recipe:
    """The recipe with several times what its stages took."""
    cpu_s = sum(float(run.result.get("process_cpu_seconds", 0)) for run in runs)
    memory_bytes = max((float(run.result.get("peak_memory_bytes", 0)) for run in runs), default=0.0)
    return msgspec.structs.replace(recipe, budget=allow(recipe.budget, cpu_s, memory_bytes))


def allow(budget: Budget, cpu_s: float, memory_bytes: float) -> Budget:
    """The budget, or more where several times what was used is more."""
    return msgspec.structs.replace(
        budget,
        cpu_s=max(budget.cpu_s, int(_SLACK * cpu_s)),
        memory_mb=max(budget.memory_mb, int(2 * memory_bytes) >> 20),
    )


def name_of(repo: str) -> str:
    """A name in a recipe for a repo, or for a file without its ending."""
    name = re.sub(r"[^a-z0-9_-]+", "-", repo.rpartition("/")[2].lower()).strip("-_")
    return name[:64] or "variant"
