"""What proves and repeats a run: the recipe and the signed record that are published beside the weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from seedstock.adapt.methods import GIVES_DATA
from seedstock.openness.hub_records import HubRecords
from seedstock.recipes.graph import stage_digests
from seedstock.recipes.outputs import describe_output
from seedstock.recipes.reading import recipe_digest
from seedstock.recipes.recipe import Recipe
from seedstock.recipes.record import ChainLink, InputFact, RunRecord, StageFact, sign_run
from seedstock.recipes.trust import Runner
from seedstock.recipes.writing import render_recipe
from seedstock.variants.execution import StageRun
from seedstock.variants.recipe import with_budget
from seedstock.variants.result import Making


class RunRecords:
    """Writes recipes and records of what this hub's workers did."""

    def __init__(self, signing: HubRecords) -> None:
        self._signing = signing

    def write(self, making: Making, published: Path) -> tuple[bytes, bytes]:
        """`recipe.toml`, which makes the same again, and the record of the run, about the files that are published."""
        recipe = with_budget(making.recipe, making.runs)
        record = self._record(making, published, recipe)
        return render_recipe(recipe).encode(), sign_run(record, self._signing.key)

    def _record(self, making: Making, published: Path, recipe: Recipe) -> RunRecord:
        stages = stage_facts(recipe, making.runs, {making.runs[-1].name: published})
        inputs = [
            InputFact(
                name=role,
                kind=pinned.kind,
                uri=f"{'datasets/' if pinned.kind == 'dataset' else ''}{pinned.repo}",
                digest=pinned.digest,
                revision=pinned.commit,
            )
            for role, pinned in making.plan.inputs.items()
        ]
        return RunRecord(
            id=f"job-{making.job_id}",
            recipe=recipe.name,
            recipe_digest=recipe_digest(recipe),
            started_ms=making.runs[0].started_ms,
            ended_ms=making.runs[-1].finished_ms,
            inputs=inputs,
            stages=stages,
            environment=environment_of(making.runs),
            runner=Runner(id="worker", kind="hub-worker", owner=f"hub:{self._signing.key.public.id}"),
            log_sha256=hashlib.sha256("".join(run.said_sha256 for run in making.runs).encode()).hexdigest(),
        )


def stage_facts(
    recipe: Recipe, runs: Sequence[StageRun], folders: Mapping[str, Path] | None = None
) -> list[StageFact]:
    """What stages did; `folders` names those whose output is described as it lies elsewhere."""
    identities = stage_digests(recipe)
    return [_stage_fact(run, identities[run.name], (folders or {}).get(run.name, run.output)) for run in runs]


def _stage_fact(run: StageRun, identity: str, folder: Path) -> StageFact:
    numbers = {
        key: float(value)
        for key, value in run.result.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return StageFact(
        stage=run.name,
        op=run.stage.op,
        identity=identity,
        started_ms=run.started_ms,
        ended_ms=run.finished_ms,
        cpu_s=numbers.get("process_cpu_seconds", 0.0),
        output=describe_output(folder, "dataset" if run.stage.op in GIVES_DATA else "model"),
        metrics=numbers,
        curve=run.curve,
        chain=msgspec.convert(run.result.get("chain", []), list[ChainLink]),
    )


def environment_of(runs: Sequence[StageRun]) -> dict[str, str]:
    """What the last stage ran on, and with which packages."""
    if not runs:
        return {}
    facts: dict[str, str] = dict(runs[-1].result.get("platform", {}))
    versions = runs[-1].result.get("versions", {})
    return facts | {f"version.{name}": version for name, version in msgspec.to_builtins(versions).items()}
