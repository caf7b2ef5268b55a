"""A claim's metric, measured here for the original and for the replica alike: the same items, the same decoding.

It is measured by a stage `eval`, so it runs where training runs, under the same limits; what the recipe's own stages of
that kind found is read the same way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from seedstock.adapt.launch import Launcher, Say
from seedstock.adapt.methods import Eval, Reward, Rows
from seedstock.adapt.scores import read_means
from seedstock.adapt.stage import Stage, find_stage, write_stage
from seedstock.recipes.recipe import Claim, Recipe
from seedstock.recipes.record import MetricFact
from seedstock.variants.execution import StageRun

_BATCH = 256
Scores = list[float]


class Evaluator:
    """Scores models on the items of claims."""

    def __init__(
        self, launcher: Launcher, say: Say, stopping: Callable[[], bool], memory_bytes: int | None
    ) -> None:
        self._launcher = launcher
        self._say = say
        self._stopping = stopping
        self._memory_bytes = memory_bytes

    def scores(self, recipe: Recipe, claim: Claim, model: Path, data: Path, work: Path) -> Scores:
        """The mean score of each item, in the order of the items. Raises what the launcher raises."""
        stage = self._stage(recipe, claim)
        if find_stage(work) != stage:
            shutil.rmtree(work, ignore_errors=True)
        _lay_out(stage, model, data, work)
        self._launcher.run(work, self._say, self._stopping)
        return read_means(work / "output")

    def _stage(self, recipe: Recipe, claim: Claim) -> Stage:
        wanted, how = claim.eval, recipe.determinism
        args = Eval(
            metric=claim.metric,
            rewards=[Reward(fn=wanted.fn, args=wanted.fn_args)],
            n=wanted.n,
            samples=wanted.samples,
            temperature=wanted.temperature,
            top_p=wanted.top_p,
            max_new_tokens=wanted.max_new_tokens,
            batch_size=max(_BATCH, wanted.samples),
            rows=[Rows(split=wanted.split, columns=wanted.columns)],
        )
        return Stage(
            op="eval",
            args=msgspec.to_builtins(args),
            inputs={},
            seed=wanted.seed,
            threads=how.threads,
            device=how.device,
            memory_bytes=self._memory_bytes,
        )


def evaluated(runs: Sequence[Sequence[StageRun]]) -> list[MetricFact]:
    """What the stages `eval` of a recipe found, item by item; `runs` are those of each seed, the last may be cut short."""
    found: dict[str, list[StageRun]] = {}
    for run in (run for seed in runs for run in seed if run.stage.op == "eval"):
        found.setdefault(run.name, []).append(run)
    return [
        metric_fact(name, same[0].result["metric"], "replica", [read_means(run.output) for run in same])
        for name, same in found.items()
    ]


def metric_fact(stage: str, metric: str, model: str, scores: list[Scores]) -> MetricFact:
    """A metric for the record; scores as seeds x items."""
    flat = [score for seed in scores for score in seed]
    return MetricFact(
        stage=stage, metric=metric, model=model, value=sum(flat) / len(flat), n=len(scores[0]), items=scores
    )


def _lay_out(stage: Stage, model: Path, data: Path, work: Path) -> None:
    write_stage(work, stage)
    for role, folder in (("base", model), ("data", data)):
        link = work / "inputs" / role
        link.unlink(missing_ok=True)
        link.symlink_to(folder.absolute())
